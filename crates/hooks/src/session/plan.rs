//! Which scripts run for an event, and in which order.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use error::Shown;
use sys::OwnedName;

use super::Event;
use super::name::{self, Mode};
use crate::links;
use crate::trust::{self, Owners};

/// A script of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its path, for messages.
    pub(crate) shown: PathBuf,
    /// The canonical path that it leads to.
    pub(crate) path: PathBuf,
    /// What it has in common with its counterpart of another event.
    pub(crate) key: String,
    /// For which system it is written, which says how it runs.
    pub(crate) kind: Of,
}

/// The conventions that a script follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// This project's.
    Own(Mode),
    /// ConsoleKit's run-session.d.
    ConsoleKit,
    /// pam_script's.
    PamScript,
}

/// The scripts of an event, in their order, and a line for each entry that is passed over.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) scripts: Vec<Planned>,
    pub(crate) passed_over: Vec<String>,
}

/// Reads the directories. First come the scripts of the directories added, changed and removed,
/// sorted by name across all directories; an earlier directory hides a name of a later one, and
/// a link to /dev/null hides it without a script. Then come those of ConsoleKit, which are sorted
/// in the same way, and then pam_script's.
pub(crate) fn read(directories: &[PathBuf], event: Event, owners: &Owners<'_>) -> Plan {
    let mut plan = Plan::default();
    let (mut own, mut console_kit) = (BTreeMap::new(), BTreeMap::new());
    let mut pam = Vec::new();
    for directory in directories {
        let Some(names) = plan.list(directory, owners) else { continue };
        let has = |name: &str| names.iter().any(|found| found.name().bytes() == name.as_bytes());
        if Event::ALL.iter().any(|event| has(event.directory())) {
            if has(event.directory()) {
                let directory = directory.join(event.directory());
                for name in plan.list(&directory, owners).unwrap_or_default() {
                    own.entry(name.name().bytes().to_vec())
                        .or_insert_with(|| directory.join(name.name().os()));
                }
            }
        } else {
            for name in names.iter().map(OwnedName::name).filter(|name| is_ck(name.bytes())) {
                console_kit
                    .entry(name.bytes().to_vec())
                    .or_insert_with(|| directory.join(name.os()));
            }
        }
        pam.extend(event.pam_script().filter(|name| has(name)).map(|name| directory.join(name)));
    }
    for (name, path) in own {
        match name::parse(&name) {
            Ok((mode, rest)) => plan.add(path, rest, Of::Own(mode), owners),
            Err(why) => plan.pass_over(&path, why),
        }
    }
    for (name, path) in console_kit {
        plan.add(path, &String::from_utf8_lossy(&name), Of::ConsoleKit, owners);
    }
    for path in pam {
        plan.add(path, "pam_script", Of::PamScript, owners);
    }
    plan
}

/// Whether the directories have an entry that could be a script of any event; also if one cannot be
/// listed. Nothing is examined: an empty directory costs a call almost nothing.
pub(crate) fn has_entries(directories: &[PathBuf]) -> bool {
    directories.iter().any(|directory| match std::fs::read_dir(directory) {
        Err(error) => error.kind() != ErrorKind::NotFound,
        Ok(entries) => entries.flatten().any(|entry| {
            let name = entry.file_name();
            let is = |event: &Event| name == event.directory();
            match Event::ALL.iter().any(is) {
                true => std::fs::read_dir(entry.path())
                    .map_or(true, |mut entries| entries.next().is_some()),
                false => {
                    let pam = |event: &Event| event.pam_script().is_some_and(|pam| name == pam);
                    is_ck(name.as_bytes()) || Event::ALL.iter().any(pam)
                }
            }
        }),
    })
}

fn is_ck(name: &[u8]) -> bool {
    name.ends_with(b".ck") && !name.starts_with(b".") && name.iter().all(u8::is_ascii_graphic)
}

impl Plan {
    /// The names in a directory; none if there is no such directory, or it is not trusted.
    fn list(&mut self, path: &Path, owners: &Owners<'_>) -> Option<Vec<OwnedName>> {
        let examined = path.symlink_metadata();
        if examined.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return None;
        }
        let opened = links::resolve(path, owners)
            .and_then(|canonical| trust::open_directory(&canonical, owners));
        let directory = match opened {
            Ok(directory) => directory,
            Err(why) => {
                self.pass_over(path, &why.to_string());
                return None;
            }
        };
        let mut names = Vec::new();
        let listed = directory.for_each_entry(|name, _| -> Result<(), sys::Errno> {
            names.extend(OwnedName::new(name.bytes().to_vec()));
            Ok(())
        });
        if let Err(cause) | Ok(Err(cause)) = listed {
            self.pass_over(path, &format!("cannot list it: {cause}"));
        }
        Some(names)
    }

    /// Adds a script, if it is trusted and can be executed.
    fn add(&mut self, shown: PathBuf, key: &str, kind: Of, owners: &Owners<'_>) {
        if links::is_mask(&shown) {
            return;
        }
        let found = links::resolve(&shown, owners).and_then(|path| {
            let file = trust::open(&path, owners)?;
            Ok((path, file))
        });
        match found {
            Err(why) => self.pass_over(&shown, &why.to_string()),
            Ok((path, file)) => match file.metadata() {
                Ok(found) if found.permissions().mode() & 0o111 != 0 => {
                    self.scripts.push(Planned { shown, path, key: key.to_owned(), kind });
                }
                Ok(_) => self.pass_over(&shown, "it is not executable: run chmod +x on it"),
                Err(error) => self.pass_over(&shown, &error.to_string()),
            },
        }
    }

    fn pass_over(&mut self, path: &Path, why: &str) {
        let shown = Shown(path.as_os_str().as_bytes()).to_string();
        // Most reasons name the path already.
        let line = match why.starts_with(&shown) {
            true => format!("session script passed over: {why}"),
            false => format!("session script passed over: {shown}: {why}"),
        };
        self.passed_over.push(line);
    }
}

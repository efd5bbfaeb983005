//! Looking through the input before anything is done: how much it is, and what of it can't be in a
//! sandbox.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Kind, Name};
use tree::descent::Descent;
use tree::links::{self, Verdict};
use tree::names::Names;
use wire::Totals;

/// So many paths of links are kept.
const MOST_NAMED: usize = 20;

/// What an input holds.
#[derive(Debug, Default)]
pub struct Survey {
    /// How much it is. A file with several names counts several times.
    pub totals: Totals,
    /// How many links lead out of it, and from the sandbox to nothing.
    pub dangling: u64,
    /// Some of them.
    pub named: Vec<String>,
}

/// Walks the input, which becomes the sandbox at this path. Nothing is changed: what the caller
/// can't read is an error.
pub fn survey(input: &Path, sandbox: &Path) -> Result<Survey> {
    let mut walk = Descent::new(Dir::open(input).at("open the input", input)?, input);
    let mut survey = Survey::default();
    let mut way = vec![survey.directory(&walk, sandbox)?];
    while let Some(here) = way.last_mut() {
        let Some(name) = here.last() else {
            way.pop();
            walk.leave()?;
            continue;
        };
        walk.check_depth()?;
        let opened = walk.here()?.open_dir(name);
        let dir = match opened {
            Err(Errno::EACCES) => return Err(unreadable(&walk.path_of(name))),
            Err(Errno::EXDEV) => {
                return Err(Error::refused(
                    walk.path_of(name),
                    "something is mounted on it: it can't be copied",
                ));
            }
            opened => opened.at_entry("open", || walk.path_of(name))?,
        };
        walk.enter(name, dir)?;
        here.pop();
        survey.totals.directories += 1;
        way.push(survey.directory(&walk, sandbox)?);
    }
    Ok(survey)
}

impl Survey {
    /// Counts the entries of the directory where the walk is; returns the subdirectories.
    fn directory(&mut self, walk: &Descent, sandbox: &Path) -> Result<Names> {
        let here = walk.here()?;
        let mut subdirectories = Names::default();
        let listed = here.for_each_entry(|name, _| {
            let stat = match here.stat(name) {
                Err(Errno::ENOENT) => return Ok(()),
                // Its names can be read, but nothing behind them.
                Err(Errno::EACCES) => return Err(unreadable(walk.path())),
                stat => stat.at_entry("examine", || walk.path_of(name))?,
            };
            match stat.kind() {
                Kind::Directory => subdirectories.push(name),
                Kind::Symlink => self.link(walk, name, sandbox)?,
                Kind::File if here.may_read(name) => {
                    self.totals.files += 1;
                    self.totals.bytes = self.totals.bytes.saturating_add(stat.size());
                }
                Kind::File => return Err(unreadable(&walk.path_of(name))),
                Kind::Special => {}
            }
            Ok(())
        });
        match listed {
            Err(Errno::EBADF) => Err(unreadable(walk.path())), // it may only be searched
            listed => listed.at("read the directory", walk.path())?.map(|()| subdirectories),
        }
    }

    fn link(&mut self, walk: &Descent, name: Name<'_>, sandbox: &Path) -> Result<()> {
        let target =
            walk.here()?.read_link(name).at_entry("read the link", || walk.path_of(name))?;
        self.totals.symlinks += 1;
        if links::judge(&target, walk.depth()) != Verdict::Leaves {
            return Ok(());
        }
        let Some(place) = walk.below_top(name) else { return Ok(()) };
        let leads_to =
            led_to(&sandbox.join(OsStr::from_bytes(&place)), Path::new(OsStr::from_bytes(&target)));
        if std::fs::metadata(&leads_to)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            self.dangling += 1;
            if self.named.len() < MOST_NAMED {
                self.named.push(Shown(&place).to_string());
            }
        }
        Ok(())
    }
}

/// Where a link at this path leads, by names alone.
fn led_to(link: &Path, target: &Path) -> PathBuf {
    let mut path = link.parent().unwrap_or(link).to_path_buf();
    for component in target.components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            // An absolute one starts anew.
            other => path.push(other),
        }
    }
    path
}

fn unreadable(path: &OsStr) -> Error {
    Error::refused(
        path,
        "you may not read it: open it to yourself (chmod u+rX), or keep it out of the input",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_by_its_names_from_where_it_is() {
        for (target, leads_to) in [
            ("/etc/x", "/etc/x"),
            ("../../up", "/v/up"),
            ("./../s2", "/v/s/s2"),
            ("a/./b", "/v/s/d/a/b"),
        ] {
            assert_eq!(
                led_to(Path::new("/v/s/d/link"), Path::new(target)),
                Path::new(leads_to),
                "{target}"
            );
        }
    }
}

//! The settings of the wrapper, in a file beside it.
//!
//! The starter gives the wrapper no arguments but the job's, and the environment is the job's. So
//! the wrapper believes a file that only its own user or root can change, and nothing else.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Kind, Name, OwnedName, Stat, process};
use wire::Links;

use crate::batch::handover::Handover;

/// The longest file that is read, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

/// The settings. Without a file all have their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `glexec`: the switcher; none: the first that works here.
    pub glexec: Option<OsString>,
    /// `directory`: the directory of the slot directories; none: beside the execute directory.
    pub directory: Option<PathBuf>,
    /// `credential`: the file with the switcher's credential; none: a dummy one.
    pub credential: Option<PathBuf>,
    /// `wrapper`: a program that runs in front of each job, as its user.
    pub wrapper: Option<PathBuf>,
    /// `world`: whether the job must have a closed world; none: where that is possible.
    pub closes_world: Option<bool>,
    /// `hide`, which can be repeated: what else is hidden in a closed world.
    pub hidden: Vec<PathBuf>,
    /// `show`, which can be repeated: what is visible there in hidden directories.
    pub shown: Vec<PathBuf>,
    /// `writable`, which can be repeated: what else the job can write to there.
    pub writable: Vec<PathBuf>,
    /// `accounts = slot`: whether each slot has an account of its own, so that all processes of the
    /// account can be ended with the job.
    pub has_account_per_slot: bool,
    /// `disk`: what the job's files may use of the file system.
    pub disk: Option<Disk>,
    /// `log`: as `GLEXEC_HELPERS_LOG`.
    pub log: Option<OsString>,
    /// `sudo_map`: as `GLEXEC_SUDO_MAP`.
    pub sudo_map: Option<OsString>,
    /// `state_dir`: as `GLEXEC_STATE_DIR`.
    pub state_dir: Option<OsString>,
    /// `handover`: as `GLEXEC_HELPERS_HANDOVER`.
    pub handover: Handover,
    /// `links`: as `GLEXEC_HELPERS_LINKS`.
    pub links: Links,
    /// `idle_timeout`: as `GLEXEC_HELPERS_IDLE_TIMEOUT`.
    pub idle_timeout: Duration,
}

/// A limit of the job's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// What the slot has (Disk of the machine's ad).
    Slot,
    /// What the job has asked for (RequestDisk of its ad).
    Request,
    /// So many bytes.
    Bytes(u64),
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            glexec: None,
            directory: None,
            credential: None,
            wrapper: None,
            closes_world: None,
            hidden: Vec::new(),
            shown: Vec::new(),
            writable: Vec::new(),
            has_account_per_slot: false,
            disk: None,
            log: None,
            sudo_map: None,
            state_dir: None,
            handover: Handover::Auto,
            links: Links::Copy,
            idle_timeout: Duration::from_secs(600),
        }
    }
}

impl Settings {
    /// Reads the file at an absolute path; a file that does not exist has no settings. Its
    /// directory and the file must belong to this user or to root, and no other user may write to
    /// them.
    pub fn read(path: &Path) -> Result<Settings> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::refused(path, "the settings are in a file: name one"));
        };
        let name = OwnedName::new(name.as_bytes().to_vec())
            .ok_or_else(|| Error::refused(path, "this is not the name of a file"))?;
        let dir = Dir::open(parent).at("open the directory of the settings", parent)?;
        require_trusted(&dir.stat_self().at("examine", parent)?, parent)?;
        let found = match dir.stat(name.name()) {
            Err(Errno::ENOENT) => return Ok(Settings::default()),
            found => found.at("examine the settings", path)?,
        };
        if found.kind() != Kind::File {
            return Err(Error::refused(path, "the settings must be a regular file"));
        }
        let text = read(&dir, name.name(), path)?;
        parse(&text).map_err(|why| Error::refused(path, why))
    }
}

fn read(dir: &Dir, name: Name<'_>, path: &Path) -> Result<Vec<u8>> {
    let file = dir.open_file(name).at("open the settings", path)?;
    require_trusted(&sys::file::stat(&file).at("examine the settings", path)?, path)?;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text).at("read the settings", path)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(Error::refused(path, "it is longer than 64 KiB"));
    }
    Ok(text)
}

/// Refuses what another user can change.
fn require_trusted(found: &Stat, path: &Path) -> Result<()> {
    let (owner, mode) = (found.uid(), found.mode());
    if owner != process::geteuid() && !owner.is_root() {
        let why = format!("it belongs to uid {owner}: it must belong to you or to root");
        return Err(Error::refused(path, why));
    }
    if mode & 0o022 != 0 {
        let why = format!("its mode is {mode:04o}: no other user may write to it (chmod go-w)");
        return Err(Error::refused(path, why));
    }
    Ok(())
}

/// Reads `key = value`, one per line; empty lines and lines that begin with # are ignored.
fn parse(text: &[u8]) -> std::result::Result<Settings, String> {
    let mut settings = Settings::default();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let set = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => set(&mut settings, line[..at].trim_ascii(), line[at + 1..].trim_ascii()),
            None => Err("it must be KEY = VALUE".to_owned()),
        };
        set.map_err(|why| format!("line {}: {why}", number + 1))?;
    }
    Ok(settings)
}

fn set(settings: &mut Settings, key: &[u8], value: &[u8]) -> std::result::Result<(), String> {
    if value.is_empty() || value.contains(&0) {
        return Err(format!("{} has no usable value", Shown(key)));
    }
    let text = || OsString::from_vec(value.to_vec());
    let path = || match value.starts_with(b"/") {
        true => Ok(PathBuf::from(text())),
        false => Err(format!("{} must be an absolute path: {}", Shown(key), Shown(value))),
    };
    let unknown = |values: &str| format!("{} must be {values}: {}", Shown(key), Shown(value));
    match key {
        b"glexec" => settings.glexec = Some(path()?.into_os_string()),
        b"directory" => settings.directory = Some(path()?),
        b"credential" => settings.credential = Some(path()?),
        b"wrapper" => settings.wrapper = Some(path()?),
        b"sudo_map" => settings.sudo_map = Some(path()?.into_os_string()),
        b"state_dir" => settings.state_dir = Some(path()?.into_os_string()),
        b"log" if value == b"syslog" => settings.log = Some(text()),
        b"log" => settings.log = Some(path()?.into_os_string()),
        b"hide" => settings.hidden.push(path()?),
        b"show" => settings.shown.push(path()?),
        b"writable" => settings.writable.push(path()?),
        b"accounts" => {
            settings.has_account_per_slot = match value {
                b"slot" => true,
                b"shared" => false,
                _ => return Err(unknown("slot or shared")),
            }
        }
        b"disk" => {
            settings.disk = Some(match value {
                b"slot" => Disk::Slot,
                b"request" => Disk::Request,
                _ => ::world::parse_size(&text()).map(Disk::Bytes).ok_or_else(|| {
                    unknown("slot, request, or a number of bytes, also with K, M, G or T")
                })?,
            });
        }
        b"world" => {
            settings.closes_world = match value {
                b"auto" => None,
                b"closed" => Some(true),
                b"shared" => Some(false),
                _ => return Err(unknown("auto, closed or shared")),
            }
        }
        b"handover" => {
            settings.handover = match value {
                b"auto" => Handover::Auto,
                b"own" => Handover::Own,
                b"copy" => Handover::Copy,
                _ => return Err(unknown("auto, own or copy")),
            }
        }
        b"links" => {
            settings.links = match value {
                b"copy" => Links::Copy,
                b"keep" => Links::Keep,
                b"drop" => Links::Drop,
                _ => return Err(unknown("copy, keep or drop")),
            }
        }
        b"idle_timeout" => {
            let seconds = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let seconds = seconds.ok_or_else(|| unknown("a number of seconds"))?;
            settings.idle_timeout = Duration::from_secs(seconds);
        }
        _ => return Err(format!("there is no setting {}", Shown(key))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_one_setting() -> Result<(), String> {
        let settings = parse(b"# text\n\n glexec = /opt/glexec \nhandover=copy\nidle_timeout=5\n")?;
        assert_eq!(settings.glexec, Some("/opt/glexec".into()));
        assert_eq!(settings.handover, Handover::Copy);
        assert_eq!(settings.idle_timeout, Duration::from_secs(5));
        assert_eq!(settings.directory, None);
        Ok(())
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        for (text, why) in [
            ("x", "line 1: it must be KEY = VALUE"),
            ("\nglexec = ", "line 2: glexec has no usable value"),
            ("glexec = glexec", "absolute path"),
            ("handover = move", "auto, own or copy"),
            ("idle_timeout = -1", "number of seconds"),
            ("colour = red", "there is no setting colour"),
        ] {
            let refused = parse(text.as_bytes()).err().unwrap_or_default();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}

//! What a caller asks for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;

use crate::size;

/// A payload's world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spec {
    /// The machine, as the payload's user sees it.
    #[default]
    Shared,
    /// A world of its own.
    Closed(Closed),
}

/// What is different from the default closed world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Directories or files that can be written to, beside the sandbox. The rights of the payload's
    /// user apply.
    pub writable: Vec<PathBuf>,
    /// What is read-only at another place, or visible although it is in a hidden directory.
    pub read_only: Vec<Bind>,
    /// What can be written to at another place.
    pub bind: Vec<Bind>,
    /// Directories that are empty, or files.
    pub hide: Vec<PathBuf>,
    /// The working directory; else that of the caller.
    pub cwd: Option<PathBuf>,
    /// A directory that is the payload's root directory, read-only.
    pub root: Option<PathBuf>,
    /// The network.
    pub network: Network,
    /// Devices that are in /dev, beside the harmless ones.
    pub devices: Vec<PathBuf>,
    /// How many bytes /tmp, /var/tmp and /dev/shm hold together.
    pub tmp_size: Option<u64>,
    /// Whether the payload may make namespaces and mounts of its own.
    pub nested: bool,
}

/// A file or directory, and where the payload sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is.
    pub from: PathBuf,
    /// Where the payload sees it.
    pub at: PathBuf,
}

/// A payload's network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The machine's.
    #[default]
    Machine,
    /// A loopback interface alone.
    None,
}

/// The names of the options, without hyphens: all have a value but `nested`.
pub const OPTIONS: [&str; 11] = [
    "world",
    "writable",
    "read-only",
    "bind",
    "hide",
    "cwd",
    "root",
    "network",
    "device",
    "tmp-size",
    "nested",
];

impl Spec {
    /// The world that these options ask for: names of [`OPTIONS`] with their values. Without
    /// `world`, any other option means the closed world.
    pub fn parse<'a>(options: impl IntoIterator<Item = (&'a str, &'a OsStr)>) -> Result<Spec> {
        let (mut closed, mut world, mut other) = (Closed::default(), None::<OsString>, None);
        for (name, value) in options {
            if name == "world" {
                once(&mut world, name, value)?;
            } else {
                other = Some(name);
                closed.set(name, value)?;
            }
        }
        match (world.as_deref().map(OsStr::as_bytes), other) {
            (None, None) => Ok(Spec::Shared),
            (Some(b"closed"), _) | (None, Some(_)) => Ok(Spec::Closed(closed)),
            (Some(b"shared"), None) => Ok(Spec::Shared),
            (Some(b"shared"), Some(option)) => Err(Refusal::client(format!(
                "--{option} is an option of the closed world, and cannot be given with --world \
                 shared"
            ))),
            (Some(value), _) => {
                Err(Refusal::client(format!("--world must be shared or closed: {}", Shown(value))))
            }
        }
    }

    /// The options that [`Spec::parse`] reads, each a word, and its value the next one.
    pub fn to_words(&self) -> Vec<OsString> {
        let Spec::Closed(closed) = self else { return vec!["--world".into(), "shared".into()] };
        let mut words = vec![OsString::from("--world"), OsString::from("closed")];
        let mut add = |name: &str, value: &OsStr| {
            words.push(format!("--{name}").into());
            words.push(value.to_owned());
        };
        closed.writable.iter().for_each(|path| add("writable", path.as_os_str()));
        closed.read_only.iter().for_each(|bind| add("read-only", &bind.to_word()));
        closed.bind.iter().for_each(|bind| add("bind", &bind.to_word()));
        closed.hide.iter().for_each(|path| add("hide", path.as_os_str()));
        closed.devices.iter().for_each(|path| add("device", path.as_os_str()));
        closed.cwd.iter().for_each(|path| add("cwd", path.as_os_str()));
        closed.root.iter().for_each(|path| add("root", path.as_os_str()));
        if closed.network == Network::None {
            add("network", "none".as_ref());
        }
        closed.tmp_size.iter().for_each(|size| add("tmp-size", size.to_string().as_ref()));
        if closed.nested {
            words.push("--nested".into());
        }
        words
    }

    /// Whether it is the closed world.
    pub fn is_closed(&self) -> bool {
        matches!(self, Spec::Closed(_))
    }

    /// This world, or the default closed one where it is the shared world.
    #[must_use]
    pub fn or_closed(self) -> Spec {
        match self {
            Spec::Shared => Spec::Closed(Closed::default()),
            closed => closed,
        }
    }
}

impl Closed {
    fn set(&mut self, name: &str, value: &OsStr) -> Result<()> {
        match name {
            "writable" => self.writable.push(path(name, value)?),
            "read-only" => self.read_only.push(Bind::parse(name, value)?),
            "bind" => self.bind.push(Bind::parse(name, value)?),
            "hide" => self.hide.push(path(name, value)?),
            "device" => self.devices.push(device(value)?),
            "cwd" => once(&mut self.cwd, name, path(name, value)?)?,
            "root" => once(&mut self.root, name, path(name, value)?)?,
            "network" => {
                self.network = match value.as_bytes() {
                    b"machine" => Network::Machine,
                    b"none" => Network::None,
                    _ => return Err(invalid(name, "machine or none", value)),
                }
            }
            "tmp-size" => {
                const SMALLEST: u64 = 1 << 16;
                let size = size::parse(value).filter(|size| *size >= SMALLEST);
                let expected = "a size from 64K on, such as 500M or 2G";
                let size = size.ok_or_else(|| invalid(name, expected, value))?;
                once(&mut self.tmp_size, name, size)?;
            }
            "nested" => self.nested = true,
            _ => return Err(Refusal::client(format!("--{name} is not an option of a world"))),
        }
        Ok(())
    }
}

impl Bind {
    /// `DIR:AT`, or `DIR` for the same place.
    fn parse(name: &str, value: &OsStr) -> Result<Bind> {
        let mut parts = value.as_bytes().split(|byte| *byte == b':');
        let (from, at) = (parts.next().unwrap_or_default(), parts.next());
        if parts.next().is_some() {
            return Err(invalid(name, "DIR or DIR:AT, without further colons", value));
        }
        let from = path(name, OsStr::from_bytes(from))?;
        let at = at.map(|at| path(name, OsStr::from_bytes(at))).transpose()?;
        Ok(Bind { at: at.unwrap_or_else(|| from.clone()), from })
    }

    fn to_word(&self) -> OsString {
        let mut word = self.from.clone().into_os_string();
        if self.at != self.from {
            word.push(":");
            word.push(&self.at);
        }
        word
    }
}

/// An absolute path of directories and names, without `..`, and not the root directory. It can be
/// an option's value, so it has no colon.
fn path(name: &str, value: &OsStr) -> Result<PathBuf> {
    let path = Path::new(value);
    let is_plain = path.is_absolute()
        && path.components().count() > 1
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !value.as_bytes().iter().any(|byte| matches!(byte, 0 | b':'));
    if is_plain {
        // Without repeated slashes and `.`.
        return Ok(path.components().collect());
    }
    Err(invalid(name, "an absolute path other than /, without .. and colons", value))
}

fn device(value: &OsStr) -> Result<PathBuf> {
    let device = path("device", value)?;
    match device.starts_with("/dev") {
        true => Ok(device),
        false => Err(invalid("device", "a path in /dev", value)),
    }
}

fn once<T, U: Into<T>>(to: &mut Option<T>, name: &str, value: U) -> Result<()> {
    match to.replace(value.into()) {
        None => Ok(()),
        Some(_) => Err(Refusal::client(format!("the option --{name} is given twice"))),
    }
}

fn invalid(name: &str, expected: &str, value: &OsStr) -> Refusal {
    Refusal::client(format!("--{name} must be {expected}: '{}'", Shown::os(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Spec> {
        let pairs = words.iter().map(|word| word.split_once('=').unwrap_or((word, "")));
        Spec::parse(pairs.map(|(name, value)| (name, OsStr::new(value))))
    }

    /// The words of a world as the parser of a command line splits them.
    fn parse_words(words: &[OsString]) -> Result<Spec> {
        let (mut words, mut pairs) = (words.iter(), Vec::new());
        while let Some(word) = words.next() {
            let name = word.to_str().unwrap_or_default().trim_start_matches("--");
            let value = words.as_slice().first().filter(|_| name != "nested");
            words = value.map_or(words.clone(), |_| words.as_slice()[1..].iter());
            pairs.push((name, value.map_or(OsStr::new(""), |value| value.as_os_str())));
        }
        Spec::parse(pairs)
    }

    #[test]
    fn the_words_of_a_world_are_parsed_as_the_same_world() {
        for words in [
            &[][..],
            &["world=shared"],
            &["world=closed"],
            &["writable=/a", "writable=/b/c", "read-only=/d", "read-only=/d:/e", "bind=/f:/g"],
            &["hide=/h", "cwd=/i", "root=/j", "network=none", "device=/dev/k", "nested"],
            &["world=closed", "tmp-size=2G", "network=machine"],
        ] {
            let spec = parse(words);
            assert!(spec.is_ok(), "{words:?}: {spec:?}");
            let again = spec.as_ref().map(|spec| parse_words(&spec.to_words()));
            assert_eq!(again.ok(), Some(spec));
        }
    }

    #[test]
    fn options_without_a_world_mean_the_closed_one() {
        assert_eq!(parse(&[]), Ok(Spec::Shared));
        assert!(parse(&["hide=/a"]).is_ok_and(|spec| spec.is_closed()));
        assert!(parse(&["world=shared", "hide=/a"]).is_err());
    }

    #[test]
    fn a_path_is_absolute_and_leads_to_one_place() {
        for wrong in [
            "writable=",
            "writable=a",
            "writable=/",
            "writable=/a/../b",
            "writable=/a:/b",
            "read-only=/a:/b:/c",
            "read-only=/a:",
            "read-only=:/a",
            "bind=/a:b",
            "device=/etc/a",
            "cwd=.",
            "tmp-size=1",
            "network=host",
            "world=open",
            "other=/a",
        ] {
            assert!(parse(&[wrong]).is_err(), "{wrong}");
        }
        let Ok(Spec::Closed(closed)) = parse(&["writable=//a/./b//"]) else { panic!("it is one") };
        assert_eq!(closed.writable, [PathBuf::from("/a/b")]);
        assert!(parse(&["cwd=/a", "cwd=/a"]).is_err());
    }
}

//! /dev of the closed world.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::mount_tree::{Links, NewFileSystem, Tree, open_in};
use sys::{Errno, Kind, Name, OPath};

use crate::enter::Opener;
use crate::view::{Access, View, failed};

/// Devices of the machine that have no state which payloads share.
const HARMLESS: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in /dev, and what they lead to.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// The devices of the machine that a payload gets.
pub(crate) struct Devices(Vec<(PathBuf, Tree)>);

impl Devices {
    /// Opens the harmless devices, and these others with the caller's rights: other users can make
    /// files in some directories of /dev. To be called before the machine's are covered.
    pub(crate) fn open(others: &[PathBuf], opener: Opener<'_>) -> Result<Devices> {
        let root = OPath::root().map_err(failed("open", Path::new("/")))?;
        let mut found = Vec::new();
        let tree =
            |path: &Path| open_in(&root, path, Links::Followed).and_then(|one| Tree::of(&one));
        for name in HARMLESS {
            let path = Path::new("/dev").join(name);
            if let Ok(tree) = tree(&path) {
                found.push((path, tree));
            }
        }
        for path in others {
            let device = opener.open(path)?;
            let kind = device.stat().map_err(failed("examine", path))?.kind();
            if kind != Kind::Special {
                let path = Shown::os(path);
                return Err(Refusal::client(format!("cannot use {path}: it is not a device")));
            }
            let tree = Tree::of(&device).map_err(failed("copy the mount of", path))?;
            found.push((path.clone(), tree));
        }
        Ok(Devices(found))
    }

    /// Makes /dev, with this directory as /dev/shm.
    pub(crate) fn make(&self, view: &mut View, shm: &OPath) -> Result<()> {
        let at = Path::new("/dev");
        let made = view.fresh(0o755)?;
        let directory = |name: &[u8]| {
            let name = Name::new(name).ok_or_else(|| Refusal::internal("no name"))?;
            made.make_dir(name, 0o755).map_err(failed("make a directory in", at))
        };
        for name in ["pts", "shm", "mqueue"] {
            directory(name.as_bytes())?;
        }
        for (name, target) in LINKS {
            let name = Name::new(name.as_bytes()).ok_or_else(|| Refusal::internal("no name"))?;
            made.make_symlink(name, target.as_bytes()).map_err(failed("make a link in", at))?;
        }
        // The places of the devices, so that none has to be looked for.
        for name in self.0.iter().filter_map(|(path, _)| path.strip_prefix(at).ok()) {
            if let Some(name) = Name::new(name.as_os_str().as_bytes()) {
                match made.make_file(name, b"") {
                    // It is named twice.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(cause) => return Err(failed("make a file in", at)(cause)),
                }
            }
        }
        view.cover(at, &made, Access::ReadOnly)?;
        view.cover(Path::new("/dev/shm"), shm, Access::Writable)?;
        let options = "newinstance,ptmxmode=0666,mode=0620";
        view.mount(NewFileSystem::Terminals, Path::new("/dev/pts"), options)?;
        view.mount(NewFileSystem::MessageQueues, Path::new("/dev/mqueue"), "")?;
        self.0.iter().try_for_each(|(path, tree)| view.put(tree, path, Access::Writable))
    }
}

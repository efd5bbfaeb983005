//! A sandbox: its names, and the directories that have them.
//!
//! The directory that is `<sandbox>` before setup is `<sandbox>.condor` while the job has the
//! sandbox, and `<sandbox>` again after cleanup. It is the same inode all the time, and the working
//! directory of the starter. While it is `<sandbox>.condor` it is the *retained directory*: it
//! contains the *retained proxy* and has the mode 01700, which no sandbox has.
//!
//! - `state`: the state of a sandbox, read from the directories alone; there is no journal;
//! - `retained`: changing the retained directory;
//! - `leftovers`: what helpers and agents that were killed left beside the sandbox;
//! - `lock`: the lock that keeps other pilots off.

mod leftovers;
mod lock;
mod retained;
mod state;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
pub use retained::set_aside;
pub use state::{Found, MARK, Retained};
use sys::{Dir, Name, OwnedName, Uid, process};
use tree::Place;

use super::credential::read_credential;
use super::identity::{family_of, log_id};

/// The names of one sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Its parent directory, and its name there.
    pub place: Place,
    /// The file name of the proxy in it.
    pub proxy: OwnedName,
    retained: OwnedName,
    /// The batch user.
    user: Uid,
}

impl Sandbox {
    /// The sandbox at an absolute path, with the file name that its proxy has in it. It need not
    /// exist.
    pub fn find(path: &Path, proxy: &OsStr) -> Result<Self> {
        let proxy = OwnedName::new(proxy.as_bytes().to_vec()).ok_or_else(|| {
            let why = "the proxy is given as a file name inside the sandbox, without a directory";
            Error::refused(proxy, why)
        })?;
        let place = Place::find(path)?;
        let retained = OwnedName::new([place.name.name().bytes(), b".condor"].concat())
            .ok_or_else(|| {
                Error::refused(path, "the sandbox's name is too long to append .condor to it")
            })?;
        Ok(Sandbox { place, proxy, retained, user: process::geteuid() })
    }

    /// The sandbox's path.
    pub fn path(&self) -> PathBuf {
        self.place.path_of(self.place.name.name())
    }

    /// The batch user.
    pub fn user(&self) -> Uid {
        self.user
    }

    /// The name of the retained directory.
    pub fn retained_name(&self) -> Name<'_> {
        self.retained.name()
    }

    /// The path of the retained directory.
    pub fn retained_path(&self) -> PathBuf {
        self.place.path_of(self.retained.name())
    }

    /// The path of the retained proxy: the credential for each call of the switcher.
    pub fn credential(&self) -> PathBuf {
        self.retained_path().join(self.proxy.name().os())
    }

    /// The value of the mark of this sandbox's family.
    pub fn family(&self) -> Result<OsString> {
        family_of(&self.retained_path())
    }

    /// The id of this sandbox in the log, while one of its directories is the batch user's.
    pub fn log_id(&self) -> Option<String> {
        log_id(&self.place.parent, self.place.name.name(), self.retained.name())
    }

    /// Opens the sandbox, which must be a directory of the batch user.
    pub fn open(&self) -> Result<Dir> {
        let dir = tree::open_dir(&self.place.parent, self.place.name.name(), || {
            self.path().into_os_string()
        })?;
        let owner = dir.stat_self().at("examine", self.path())?.uid();
        if owner != self.user {
            return Err(Error::refused(
                self.path(),
                format!("it belongs to uid {owner}, not to you"),
            ));
        }
        Ok(dir)
    }

    /// Opens the retained directory.
    pub fn open_retained(&self) -> Result<Dir> {
        self.place.parent.open_dir(self.retained.name()).at("open", self.retained_path())
    }

    /// Reads the proxy in a directory of the batch user with this path.
    pub fn read_proxy(&self, dir: &Dir, path: &Path) -> Result<Vec<u8>> {
        let path = path.join(self.proxy.name().os());
        let file = dir.open_file(self.proxy.name()).at("open the proxy", &path)?;
        read_credential(file, &path)
    }

    /// Writes the proxy as a new file of a directory with this path, mode 0600.
    pub fn write_proxy(&self, dir: &Dir, path: &Path, proxy: &[u8]) -> Result<()> {
        tree::create(dir, path, self.proxy.name(), proxy)
    }

    /// Replaces the proxy in a directory of the batch user with this path.
    pub fn replace_proxy(&self, dir: &Dir, path: &Path, proxy: &[u8]) -> Result<()> {
        tree::replace(&self.place, dir, path, self.proxy.name(), proxy)
    }
}

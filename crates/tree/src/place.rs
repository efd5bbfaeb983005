//! Where a sandbox is: its parent directory, open, and its name there.

use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result, access};
use sys::{Dir, Errno, Name, OwnedName, process};

use super::temporary;

/// The directory that a sandbox is in, and the sandbox's name there.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub parent: Dir,
    /// Its path, for messages.
    pub path: PathBuf,
    /// The sandbox's own name.
    pub name: OwnedName,
}

impl Place {
    /// Finds the place of an absolute path. Symbolic links in it are followed: the caller chose the
    /// path.
    pub fn find(sandbox: &Path) -> Result<Place> {
        let (path, name) = split(sandbox)?;
        let parent = match Dir::open(path) {
            Err(Errno::EACCES) => {
                let who = format!("uid {}", process::geteuid());
                let why = match sys::access::first_unsearchable(sandbox) {
                    Some(closed) => access::why_unsearchable(&who, &closed),
                    None => format!("{who} cannot open it"),
                };
                return Err(Error::refused(path, why));
            }
            opened => opened.at("open the directory", path)?,
        };
        Ok(Place { parent, path: path.to_path_buf(), name })
    }

    /// The place of an absolute path whose parent directory another process has opened. The path is
    /// for messages, but for its last name.
    pub fn in_directory(parent: Dir, sandbox: &Path) -> Result<Place> {
        let (path, name) = split(sandbox)?;
        Ok(Place { parent, path: path.to_path_buf(), name })
    }

    /// The device that it is on.
    pub fn device(&self) -> Result<u64> {
        Ok(self.parent.stat_self().at("examine", &self.path)?.identity().0)
    }

    /// The path of an entry of the parent directory, for messages.
    pub fn path_of(&self, name: Name<'_>) -> PathBuf {
        self.path.join(name.os())
    }
}

/// The path of the parent directory, and the name there.
fn split(sandbox: &Path) -> Result<(&Path, OwnedName)> {
    use std::os::unix::ffi::OsStrExt as _;
    let (Some(path), Some(name), true) =
        (sandbox.parent(), sandbox.file_name(), sandbox.is_absolute())
    else {
        return Err(Error::refused(
            sandbox,
            "a sandbox is an absolute path of a directory below another",
        ));
    };
    let name = OwnedName::new(name.as_bytes().to_vec())
        .filter(|name| temporary::fits(name.name()))
        .ok_or_else(|| {
            Error::refused(sandbox, "the name is too long: temporary names are made from it")
        })?;
    Ok((path, name))
}

//! Reading a credential: a file that the caller names, and that may be anything.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::{Context as _, Error, Result, Shown};
use sys::{Errno, Kind, Uid, file};

use crate::refusal::Refusal;

/// Opens the credential at a path, which may be a symbolic link. A FIFO is not waited for.
pub fn open(path: &Path) -> Result<File> {
    open_with(path, file::NONBLOCK)
}

/// As [`open`], but a symbolic link in the credential's place is not followed.
pub fn open_no_link(path: &Path) -> Result<File> {
    open_with(path, file::NOFOLLOW_NONBLOCK)
}

fn open_with(path: &Path, flags: i32) -> Result<File> {
    let opened = File::options().read(true).custom_flags(flags).open(path);
    opened.at("open the credential", path)
}

/// Opens a regular file of this user that no other user can access. A symbolic link in its place is
/// not followed.
pub fn open_private(path: &Path, owner: Uid) -> Result<File> {
    let file = open_no_link(path)?;
    check_private(&file, path, owner)?;
    Ok(file)
}

/// Refuses an open file that is not a regular one of this user, or that another user can access.
pub fn check_private(file: &File, path: &Path, owner: Uid) -> Result<()> {
    refuse_irregular(file, path)?;
    let found = file::stat(file).at("examine", path)?.uid();
    if found != owner {
        let why = format!("the credential belongs to uid {found}, not to you");
        return Err(Error::refused(path, why));
    }
    refuse_shared(file, path)
}

/// A credential that cannot be used is a usage error, unless this process has run out of something.
pub fn refusal(error: &Error) -> Refusal {
    match error {
        Error::System { cause: Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM, .. } => {
            Refusal::internal(error.to_string())
        }
        error => Refusal::client(error.to_string()),
    }
}

/// Refuses an open file that group or others have any right to: a user who can read a credential
/// can act in its owner's name.
pub fn refuse_shared(file: &File, path: &Path) -> Result<()> {
    match file::stat(file).at("examine", path)?.mode() {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(Error::refused(
            path,
            format!(
                "the credential is accessible to group or others (mode {mode:04o}); \
                 run chmod 600 {}",
                Shown::os(path)
            ),
        )),
    }
}

/// Refuses an open file that is not a regular one.
pub fn refuse_irregular(file: &File, path: &Path) -> Result<()> {
    match file::stat(file).at("examine", path)?.kind() {
        Kind::File => Ok(()),
        _ => Err(Error::refused(path, "the credential is not a regular file")),
    }
}

/// Reads an open regular file of at most `longest` bytes.
pub fn read(file: File, path: &Path, longest: u64) -> Result<Vec<u8>> {
    refuse_irregular(&file, path)?;
    let mut content = Vec::new();
    file.take(longest + 1).read_to_end(&mut content).at("read", path)?;
    if content.len() as u64 > longest {
        let why = format!("larger than {longest} bytes: it is not a credential");
        return Err(Error::refused(path, why));
    }
    Ok(content)
}

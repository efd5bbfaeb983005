//! A credential of the caller's: a file that nobody else can use.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::{Context as _, Error, Result, Shown};
use sys::file;

use crate::batch::credential::read_credential;

/// Reads it. One that group or others have any right to is refused: whoever can read it can act in
/// the caller's name.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let opened = File::options().read(true).custom_flags(file::NO_WAIT).open(path);
    let file = opened.at("open the credential", path)?;
    let mode = file::stat(&file).at("examine", path)?.mode();
    let content = read_credential(file, path)?;
    if mode & 0o077 != 0 {
        let why =
            format!("it has mode {mode:o}, and others can use it: chmod 600 {}", Shown::os(path));
        return Err(Error::refused(path, why));
    }
    Ok(content)
}

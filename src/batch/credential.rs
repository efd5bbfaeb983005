//! Reading a credential: a file of a caller's, which may be anything.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{self, Kind};

/// A credential is smaller: at most what one message to the agent holds.
pub const LONGEST_PROXY: u64 = wire::frame::CHUNK as u64;

/// Reads the credential at a path of the caller's, which may be a link.
pub fn read_credential_at(path: &Path) -> Result<Vec<u8>> {
    let opened = File::options().read(true).custom_flags(sys::file::NO_WAIT).open(path);
    read_credential(opened.at("open the credential", path)?, path)
}

/// Reads a credential: an open regular file, not empty, of a credential's size.
pub fn read_credential(file: File, path: &Path) -> Result<Vec<u8>> {
    let stat = sys::file::stat(&file).at("examine", path)?;
    if stat.kind() != Kind::File {
        return Err(Error::refused(path, "a proxy is a regular file"));
    }
    let mut content = Vec::new();
    file.take(LONGEST_PROXY + 1).read_to_end(&mut content).at("read", path)?;
    match content.len() as u64 {
        0 => Err(Error::refused(path, "the proxy is empty")),
        1..=LONGEST_PROXY => Ok(content),
        _ => Err(Error::refused(
            path,
            format!("it is larger than {LONGEST_PROXY} bytes: that is no proxy"),
        )),
    }
}

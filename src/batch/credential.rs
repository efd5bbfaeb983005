//! Reading a credential that is sent to the agent.

use std::fs::File;
use std::path::Path;

use command::credential;
use error::{Error, Result};

/// At most what one message to the agent holds.
const LONGEST_PROXY: u64 = wire::frame::CHUNK as u64;

/// Reads the credential at a path of the caller's, which may be a symbolic link.
pub fn read_credential_at(path: &Path) -> Result<Vec<u8>> {
    read_credential(credential::open(path)?, path)
}

/// Reads a credential: an open regular file, not empty, of at most [`LONGEST_PROXY`] bytes.
pub fn read_credential(file: File, path: &Path) -> Result<Vec<u8>> {
    let content = credential::read(file, path, LONGEST_PROXY)?;
    if content.is_empty() {
        return Err(Error::refused(path, "the proxy is empty"));
    }
    Ok(content)
}

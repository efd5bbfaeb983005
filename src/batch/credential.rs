//! Reading a credential that is sent to the agent, or that the switcher gets.

use std::fs::File;
use std::path::Path;

use command::credential;
use error::{Error, Result};

/// The content of the switcher's credential if the caller has none.
pub const DUMMY_CREDENTIAL: &[u8] = b"a dummy credential\n";

/// The maximum size of a credential: what one message to the agent can contain.
const MAX_SIZE: u64 = wire::frame::CHUNK as u64;

/// Reads the credential at a path, which may be a symbolic link.
pub fn read_credential_at(path: &Path) -> Result<Vec<u8>> {
    read_credential(credential::open(path)?, path)
}

/// The same, but a credential that is accessible to group or others is refused.
pub fn read_private_credential_at(path: &Path) -> Result<Vec<u8>> {
    let file = credential::open(path)?;
    credential::refuse_irregular(&file, path)?;
    credential::refuse_shared(&file, path)?;
    read_credential(file, path)
}

/// Reads a credential: an open regular file, not empty, of at most [`MAX_SIZE`] bytes.
pub fn read_credential(file: File, path: &Path) -> Result<Vec<u8>> {
    let content = credential::read(file, path, MAX_SIZE)?;
    if content.is_empty() {
        return Err(Error::refused(path, "the credential is empty"));
    }
    Ok(content)
}

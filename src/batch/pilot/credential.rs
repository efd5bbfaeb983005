//! A credential of the caller's: a file that no other user can access.

use std::path::Path;

use command::credential;
use error::Result;

use crate::batch::credential::read_credential;

/// Reads it. One that group or others have any right to is refused.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let file = credential::open(path)?;
    credential::refuse_irregular(&file, path)?;
    credential::refuse_shared(&file, path)?;
    read_credential(file, path)
}

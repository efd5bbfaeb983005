//! Files that a privileged process believes: they belong to root, and no other user can change or
//! replace them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use error::{Context as _, Error, Result};
use hooks::trust::{self, Owners};

/// Reads a file of root's of at most `longest` bytes.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>> {
    content(trust::open(path, &Owners::ROOT)?, path, longest)
}

/// The content of an open file of at most `longest` bytes.
pub(crate) fn content(file: File, path: &Path, longest: u64) -> Result<Vec<u8>> {
    let mut content = Vec::with_capacity(4096);
    file.take(longest + 1).read_to_end(&mut content).at("read", path)?;
    if content.len() as u64 > longest {
        return Err(Error::refused(path, format!("it is larger than {longest} bytes")));
    }
    Ok(content)
}

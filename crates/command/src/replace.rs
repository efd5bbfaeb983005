//! Replaces a file by one rename.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Gives a path new content, mode 0600: a reader sees the old file or the whole new one. A symbolic
/// link at the path is replaced, not followed. The content is first written to `temporary`, a path
/// in the same directory; a file that is left there is removed.
pub fn replace(path: &Path, temporary: &Path, content: &[u8]) -> std::io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let created = File::options().write(true).create_new(true).mode(0o600).open(temporary);
    let written = created
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(temporary);
    }
    written
}

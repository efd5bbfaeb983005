//! The file of the audit. It is opened for each line, so it can be renamed at any time: the next
//! line makes a new file.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use error::{Context as _, Error, Result};
use hooks::trust::{self, Owners};
use sys::{Errno, file};

/// Appends a line with one write. A line that an earlier write has left incomplete, because the
/// disk was full, is ended first. A line that is just being written can look so, too: then a blank
/// line is between the two, which a reader ignores.
pub(super) fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = open(path)?;
    let length = file.metadata().at("examine", path)?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1).at("read", path)?;
    }
    let begin = if last == [b'\n'] { "" } else { "\n" };
    let whole = format!("{begin}{line}\n");
    match file.write(whole.as_bytes()).at("write to", path)? {
        written if written == whole.len() => Ok(()),
        _ => Err(Errno::ENOSPC).at("write to", path),
    }
}

/// Opens the file to append to it, and makes it with mode 0600, and its directory with mode 0700.
/// The directory is root's, and no other user can write to it.
fn open(path: &Path) -> Result<File> {
    let parent = path.parent().unwrap_or(path);
    match trust::open_directory(parent, &Owners::ROOT) {
        Err(Error::System { cause: Errno::ENOENT, .. }) => {
            match DirBuilder::new().mode(0o700).create(parent) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).at("make", parent);
                }
                _ => trust::open_directory(parent, &Owners::ROOT)?,
            }
        }
        opened => opened?,
    };
    let mut options = File::options();
    options.read(true).append(true).create(true).mode(0o600);
    let file = options.custom_flags(file::NOFOLLOW_NONBLOCK).open(path).at("open", path)?;
    let found = file.metadata().at("examine", path)?;
    let refused = |why: &str| Err(Error::refused(path, why));
    match found {
        found if !found.is_file() => refused("it is not a regular file"),
        found if found.nlink() > 1 => refused("it has more than one hard link"),
        found if found.uid() != 0 => refused("it does not belong to root"),
        found if found.mode() & 0o022 != 0 => refused("other users may write to it: chmod go-w"),
        _ => Ok(file),
    }
}

//! Writing a small file so that no reader ever sees a part of it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use error::{Context as _, Result};
use sys::{Dir, Name, Rename, fd};

use super::Place;

/// Writes a new file, 0600, of a directory that is shown as `path`. It must not exist yet.
pub fn create(dir: &Dir, path: &Path, name: Name<'_>, content: &[u8]) -> Result<()> {
    let path = path.join(name.os());
    let file = dir.create_file(name).at("create", &path)?;
    write(file, &path, content)
}

/// Replaces a file of a directory that is shown as `path`, atomically: the new content is complete
/// under a temporary name at `place`, 0600, before it gets this name. Both directories are on one
/// file system. A symbolic link of this name is replaced, not followed.
pub fn replace(
    place: &Place,
    dir: &Dir,
    path: &Path,
    name: Name<'_>,
    content: &[u8],
) -> Result<()> {
    let (temporary, file) = place.create_file()?;
    let replaced = write(file, &place.path_of(temporary.name()), content).and_then(|()| {
        let renamed = place.parent.rename_into(temporary.name(), dir, name, Rename::Replace);
        renamed.at("replace", path.join(name.os()))
    });
    if replaced.is_err() {
        let _ = place.parent.remove_file(temporary.name());
    }
    replaced
}

fn write(mut file: File, path: &Path, content: &[u8]) -> Result<()> {
    file.write_all(content).at("write", path)?;
    fd::close(file.into()).at("write", path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_link_is_replaced_and_not_followed_and_no_temporary_name_is_left() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let (sandbox, other) = (directory.path().join("s"), directory.path().join("other"));
        std::fs::create_dir(&sandbox)?;
        std::fs::write(&other, "kept")?;
        symlink(&other, sandbox.join("file"))?;
        let (place, dir) = (Place::find(&sandbox)?, Dir::open(&sandbox)?);
        let name = Name::new(b"file").ok_or_else(|| anyhow::anyhow!("a name"))?;
        replace(&place, &dir, &sandbox, name, b"new")?;
        let found = std::fs::symlink_metadata(sandbox.join("file"))?;
        assert!(found.is_file());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(sandbox.join("file"))?, b"new");
        assert_eq!(std::fs::read(&other)?, b"kept");
        assert_eq!(std::fs::read_dir(directory.path())?.count(), 2);
        assert!(create(&dir, &sandbox, name, b"again").is_err());
        Ok(())
    }
}

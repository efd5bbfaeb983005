//! The caller's paths without symbolic links. To be done as the caller, outside of a user
//! namespace: in there the owners of files are not known.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::{Errno, Uid};

use crate::spec::Spec;

/// As many links as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

impl Spec {
    /// The same world, with paths without symbolic links. Each path must exist, but for the places
    /// where something is mounted. A link on the way must be root's or the caller's: another user
    /// could let it lead to what only the caller may reach.
    pub fn resolve(mut self, caller: Uid) -> Result<Spec> {
        let Spec::Closed(closed) = &mut self else { return Ok(self) };
        for bind in closed.read_only.iter_mut().chain(&mut closed.bind) {
            let from = resolve(&bind.from, caller)?;
            // What is mounted where it is, is where it is without links.
            if bind.at == bind.from {
                bind.at.clone_from(&from);
            }
            bind.from = from;
        }
        for path in closed.writable.iter_mut().chain(closed.root.as_mut()) {
            *path = resolve(path, caller)?;
        }
        Ok(self)
    }
}

/// A path without symbolic links, if all that it has are root's or the caller's.
pub fn resolve(path: &Path, caller: Uid) -> Result<PathBuf> {
    let failed = |cause: Errno| {
        Refusal::client(format!("cannot use {} in the closed world: {cause}", Shown::os(path)))
    };
    let (mut done, mut rest) = (PathBuf::from("/"), path.to_owned());
    let mut links = 0;
    loop {
        let mut components = rest.components();
        let Some(next) = components.next() else { return Ok(done) };
        let after = components.as_path().to_owned();
        let at = done.join(next);
        let found = std::fs::symlink_metadata(&at).map_err(|error| failed(sys::errno(&error)))?;
        if next == std::path::Component::ParentDir {
            done.pop();
        } else if found.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(failed(Errno::ELOOP));
            }
            if ![0, caller.as_raw()].contains(&found.uid()) {
                let (path, at) = (Shown::os(path), Shown::os(&at));
                return Err(Refusal::client(format!(
                    "cannot use {path} in the closed world: the link {at} is neither root's nor \
                     yours"
                )));
            }
            let target = std::fs::read_link(&at).map_err(|error| failed(sys::errno(&error)))?;
            rest = target.join(after);
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            continue;
        } else {
            done = at;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_if_they_are_the_callers() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let top = dir.path().canonicalize()?;
        std::fs::create_dir_all(top.join("a/b"))?;
        symlink("../a/./b", top.join("a/relative"))?;
        symlink(top.join("a"), top.join("absolute"))?;
        symlink("loop", top.join("loop"))?;
        let own = sys::process::geteuid();
        let found = resolve(&top.join("absolute/relative"), own);
        assert_eq!(found, Ok(top.join("a/b")));
        assert!(resolve(&top.join("loop"), own).is_err());
        assert!(resolve(&top.join("none"), own).is_err());
        if !own.is_root() {
            return Ok(());
        }
        std::os::unix::fs::lchown(top.join("absolute"), Some(12345), None)?;
        assert!(resolve(&top.join("absolute/b"), own).is_err());
        assert!(resolve(&top.join("absolute/b"), Uid::from_raw(12345)).is_ok());
        Ok(())
    }
}

//! Symbolic links on the path of a script, followed step by step.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use error::{Error, Result};

use crate::trust::{self, Owners};

/// How many links are followed, as the kernel does (path_resolution(7)).
const MOST: usize = 40;

/// The canonical path that an absolute path leads to.
///
/// A link is followed only if the directory that it is in is trusted ([`trust::open_directory`]):
/// then only trusted users can have made or replaced it. Whether the file at the end is trusted is
/// for [`trust::open`] to say, which takes the returned path.
pub(crate) fn resolve(path: &Path, owners: &Owners<'_>) -> Result<PathBuf> {
    let mut left: VecDeque<OsString> = components(path).collect();
    let mut here = PathBuf::from("/");
    let mut followed = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let Ok(target) = std::fs::read_link(&next) else {
            // Not a link; if it does not exist, or cannot be examined, `trust::open` says so.
            here = next;
            continue;
        };
        followed += 1;
        if followed > MOST {
            return Err(Error::refused(path, "it leads through too many symbolic links"));
        }
        trust::open_directory(&here, owners)?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        components(&target).rev().for_each(|name| left.push_front(name));
    }
    Ok(here)
}

/// The components of a path but `/` and `.`.
fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Whether a path is a link to the null device: the mark of a script that is not to run.
pub(crate) fn is_mask(path: &Path) -> bool {
    std::fs::read_link(path).is_ok_and(|target| target.as_os_str().as_bytes() == b"/dev/null")
}

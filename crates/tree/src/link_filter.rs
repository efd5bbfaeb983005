//! Symbolic links that leave the tree are not made in it, whatever their sender tells of them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Name};

use crate::links::{self, Verdict};
use crate::open_dir;
use crate::walk::Walk;

/// How many links may be judged once the tree is complete. More such links are left behind: an
/// ordinary tree has few.
const MAX_UNSURE: usize = 10_000;

/// How many links may be left behind. Records that make nothing on the disk need a limit, too.
const MAX_LEFT: u64 = 1 << 24;

/// How many paths of links that were left behind are kept.
const MAX_NAMED: usize = 20;

/// Judges every link of a tree that is being built.
#[derive(Debug, Default)]
pub(crate) struct LinkFilter {
    /// The paths, relative to the top, of the links that only the kernel can judge.
    unsure: Vec<Vec<u8>>,
    count: u64,
    named: Vec<String>,
}

impl LinkFilter {
    /// Whether a link may be made in the current directory. One that may not is counted.
    pub(crate) fn allows(&mut self, walk: &Walk, name: Name<'_>, target: &[u8]) -> Result<bool> {
        match links::judge(target, walk.depth()) {
            Verdict::Stays => return Ok(true),
            Verdict::Unsure if self.unsure.len() < MAX_UNSURE => {
                if let Some(path) = walk.below_top(name) {
                    self.unsure.push(path);
                    return Ok(true);
                }
            }
            Verdict::Unsure | Verdict::Leaves => {}
        }
        self.count_left(|| walk.path_of(name)).map(|()| false)
    }

    /// Counts a link that is left behind.
    pub(crate) fn count_left(&mut self, path: impl FnOnce() -> OsString) -> Result<()> {
        self.count += 1;
        if self.count > MAX_LEFT {
            return Err(Error::refused(path(), "too many links were left behind"));
        }
        if self.named.len() < MAX_NAMED {
            self.named.push(Shown::os(&path()).to_string());
        }
        Ok(())
    }

    /// Adds the links that another filter of the same tree has judged.
    pub(crate) fn add(&mut self, other: LinkFilter) {
        self.unsure.extend(other.unsure);
        self.count += other.count;
        let room = MAX_NAMED.saturating_sub(self.named.len());
        self.named.extend(other.named.into_iter().take(room));
    }

    /// Removes the links that leave the tree below `top`, which is complete. Returns how many links
    /// were left behind, and the paths of some.
    ///
    /// One pass is enough: a link that is removed can only make another lead nowhere.
    pub(crate) fn finish(mut self, top: &Dir, path: &OsStr) -> Result<(u64, Vec<String>)> {
        for link in std::mem::take(&mut self.unsure) {
            let shown = || [path, OsStr::from_bytes(&link)].join(OsStr::new("/"));
            let mut outside = top.leads_outside(&link);
            if outside.is_none() {
                // Its directory has its final mode, which may deny searching it.
                open_parent(top, &link, shown)?;
                outside = top.leads_outside(&link);
            }
            if outside != Some(false) {
                remove(top, &link, shown)?;
                self.count_left(shown)?;
            }
        }
        Ok((self.count, self.named))
    }
}

/// Removes a link below `top` from a directory that is complete. The directory keeps its time, and
/// its mode but for the owner's bits.
fn remove(top: &Dir, link: &[u8], shown: impl Fn() -> OsString) -> Result<()> {
    let (dir, name) = open_parent(top, link, &shown)?;
    let modified = dir.stat_self().at_entry("examine the directory of", &shown)?.modified();
    dir.remove_file(name).at_entry("remove the link", &shown)?;
    dir.set_modified(modified).at_entry("set the time of the directory of", &shown)
}

/// Opens the directory of a link below `top`. It, and each directory above it, gets all mode bits
/// for its owner. Returns it with the link's name.
fn open_parent<'a>(
    top: &Dir,
    link: &'a [u8],
    shown: impl Fn() -> OsString,
) -> Result<(Dir, Name<'a>)> {
    let invalid = || Errno::EINVAL;
    let mut names =
        link.split(|byte| *byte == b'/').map(|name| Name::new(name).ok_or_else(invalid));
    let last = names
        .next_back()
        .ok_or_else(invalid)
        .and_then(|last| last)
        .at_entry("find the directory of", &shown)?;
    let mut here = top.try_clone().at_entry("find the directory of", &shown)?;
    for name in names {
        here = open_dir(&here, name.at_entry("find the directory of", &shown)?, &shown)?;
        let mode = here.stat_self().at_entry("examine the directory of", &shown)?.mode();
        if mode & 0o700 != 0o700 {
            here.set_mode(mode | 0o700).at_entry("set the mode of the directory of", &shown)?;
        }
    }
    Ok((here, last))
}

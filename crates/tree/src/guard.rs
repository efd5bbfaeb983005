//! Keeps symbolic links that leave the tree from being made in it, whatever their sender says of
//! them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Name};

use super::descent::Descent;
use super::links::{self, Verdict};
use super::open_dir;

/// So many links may wait for the tree to be complete; what is unsure beyond that is left behind.
/// No honest tree has as many.
const MOST_UNSURE: usize = 10_000;

/// So many may be left behind: what leaves nothing on the disk would otherwise never meet an end.
const MOST_LEFT: u64 = 1 << 24;

/// So many links that were left behind are named.
const MOST_NAMED: usize = 20;

/// Judges every link of a tree that is being built.
#[derive(Debug, Default)]
pub struct LinkGuard {
    /// The paths of the links that only the kernel can judge, from the top on.
    unsure: Vec<Vec<u8>>,
    count: u64,
    named: Vec<String>,
}

impl LinkGuard {
    /// Whether a link may be made where the walk is; one that may not is counted.
    pub fn admits(&mut self, walk: &Descent, name: Name<'_>, target: &[u8]) -> Result<bool> {
        match links::judge(target, walk.depth()) {
            Verdict::Stays => return Ok(true),
            Verdict::Unsure if self.unsure.len() < MOST_UNSURE => {
                if let Some(path) = walk.below_top(name) {
                    self.unsure.push(path);
                    return Ok(true);
                }
            }
            Verdict::Unsure | Verdict::Leaves => {}
        }
        self.left(|| walk.path_of(name)).map(|()| false)
    }

    /// Counts a link that is left behind.
    pub fn left(&mut self, path: impl FnOnce() -> OsString) -> Result<()> {
        self.count += 1;
        if self.count > MOST_LEFT {
            return Err(Error::refused(path(), "too many links were left behind"));
        }
        if self.named.len() < MOST_NAMED {
            self.named.push(Shown::os(&path()).to_string());
        }
        Ok(())
    }

    /// Removes what turns out to leave the complete tree below `top`. Returns how many links were
    /// left behind, and the paths of some.
    ///
    /// A link that is removed can only make another lead nowhere, so one round is enough.
    pub fn end(mut self, top: &Dir, path: &OsStr) -> Result<(u64, Vec<String>)> {
        for link in std::mem::take(&mut self.unsure) {
            let shown = || [path, OsStr::from_bytes(&link)].join(OsStr::new("/"));
            let mut outside = top.leads_outside(&link);
            if outside.is_none() {
                // Its directory has its own mode by now, which may keep us out.
                open_up(top, &link, shown)?;
                outside = top.leads_outside(&link);
            }
            if outside != Some(false) {
                remove(top, &link, shown)?;
                self.left(shown)?;
            }
        }
        Ok((self.count, self.named))
    }
}

/// Removes a link below `top` from a directory that is complete: it keeps its time, and its mode
/// but for what its owner may.
fn remove(top: &Dir, link: &[u8], shown: impl Fn() -> OsString) -> Result<()> {
    let (dir, name) = open_up(top, link, &shown)?;
    let modified = dir.stat_self().at_entry("examine the directory of", &shown)?.modified();
    dir.remove_file(name).at_entry("remove the link", &shown)?;
    dir.set_modified(modified).at_entry("set the time of the directory of", &shown)
}

/// Opens the directory of a link below `top`, and gives its owner all rights to it, and to all on
/// the way. Returns it with the link's name.
fn open_up<'a>(top: &Dir, link: &'a [u8], shown: impl Fn() -> OsString) -> Result<(Dir, Name<'a>)> {
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
            here.set_mode(mode | 0o700).at_entry("open up the directory of", &shown)?;
        }
    }
    Ok((here, last))
}

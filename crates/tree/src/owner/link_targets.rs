//! Copies in the place of symbolic links that leave a tree.

use std::collections::HashMap;
use std::ffi::OsStr;

use error::{Context as _, Result};
use sys::{Dir, Gid, Kind, Name, Owner, Stat, process};

use super::replace::Replacer;
use crate::link_target::{self, Target};
use crate::links::{Verdict, judge_at};
use crate::names::Names;
use crate::walk::Walk;
use crate::{Place, if_exists, open_dir};

/// Puts a copy of the regular file that a link leads to in the link's place, for each link that
/// leaves the tree below `top`. A link stays if it leads to anything else, or to a file that can't
/// be read. A file is copied once, however many links lead to it.
///
/// To be called with the rights of the job user, who owns the tree and made the links. `place` is
/// the directory for temporary names, on the same file system. `heartbeat` is called from time to
/// time. Returns how many links were replaced.
pub fn copy_link_targets(
    top: Dir,
    path: &OsStr,
    place: &Place,
    heartbeat: &mut dyn FnMut(),
) -> Result<u64> {
    let owner = Owner { uid: process::geteuid(), gid: Gid::effective() };
    let mut copier = LinkCopier {
        replacer: Replacer::new(place, owner),
        copies: HashMap::new(),
        follows_links: true,
        replaced: 0,
        heartbeat,
    };
    let mut walk = Walk::new(top, path);
    let mut pending = vec![copier.directory(&walk)?];
    while let Some(subdirectories) = pending.last_mut() {
        let Some(name) = subdirectories.last() else {
            pending.pop();
            walk.leave()?;
            continue;
        };
        walk.check_depth()?;
        let opened = open_dir(walk.current()?, name, || walk.path_of(name));
        let below = match if_exists(opened)? {
            Some(dir) => {
                walk.enter(name, dir)?;
                Some(copier.directory(&walk)?)
            }
            None => None,
        };
        subdirectories.pop();
        pending.extend(below);
    }
    Ok(copier.replaced)
}

struct LinkCopier<'a> {
    replacer: Replacer<'a>,
    /// The numbers of the copies, by device and inode of the file.
    copies: HashMap<(u64, u64), u32>,
    /// False once a link has led to a file system that does not answer.
    follows_links: bool,
    replaced: u64,
    heartbeat: &'a mut dyn FnMut(),
}

impl LinkCopier<'_> {
    /// Replaces the links of the current directory. Returns its subdirectories.
    fn directory(&mut self, walk: &Walk) -> Result<Names> {
        let here = walk.current()?;
        let before = here.stat_self().at("examine", walk.path())?;
        if before.mode() & 0o500 != 0o500 {
            // It is open, so it can be read; but its mode denies searching it.
            here.set_mode(before.mode() | 0o700).at("set the mode of", walk.path())?;
        }
        let (mut subdirectories, mut links) = (Names::default(), Names::default());
        let listed = here.for_each_entry(|name, kind| {
            let kind = match kind {
                Some(kind) => Some(kind),
                None => {
                    let stat = here.stat(name).at_entry("examine", || walk.path_of(name));
                    if_exists(stat)?.map(|stat| stat.kind())
                }
            };
            match kind {
                Some(Kind::Directory) => subdirectories.push(name),
                Some(Kind::Symlink) => links.push(name),
                _ => {}
            }
            Ok(())
        });
        listed.at("read the directory", walk.path())??;
        self.links(walk, &before, links)?;
        Ok(subdirectories)
    }

    /// Replaces those of these links that leave the tree.
    fn links(&mut self, walk: &Walk, before: &Stat, mut links: Names) -> Result<()> {
        let here = walk.current()?;
        let replaced_before = self.replaced;
        while let Some(name) = links.last() {
            (self.heartbeat)();
            let target = here.read_link(name).at_entry("read the link", || walk.path_of(name));
            if let Some(target) = if_exists(target)? {
                if judge_at(walk, name, &target)? == Verdict::Leaves && self.follows_links {
                    self.link(walk, here, before, name)?;
                }
            }
            links.pop();
        }
        if self.replaced > replaced_before {
            here.set_modified(before.modified()).at("set the time of", walk.path())?;
        }
        Ok(())
    }

    /// Replaces a link, if it leads to a regular file that can be read.
    fn link(&mut self, walk: &Walk, here: &Dir, before: &Stat, name: Name<'_>) -> Result<()> {
        let path = || walk.path_of(name);
        let (file, stat) = match link_target::open(here, name, self.heartbeat) {
            Target::File(file, stat) => (file, stat),
            Target::Other => return Ok(()),
            Target::TimedOut => {
                self.follows_links = false;
                return Ok(());
            }
        };
        let number = match self.copies.get(&stat.identity()) {
            Some(number) => *number,
            None => {
                // Its attributes may be anything where it comes from: they are not copied.
                let mode = |_: &_| Ok(stat.mode() & 0o777);
                let copy = self.replacer.copy(&file, &stat, mode, self.heartbeat)?;
                let number = copy.at_entry("copy", path)?;
                self.copies.insert(stat.identity(), number);
                number
            }
        };
        if before.mode() & 0o200 == 0 {
            here.set_mode(before.mode() | 0o700).at("set the mode of", walk.path())?;
        }
        self.replacer.put_link(number, here, name).at_entry("replace the link", path)?;
        self.replaced += 1;
        Ok(())
    }
}

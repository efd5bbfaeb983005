//! Sending a symbolic link, or what the policy wants in its place.

use std::fs::File;

use error::{Context as _, Result};
use sys::{Errno, Name, Stat};
use wire::{Frame, Links};

use super::hard_links::Known;
use super::{Sender, Transfer};
use crate::if_exists;
use crate::link_target::{self, Target};
use crate::links::{Verdict, judge_at};
use crate::walk::Walk;

impl Sender<'_> {
    /// Sends a link, or what the policy wants in its place.
    pub(super) fn symlink(&mut self, walk: &Walk, name: Name<'_>) -> Result<()> {
        let here = walk.current()?;
        let stat = here.stat(name).at_entry("examine", || walk.path_of(name));
        let target = here.read_link(name).map_err(|cause| match cause {
            Errno::EINVAL => Errno::ENOENT, // it is of another kind now
            cause => cause,
        });
        let target = target.at_entry("read the link", || walk.path_of(name));
        let (Some(stat), Some(target)) = (if_exists(stat)?, if_exists(target)?) else {
            return Ok(());
        };
        let (policy, verdict) = match self.transfer {
            Transfer::Take(policy @ (Links::Copy | Links::Drop)) => {
                (policy, judge_at(walk, name, &target)?)
            }
            _ => (Links::Keep, Verdict::Stays),
        };
        if verdict != Verdict::Leaves {
            // The receiver judges a link of which the target does not tell, by its path: such a
            // link is sent anew for each name.
            let number =
                if verdict == Verdict::Unsure { Some(0) } else { self.first_name(name, &stat)? };
            if let Some(number) = number {
                self.put(Frame::Symlink {
                    name,
                    number,
                    modified: stat.modified(),
                    target: &target,
                })?;
                self.totals.symlinks += 1;
            }
            return Ok(());
        }
        if policy == Links::Copy && self.follows_links {
            let channel = &mut *self.channel;
            let mut heartbeat = || {
                // That the helper has ended is noticed when the next record is sent.
                let _ = channel.keep_alive();
            };
            match link_target::open(here, name, &mut heartbeat) {
                Target::File(file, stat) => return self.copy_of_target(walk, name, &file, &stat),
                Target::Other => {}
                Target::TimedOut => self.follows_links = false,
            }
        }
        self.dropped.links += 1;
        self.put(Frame::DroppedLink { name })
    }

    /// Sends a copy of the file that a link leads to: once, if many links lead to it, and without
    /// its attributes, which come from an unknown place.
    fn copy_of_target(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        file: &File,
        stat: &Stat,
    ) -> Result<()> {
        let Some(number) = self.once(name, Known::Target(stat.identity()))? else { return Ok(()) };
        self.put(Frame::File { name, number })?;
        let size = self.content(walk, name, file, stat)?;
        let attributes = self.attributes(stat.mode(), None, stat.modified());
        self.totals.files += 1;
        self.put(Frame::Close { size, attributes })
    }
}

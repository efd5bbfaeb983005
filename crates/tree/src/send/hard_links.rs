//! Further names of files that were sent already.

use std::collections::hash_map::Entry;

use error::{Error, Result};
use sys::{Kind, Name, Stat, Time};
use wire::Frame;

use super::{Sender, Transfer};
use crate::content::LARGE;

/// A file with several names that was sent.
pub(super) struct Numbered {
    number: u32,
    /// How many of its names have not been met. After the last one it is forgotten.
    names_left: u32,
}

/// What identifies a file that is sent once, however often it is met and however many names it has.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Known {
    /// Device and inode, with size and time: they change if the inode becomes another file.
    Large((u64, u64), u64, Time),
    /// Device and inode of the file that a symbolic link leads to.
    Target((u64, u64)),
}

impl Sender<'_> {
    /// The number for a file that is met for the first time; 0 if it will not be met again. If it
    /// was met before, this name is sent as a further one, and there is no number.
    ///
    /// A large file gets a number also if it has one name. A process that the job has left may move
    /// it, again and again, to a directory that is not read yet; it is sent once all the same.
    pub(super) fn first_name(&mut self, name: Name<'_>, stat: &Stat) -> Result<Option<u32>> {
        let large = matches!(self.transfer, Transfer::Take(_))
            && stat.kind() == Kind::File
            && stat.size() >= LARGE;
        if stat.nlink() < 2 {
            let known = Known::Large(stat.identity(), stat.size(), stat.modified());
            return if large { self.once(name, known) } else { Ok(Some(0)) };
        }
        let number = match self.linked.entry(stat.identity()) {
            Entry::Vacant(vacant) => {
                let number = next(&mut self.last_number)?;
                let names_left = u32::try_from(stat.nlink() - 1).unwrap_or(u32::MAX);
                vacant.insert(Numbered { number, names_left });
                return Ok(Some(number));
            }
            Entry::Occupied(mut met) => {
                met.get_mut().names_left -= 1;
                if met.get().names_left == 0 { met.remove().number } else { met.get().number }
            }
        };
        self.further_name(name, number).map(|()| None)
    }

    /// As [`Sender::first_name`], for a file that is sent once.
    pub(super) fn once(&mut self, name: Name<'_>, known: Known) -> Result<Option<u32>> {
        match self.known.entry(known) {
            Entry::Vacant(vacant) => Ok(Some(*vacant.insert(next(&mut self.last_number)?))),
            Entry::Occupied(met) => {
                let number = *met.get();
                self.further_name(name, number).map(|()| None)
            }
        }
    }

    fn further_name(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        self.totals.links += 1;
        self.put(Frame::Link { name, number })
    }
}

/// The number after the last one.
fn next(last: &mut u32) -> Result<u32> {
    *last = last
        .checked_add(1)
        .ok_or_else(|| Error::refused("the sandbox", "it has too many files with several names"))?;
    Ok(*last)
}

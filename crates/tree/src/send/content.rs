//! Sending a regular file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{Errno, Name, Stat};
use wire::Frame;
use wire::frame::CHUNK;

use super::{RECEIVER, Sender, Transfer, broken};
use crate::content::{self, LARGE};
use crate::refuse_mount_point;
use crate::walk::Walk;

impl Sender<'_> {
    /// Sends an open file; or, if it was sent before, one more name of it. `mode` is its former
    /// mode, if that had to be changed.
    pub(super) fn file(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        file: &File,
        stat: &Stat,
        mode: Option<u32>,
    ) -> Result<()> {
        let Some(number) = self.first_name(name, stat)? else { return Ok(()) };
        self.put(Frame::File { name, number })?;
        let access = self.send_attributes(file, || walk.path_of(name))?;
        let size = self.content(walk, name, file, stat)?;
        let attributes = self.attributes(mode.unwrap_or(stat.mode()), access, stat.modified());
        self.totals.files += 1;
        self.put(Frame::Close { size, attributes })
    }

    /// Sends a file's content. Returns its length now, at most the one that it had when it was
    /// opened.
    pub(super) fn content(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        file: &File,
        stat: &Stat,
    ) -> Result<u64> {
        if self.passes(stat) && self.pass(file, stat)? {
            return Ok(stat.size());
        }
        self.bytes(walk, name, file, stat)
    }

    /// Whether a file is passed as a descriptor.
    fn passes(&self, stat: &Stat) -> bool {
        let writable_by_others = self.transfer == Transfer::Give && stat.mode() & 0o022 != 0;
        stat.size() >= LARGE && stat.identity().0 == self.device && !writable_by_others
    }

    /// Passes an open file, and waits until the receiver has copied it. False if the kernel refuses
    /// to pass it.
    fn pass(&mut self, file: &File, stat: &Stat) -> Result<bool> {
        let passed =
            self.channel.pass(Frame::Content { size: stat.size() }, file).map_err(broken)?;
        if passed.is_none() {
            return Ok(false);
        }
        // A copy is given one second for each mebibyte, besides the idle timeout.
        let time = Duration::from_secs(stat.size() >> 20);
        match self.channel.receive_after(time).map_err(broken)? {
            Frame::Taken => {}
            Frame::Failed { text } => {
                return Err(Error::Told { who: RECEIVER, text: text.to_vec() });
            }
            _ => return Err(broken(ConnectionError::Protocol("an answer out of turn"))),
        }
        self.totals.passed += stat.size();
        Ok(true)
    }

    /// Sends a file's bytes without its holes. Returns as [`Sender::content`].
    fn bytes(&mut self, walk: &Walk, name: Name<'_>, file: &File, stat: &Stat) -> Result<u64> {
        let mut offset = 0;
        loop {
            let data = content::next_data(file, stat, offset..stat.size());
            let Some(data) = data.at_entry("seek in", || walk.path_of(name))? else {
                return Ok(stat.size());
            };
            offset = data.start;
            while offset < data.end {
                let length = usize::try_from(data.end - offset).unwrap_or(CHUNK).min(CHUNK);
                let read = self
                    .channel
                    .queue_data(offset, length, |room| file.read_at(room, offset))
                    .map_err(broken)?;
                let read = read.at_entry("read", || walk.path_of(name))? as u64;
                if read == 0 {
                    return Ok(offset);
                }
                offset += read;
                self.totals.bytes += read;
                (self.progress)(&self.totals);
            }
        }
    }
}

/// Opens a file to read it. If its mode denies that to its owner and `changes_mode` is set, the
/// mode is changed first, and the former one is returned.
pub(super) fn open(walk: &Walk, name: Name<'_>, changes_mode: bool) -> Result<(File, Option<u32>)> {
    let here = walk.current()?;
    let file = match here.open_file(name) {
        Err(Errno::EACCES) if changes_mode => here
            .add_mode(name, 0o400)
            .and_then(|mode| here.open_file(name).map(|file| (file, Some(mode)))),
        file => file.map(|file| (file, None)),
    };
    refuse_mount_point(file, || walk.path_of(name))
}

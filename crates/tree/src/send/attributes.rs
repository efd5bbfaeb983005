//! The attributes of a file or directory that are sent, and those that are not.

use std::ffi::OsString;
use std::os::fd::AsFd;

use error::{Context as _, Result};
use sys::{Errno, Time, xattr};
use wire::{Attributes, Frame};

use super::{Sender, broken};
use crate::attributes::{self, ACCESS_LIST, is_dropped, is_users};

impl Sender<'_> {
    /// Sends the `user.*` attributes of an open file or directory. Returns the owning group's bits
    /// of its access control list, if it has one.
    pub(super) fn send_attributes(
        &mut self,
        file: &impl AsFd,
        path: impl Fn() -> OsString,
    ) -> Result<Option<u32>> {
        xattr::list(file, &mut self.names).at_entry("list the attributes of", &path)?;
        let mut group = None;
        let names = std::mem::take(&mut self.names);
        for name in attributes::names(&names) {
            self.dropped.attributes += u64::from(is_dropped(name));
            if !is_users(name) && name != ACCESS_LIST {
                continue;
            }
            match xattr::get(file, name, &mut self.value) {
                Err(Errno::ENODATA) => {} // it was removed since it was listed
                got if name == ACCESS_LIST => {
                    got.at_entry("read an access control list of", &path)?;
                    group = xattr::group_bits(&self.value);
                }
                got => {
                    got.at_entry("read an attribute of", &path)?;
                    self.totals.attributes += 1;
                    let frame = Frame::Attribute { name: name.to_bytes(), value: &self.value };
                    self.channel.queue(frame).map_err(broken)?;
                }
            }
        }
        self.names = names;
        Ok(group)
    }

    /// The attributes that are sent in every record of a file or directory. `group` is what
    /// [`Sender::send_attributes`] has returned.
    pub(super) fn attributes(
        &mut self,
        mode: u32,
        group: Option<u32>,
        modified: Time,
    ) -> Attributes {
        if mode & 0o7000 != 0 {
            self.dropped.bits += 1;
        }
        Attributes { mode: attributes::mode(mode, group), modified }
    }
}

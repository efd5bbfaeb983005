//! The attributes of a file or directory that are sent, and those that are not.

use std::ffi::{CStr, OsString};
use std::os::fd::AsFd;

use error::{Context as _, Result};
use sys::{Errno, Time, xattr};
use wire::{Attributes, Frame};

use super::{Sender, broken};

/// Attributes that the copy gets without being sent them, where the system has them: they are not
/// counted as dropped.
const EVERYWHERE: [&CStr; 2] = [c"security.selinux", c"system.nfs4_acl"];

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
        for name in names.split_inclusive(|byte| *byte == 0) {
            let Ok(with_nul) = CStr::from_bytes_with_nul(name) else {
                continue;
            };
            let user = with_nul.to_bytes().starts_with(b"user.");
            let list = with_nul == c"system.posix_acl_access";
            if !user && !EVERYWHERE.contains(&with_nul) {
                self.dropped.attributes += 1;
            }
            if !user && !list {
                continue;
            }
            match xattr::get(file, with_nul, &mut self.value) {
                Err(Errno::ENODATA) => {} // it was removed since it was listed
                got if list => {
                    got.at_entry("read an access control list of", &path)?;
                    group = xattr::group_bits(&self.value);
                }
                got => {
                    got.at_entry("read an attribute of", &path)?;
                    self.totals.attributes += 1;
                    let frame = Frame::Attribute { name: with_nul.to_bytes(), value: &self.value };
                    self.channel.queue(frame).map_err(broken)?;
                }
            }
        }
        self.names = names;
        Ok(group)
    }

    /// The attributes that are sent in every record of a file or directory. Where there is an
    /// access control list, the group's mode bits are its mask: the group gets what both its own
    /// entry and the mask allow.
    pub(super) fn attributes(
        &mut self,
        mode: u32,
        group: Option<u32>,
        modified: Time,
    ) -> Attributes {
        if mode & 0o7000 != 0 {
            self.dropped.bits += 1;
        }
        let allowed = group.map_or(0o777, |bits| 0o707 | bits << 3);
        Attributes { mode: mode & 0o777 & allowed, modified }
    }
}

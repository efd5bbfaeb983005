//! The attributes of a file or directory whose owner changes.

use std::os::fd::AsFd;

use sys::{Errno, Result, xattr};

use crate::attributes::{self, ACCESS_LIST, is_dropped, is_users};

/// Buffers for a list of attributes, and for the value of one.
#[derive(Default)]
pub(super) struct Buffers {
    names: Vec<u8>,
    value: Vec<u8>,
}

/// What was found among the attributes of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The owning group's bits, if the file has an access control list.
    group: Option<u32>,
    /// How many attributes a copy would not have.
    pub(super) dropped: u64,
}

impl Found {
    /// The mode bits that a copy of the file would have.
    pub(super) fn mode(self, mode: u32) -> u32 {
        attributes::mode(mode, self.group)
    }
}

impl Buffers {
    /// Lists the attributes of an open file.
    pub(super) fn list(&mut self, file: &impl AsFd) -> Result<Found> {
        xattr::list(file, &mut self.names)?;
        let mut found = Found::default();
        for name in attributes::names(&self.names).filter(|name| is_dropped(name)) {
            found.dropped += 1;
            if name == ACCESS_LIST {
                match xattr::get(file, name, &mut self.value) {
                    Err(Errno::ENODATA) => {} // it was removed since it was listed
                    got => {
                        got?;
                        found.group = xattr::group_bits(&self.value);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Removes those of the attributes that were listed last that a copy of the file would not
    /// have. False if one can't be removed.
    pub(super) fn remove_dropped(&self, file: &impl AsFd) -> Result<bool> {
        for name in attributes::names(&self.names).filter(|name| is_dropped(name)) {
            match xattr::remove(file, name) {
                Err(Errno::EPERM | Errno::EACCES) => return Ok(false),
                removed => removed?,
            }
        }
        Ok(true)
    }

    /// Sets the user's attributes of one file on another one. Returns what was found.
    pub(super) fn copy(&mut self, from: &impl AsFd, to: &impl AsFd) -> Result<Found> {
        let found = self.list(from)?;
        for name in attributes::names(&self.names).filter(|name| is_users(name)) {
            match xattr::get(from, name, &mut self.value) {
                Err(Errno::ENODATA) => {}
                got => {
                    got?;
                    xattr::set(to, name.to_bytes(), &self.value)?;
                }
            }
        }
        Ok(found)
    }
}

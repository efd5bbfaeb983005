//! An order that a client passes to a process with root's rights: its options, and the parent
//! directories of the paths that they name, as descriptors. The client opens these with its own
//! rights; the other side resolves no path.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use command::program::Options;
use command::refusal::{Refusal, Result};
use sys::Dir;
use tree::Place;

use super::order::Order;

impl Order {
    /// The descriptors to pass: those of the parent directories, in the order of the options.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.places().map(|place| place.parent.as_fd()).collect()
    }

    /// The options as words, to pass: each option's name, and its value.
    pub fn words(options: &Options) -> Vec<OsString> {
        options.given().flat_map(|(name, value)| [OsString::from(name), value.to_owned()]).collect()
    }

    /// Makes the order of [`Order::words`] and [`Order::descriptors`], which a client has passed.
    pub fn from_passed(words: &[OsString], descriptors: Vec<OwnedFd>) -> Result<Order> {
        let invalid = || Refusal::client("the request has no valid change of owner");
        let mut options = Vec::new();
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(invalid()) };
            options.push((name.to_str().ok_or_else(invalid)?, value.as_os_str()));
        }
        if options.iter().any(|(name, _)| *name == "hand-over") {
            return Err(invalid());
        }
        let mut descriptors = descriptors.into_iter();
        let order = Order::from_options(&options, &mut |option, path| {
            place(option, path, descriptors.next().ok_or_else(invalid)?)
        })?;
        match descriptors.next() {
            None => Ok(order),
            Some(_) => Err(invalid()),
        }
    }
}

/// The place of a path whose parent directory was passed.
fn place(option: &str, path: &OsStr, parent: OwnedFd) -> Result<Place> {
    let refused = |why: &dyn std::fmt::Display| {
        Refusal::client(format!("cannot use the path of --{option}: {why}"))
    };
    let parent = Dir::from_passed(parent).map_err(|cause| refused(&cause))?;
    Place::in_directory(parent, Path::new(path)).map_err(|error| refused(&error))
}

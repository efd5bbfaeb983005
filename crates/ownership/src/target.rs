//! The directory that changes its owner: held by descriptor, renamed by name.

use std::ffi::OsString;

use command::refusal::{Refusal, Result};
use error::{Error, Shown};
use sys::{Dir, Errno, Owner, Rename, Stat};
use tree::Place;
use tree::owner::{Scan, Taken};

use super::users::Users;

/// An open directory, and where it is.
pub(super) struct Target<'a> {
    pub(super) place: &'a Place,
    pub(super) dir: Dir,
    users: Users,
}

/// The mode of a directory of the caller's while it is given: the files below it are the payload
/// user's in part, and have to become the caller's as they are (`--undo`), or the payload user's.
pub(super) const BEING_GIVEN: u32 = 0o1700;

/// Who owns a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Caller,
    Payload,
}

impl<'a> Target<'a> {
    /// Opens the directory at a place, which belongs to one of the two users. None if nothing has
    /// the name. A symbolic link is not followed.
    pub(super) fn open(place: &'a Place, users: Users) -> Result<Option<Target<'a>>> {
        let dir = match place.parent.open_dir(place.name.name()) {
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::EXDEV) => {
                let why = "it is a mount point: copy it";
                return Err(Refusal::copy(format!("{}: {why}", path_of(place))));
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(Refusal::client(format!("{}: it is no directory", path_of(place))));
            }
            opened => opened.map_err(|cause| failed("open", place, cause))?,
        };
        let target = Target { place, dir, users };
        target.holder()?;
        Ok(Some(target))
    }

    /// As [`Target::open`]; it is a usage error if nothing has the name.
    pub(super) fn existing(place: &'a Place, users: Users) -> Result<Target<'a>> {
        Target::open(place, users)?
            .ok_or_else(|| Refusal::client(format!("{}: it does not exist", path_of(place))))
    }

    /// Its path.
    pub(super) fn path(&self) -> OsString {
        self.place.path_of(self.place.name.name()).into_os_string()
    }

    /// Its path, for messages.
    pub(super) fn shown(&self) -> String {
        path_of(self.place)
    }

    /// A second descriptor of it.
    pub(super) fn again(&self) -> Result<Dir> {
        self.dir.try_clone().map_err(|cause| failed("open", self.place, cause))
    }

    /// Its metadata.
    pub(super) fn stat(&self) -> Result<Stat> {
        self.dir.stat_self().map_err(|cause| failed("examine", self.place, cause))
    }

    /// Who owns it. It is a usage error if neither of the two users does.
    pub(super) fn holder(&self) -> Result<Holder> {
        match self.stat()?.uid() {
            uid if uid == self.users.caller.uid => Ok(Holder::Caller),
            uid if uid == self.users.payload.uid => Ok(Holder::Payload),
            _ => Err(Refusal::client(format!(
                "{}: it belongs to another user than you and the user of the lease, uid {}",
                self.shown(),
                self.users.payload.uid
            ))),
        }
    }

    /// Whether it is an empty directory of the caller's.
    pub(super) fn is_empty_of_caller(&self) -> Result<bool> {
        let listed = self.dir.for_each_entry(|_, _| Err(()));
        let listed = listed.map_err(|cause| failed("read the directory", self.place, cause))?;
        Ok(listed.is_ok() && self.holder()? == Holder::Caller)
    }

    /// Changes the owner and the mode of the directory alone.
    pub(super) fn set(&self, owner: Owner, mode: u32) -> Result<()> {
        sys::owner::set(&self.dir, owner)
            .and_then(|()| self.dir.set_mode(mode))
            .map_err(|cause| failed("change the owner of", self.place, cause))
    }

    /// Makes it the caller's, with the mode of a directory that is being given. The mode comes
    /// first: at no moment it is the caller's with another mode.
    pub(super) fn close(&self) -> Result<()> {
        let closed = self.dir.set_mode(BEING_GIVEN);
        closed
            .and_then(|()| sys::owner::set(&self.dir, self.users.caller))
            .map_err(|cause| failed("change the owner of", self.place, cause))
    }

    /// An error if entries of a third user stay in it.
    pub(super) fn refuse_foreign(&self, taken: &Taken) -> Result<()> {
        if taken.foreign == 0 {
            return Ok(());
        }
        let first = taken.named_foreign.first().map_or("", String::as_str);
        Err(Refusal::internal(format!(
            "{}: {} entries of a third user stay as they are, such as {first}",
            self.shown(),
            taken.foreign
        )))
    }

    /// Gives it the name `to`, at which nothing is, or something that it exchanges its name with.
    /// It is an error if another directory has its name meanwhile.
    pub(super) fn rename(&self, to: &'a Place, how: Rename) -> Result<()> {
        let rename = |from: &Place, to: &Place| {
            from.parent.rename_into(from.name.name(), &to.parent, to.name.name(), how)
        };
        self.check_name(self.place)?;
        rename(self.place, to).map_err(|cause| match (how, cause) {
            (Rename::Exchange, Errno::EINVAL | Errno::ENOSYS) => {
                let why = "its name cannot be exchanged here";
                Refusal::copy(format!("{}: {why}: {cause}", self.shown()))
            }
            _ => failed("rename", self.place, cause),
        })?;
        self.check_name(to).inspect_err(|_| {
            // Another directory took the name between the check and the rename.
            let _ = rename(to, self.place);
        })
    }

    fn check_name(&self, place: &Place) -> Result<()> {
        let named = place.parent.stat(place.name.name());
        let named = named.map_err(|cause| failed("examine", place, cause))?;
        if named.identity() == self.stat()?.identity() {
            return Ok(());
        }
        Err(Refusal::internal(format!(
            "{}: another process put something else there meanwhile",
            path_of(place)
        )))
    }
}

/// Fails unless nothing is at a place.
pub(super) fn check_free(to: &Place) -> Result<()> {
    match to.parent.stat(to.name.name()) {
        Err(Errno::ENOENT) => Ok(()),
        Ok(_) | Err(Errno::EXDEV) => Err(Refusal::client(format!("{}: it exists", path_of(to)))),
        Err(cause) => Err(failed("examine", to, cause)),
    }
}

/// Fails unless a directory can be renamed to a place, if that is free.
pub(super) fn check_device(to: &Place, from: &Target<'_>) -> Result<()> {
    let device = to.device().map_err(|error| Refusal::internal(error.to_string()))?;
    if device == from.stat()?.identity().0 {
        return Ok(());
    }
    Err(Refusal::client(format!("{}: it is on another file system", path_of(to))))
}

/// An error if the directory itself has more entries than it may have.
pub(super) fn check_top(target: &Target<'_>, scan: &Scan, limit: Option<u64>) -> Result<()> {
    match limit {
        Some(limit) if scan.top_entries > limit => Err(Refusal::copy(format!(
            "{}: it has {} entries, more than {limit} (--top-limit)",
            target.shown(),
            scan.top_entries
        ))),
        _ => Ok(()),
    }
}

/// An error before anything is changed: the tree can be copied, and the copy tells what is wrong.
pub(super) fn unfit(error: Error) -> Refusal {
    Refusal::copy(error.to_string())
}

/// The path of a place, for messages.
pub(super) fn path_of(place: &Place) -> String {
    Shown::os(&place.path_of(place.name.name())).to_string()
}

/// A step on a place that has failed.
pub(super) fn failed(step: &str, place: &Place, cause: Errno) -> Refusal {
    Refusal::internal(format!("cannot {step} {}: {cause}", path_of(place)))
}

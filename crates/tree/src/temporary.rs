//! Temporary names: `<sandbox>.gh.` and eight hexadecimal digits, in the sandbox's parent
//! directory. Both users make them; the next helper or agent of the same user removes those that
//! a killed one left.

use std::fs::File;
use std::ops::ControlFlow;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Name, OwnedName, Uid, namespace};

use super::{Place, remove_with};

/// Comes between the sandbox's name and the digits.
const INFIX: &[u8] = b".gh.";

/// How many hexadecimal digits end a temporary name. Nothing else is one: a sandbox may have `.gh.`
/// in its own name.
const DIGITS: usize = 8;

/// How many names are tried before another process's having taken one is an error.
const MAX_TRIES: usize = 16;

/// Whether temporary names can be made from a sandbox's name.
pub(crate) fn fits(name: Name<'_>) -> bool {
    name.bytes().len() + INFIX.len() + DIGITS <= sys::name::NAME_MAX
}

/// The name of the sandbox that this name is made from, if it is a temporary one; else the name
/// itself.
pub fn sandbox_name(name: &[u8]) -> &[u8] {
    match name.len().checked_sub(DIGITS).map(|end| name.split_at(end)) {
        Some((start, end)) if are_digits(end) => start.strip_suffix(INFIX).unwrap_or(name),
        _ => name,
    }
}

impl Place {
    /// A random temporary name. It may be taken, and it is not secret: what gets it is created
    /// exclusively.
    pub fn temporary_name(&self) -> OwnedName {
        let mut bytes = self.prefix();
        bytes.extend_from_slice(format!("{:0DIGITS$x}", fastrand::u32(..)).as_bytes());
        // Place::find has checked the length.
        OwnedName::new(bytes).unwrap_or_else(|| self.name.clone())
    }

    /// Makes a directory with a temporary name, 0700.
    pub fn create_dir(&self) -> Result<(OwnedName, Dir)> {
        self.create(|name| self.parent.create_dir(name))
    }

    /// Makes a file with a temporary name, 0600, to write.
    pub(crate) fn create_file(&self) -> Result<(OwnedName, File)> {
        self.create(|name| self.parent.create_file(name))
    }

    /// Calls `visit` with each temporary name found here and its owner, until it breaks; with none
    /// where the directory can't be read. The names are not collected: any user may have made any
    /// number.
    pub fn visit_leftovers(&self, mut visit: impl FnMut(Name<'_>, Uid) -> ControlFlow<()>) {
        let prefix = self.prefix();
        let _ = self.parent.for_each_entry(|name, _| {
            if !name.bytes().strip_prefix(&prefix[..]).is_some_and(are_digits) {
                return Ok(());
            }
            match self.parent.stat(name) {
                Ok(stat) if visit(name, stat.uid()).is_break() => Err(()),
                _ => Ok(()),
            }
        });
    }

    /// The temporary names that belong to `user`.
    pub fn leftovers_of(&self, user: Uid) -> Vec<OwnedName> {
        let mut found = Vec::new();
        self.visit_leftovers(|name, owner| {
            if owner == user {
                found.push(name.into());
            }
            ControlFlow::Continue(())
        });
        found
    }

    /// Removes what has temporary names and belongs to `user`; what can't be removed stays.
    /// `heartbeat` is called for each entry, or now and then.
    pub fn sweep(&self, user: Uid, heartbeat: &mut dyn FnMut()) {
        self.visit_leftovers(|name, owner| {
            heartbeat();
            if owner == user {
                let _ = remove_with(&self.parent, name, &self.path, heartbeat);
            }
            ControlFlow::Continue(())
        });
    }

    fn prefix(&self) -> Vec<u8> {
        [self.name.name().bytes(), INFIX].concat()
    }

    fn create<T>(&self, make: impl Fn(Name<'_>) -> sys::Result<T>) -> Result<(OwnedName, T)> {
        let mut tries = MAX_TRIES;
        loop {
            let name = self.temporary_name();
            match make(name.name()) {
                Err(Errno::EEXIST) if tries > 0 => tries -= 1,
                Err(cause @ (Errno::EACCES | Errno::EPERM)) => {
                    let (user, path) = (namespace::outer_uid(), Shown::os(&self.path));
                    let why = format!(
                        "uid {user} cannot create anything here ({cause}), and both users must be \
                         able to: chmod 1777 {path}, or better a separate directory of that mode"
                    );
                    return Err(Error::refused(&self.path, why));
                }
                made => {
                    return made.at("create", self.path_of(name.name())).map(|made| (name, made));
                }
            }
        }
    }
}

fn are_digits(end: &[u8]) -> bool {
    end.len() == DIGITS && end.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

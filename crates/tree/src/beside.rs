//! What is made beside a sandbox for a while: names `<sandbox>.gh.*`, by both users, in the
//! sandbox's parent directory.

use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Name, OwnedName, Rename, Uid, access, process};

use super::remove_with;

/// So many hexadecimal digits end a temporary name, and nothing else does: a sandbox may have
/// `.gh.` in its own name.
const TAG: usize = 8;

/// So many bytes a temporary name is longer than the sandbox's.
const LONGER_BY: usize = ".gh.".len() + TAG;

/// The directory that a sandbox is in, and the sandbox's name there.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub parent: Dir,
    /// Its path, for messages.
    pub path: PathBuf,
    /// The sandbox's own name.
    pub name: OwnedName,
}

impl Place {
    /// Finds the place of an absolute path. Links on the way are followed: the path is the caller's
    /// word.
    pub fn find(sandbox: &Path) -> Result<Place> {
        use std::os::unix::ffi::OsStrExt as _;
        let (Some(path), Some(name), true) =
            (sandbox.parent(), sandbox.file_name(), sandbox.is_absolute())
        else {
            return Err(Error::refused(
                sandbox,
                "a sandbox is an absolute path of a directory below another",
            ));
        };
        let name = OwnedName::new(name.as_bytes().to_vec())
            .filter(|name| name.name().bytes().len() + LONGER_BY <= sys::name::NAME_MAX)
            .ok_or_else(|| {
                Error::refused(
                    sandbox,
                    "the sandbox's name is too long to make another one from it",
                )
            })?;
        let parent = match Dir::open(path) {
            Err(Errno::EACCES) => {
                let user = process::geteuid();
                let why = access::first_unsearchable(sandbox).map_or_else(String::new, |closed| {
                    let closed = Shown::os(&closed);
                    format!(": it cannot pass {closed}: chmod o+x {closed}, or use another place")
                });
                return Err(Error::refused(path, format!("uid {user} cannot open it{why}")));
            }
            opened => opened.at("open the directory", path)?,
        };
        Ok(Place { parent, path: path.to_path_buf(), name })
    }

    /// The device that it is on.
    pub fn device(&self) -> Result<u64> {
        Ok(self.parent.stat_self().at("examine", &self.path)?.identity().0)
    }

    /// The path of something at this place, for messages.
    pub fn path_of(&self, name: Name<'_>) -> PathBuf {
        self.path.join(name.os())
    }

    /// A name that is hardly taken. Not a secret: whatever gets it is created exclusively.
    pub fn free_name(&self) -> OwnedName {
        let mut bytes = self.prefix();
        bytes.extend_from_slice(format!("{:0TAG$x}", fastrand::u32(..)).as_bytes());
        // A valid name of at most 243 bytes with 12 more of ours stays one.
        OwnedName::new(bytes).unwrap_or_else(|| self.name.clone())
    }

    /// Makes a directory with a free name, 0700.
    pub fn create_dir(&self) -> Result<(OwnedName, Dir)> {
        self.create(|name| self.parent.create_dir(name))
    }

    /// Makes a file with a free name, 0600, to write.
    pub fn create_file(&self) -> Result<(OwnedName, File)> {
        self.create(|name| self.parent.create_file(name))
    }

    /// Replaces a file in a directory on the same file system, shown as `path`, at one stroke: the
    /// new content is complete under a temporary name, 0600, before it gets this one. A link of
    /// this name is replaced, not followed.
    pub fn replace(&self, dir: &Dir, path: &Path, name: Name<'_>, content: &[u8]) -> Result<()> {
        let (temporary, mut file) = self.create_file()?;
        let written = file.write_all(content).at("write", self.path_of(temporary.name()));
        let replaced = written.and_then(|()| {
            let renamed = self.parent.rename_into(temporary.name(), dir, name, Rename::Replace);
            renamed.at("replace", path.join(name.os()))
        });
        if replaced.is_err() {
            let _ = self.parent.remove_file(temporary.name());
        }
        replaced
    }

    /// Calls `visit` with each temporary name found here and its owner, until it breaks. Nothing is
    /// kept of them: a bystander may have made any number. None where the directory can't be
    /// read.
    pub fn visit_leftovers(&self, mut visit: impl FnMut(Name<'_>, Uid) -> ControlFlow<()>) {
        let prefix = self.prefix();
        let _ = self.parent.for_each_entry(|name, _| {
            if !name.bytes().strip_prefix(&prefix[..]).is_some_and(is_tag) {
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

    /// Removes the temporary names that belong to `user`, as far as that is possible. `beat` is
    /// called now and then.
    pub fn sweep(&self, user: Uid, beat: &mut dyn FnMut()) {
        self.visit_leftovers(|name, owner| {
            beat();
            if owner == user {
                let _ = remove_with(&self.parent, name, &self.path, beat);
            }
            ControlFlow::Continue(())
        });
    }

    fn prefix(&self) -> Vec<u8> {
        [self.name.name().bytes(), b".gh."].concat()
    }

    fn create<T>(&self, make: impl Fn(Name<'_>) -> sys::Result<T>) -> Result<(OwnedName, T)> {
        // A bystander may have taken some names, but not all.
        let mut tries = 16;
        loop {
            let name = self.free_name();
            match make(name.name()) {
                Err(Errno::EEXIST) if tries > 0 => tries -= 1,
                Err(cause @ (Errno::EACCES | Errno::EPERM)) => {
                    let (user, path) = (process::geteuid(), Shown::os(&self.path));
                    let why = format!(
                        "uid {user} cannot create anything here ({cause}), and both users must be able to: chmod 1777 {path}, or better a directory for nothing else of that mode"
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

/// The name of the sandbox that this name is made from, if it is a temporary one; else the name
/// itself.
pub fn sandbox_name(name: &[u8]) -> &[u8] {
    match name.len().checked_sub(TAG).map(|end| name.split_at(end)) {
        Some((start, end)) if is_tag(end) => start.strip_suffix(b".gh.").unwrap_or(name),
        _ => name,
    }
}

fn is_tag(end: &[u8]) -> bool {
    end.len() == TAG && end.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

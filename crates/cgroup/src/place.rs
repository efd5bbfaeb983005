//! Where a user can make groups.
//!
//! A directory of the hierarchy is delegated to a user by its owner (systemd with `Delegate=`, a
//! batch system, an administrator). Its user can make groups in it, and move its processes into
//! them, if it may write to the directory and to its `cgroup.procs`. It can enable a controller for
//! these groups if no process is in the directory itself ("no internal processes", cgroups(7)).
//!
//! Two directories come into question: that of this process; and the one above it, if that is the
//! top of what was delegated. Another one above is not used: its manager, such as a user's systemd,
//! may be the only one that makes groups there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Error, Result};
use sys::{access, process};

use super::cgroup::Cgroup;
use super::files;
use super::group::{Group, is_group_name};
use super::limits::Limits;

/// A directory in which groups can be made.
#[derive(Clone, Debug)]
pub struct Place(Cgroup);

impl Place {
    /// The place of this process; none if it has no delegated group.
    pub fn of_self() -> Option<Place> {
        let own = Cgroup::own()?.path().to_path_buf();
        let above = own.parent().map(Path::to_path_buf);
        // The root of the hierarchy is delegated to no user.
        let is_delegated =
            |directory: &Path| is_usable(directory) && !Cgroup::at(directory).is_root();
        let is_top =
            |directory: &PathBuf| directory.parent().is_none_or(|above| !is_delegated(above));
        let above = above.filter(|above| is_delegated(above) && is_top(above));
        // A directory with other processes cannot have controllers. That above has them already.
        let has_controllers =
            |directory: &PathBuf| !files::words(directory, "cgroup.subtree_control").is_empty();
        let directory = above.filter(has_controllers).or(Some(own).filter(|own| is_usable(own)))?;
        Some(Place(Cgroup::at(directory)))
    }

    /// This directory, if groups can be made in it.
    pub fn at(directory: PathBuf) -> Option<Place> {
        is_usable(&directory).then(|| Place(Cgroup::at(directory)))
    }

    /// The group in which they are made.
    pub fn cgroup(&self) -> &Cgroup {
        &self.0
    }

    /// Makes a group with these limits.
    pub fn make(&self, limits: &Limits) -> Result<Group> {
        let group = self.make_with(&limits.controllers())?;
        group.cgroup().limit(limits)?;
        Ok(group)
    }

    /// Makes a group that has these controllers. If they have to be enabled, this process moves
    /// into a group of its own until the end of the other one.
    pub fn make_with(&self, controllers: &[&str]) -> Result<Group> {
        self.sweep();
        let missing = self.0.missing(controllers);
        if missing.is_empty() {
            return Group::make(&self.0);
        }
        if !missing.iter().all(|name| self.0.can_have(name)) {
            return Err(Error::refused(
                self.0.path(),
                format!("groups in it cannot have the controllers {}", missing.join(" ")),
            ));
        }
        let own = match self.0.is_root() || self.0.processes().is_empty() {
            true => None,
            false => {
                let own = Group::make(&self.0)?;
                own.cgroup().add(process::getpid())?;
                Some(own)
            }
        };
        let enabled = Enabled { place: self.0.clone(), controllers: missing, own };
        self.0.enable(&enabled.controllers)?;
        Ok(Group::make(&self.0)?.with_enabled(enabled))
    }

    /// Ends and removes the groups here whose process was killed.
    pub fn sweep(&self) {
        let entries = fs::read_dir(self.0.path()).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_group_name(&entry.file_name())) {
            // Another process works on it, or removes it too.
            if let Ok(group) = Group::open(entry.path(), Duration::ZERO) {
                drop(group);
            }
        }
    }
}

/// Controllers that were enabled for a group; dropped, they are disabled again, and this process is
/// where it was.
#[derive(Debug)]
pub(crate) struct Enabled {
    place: Cgroup,
    controllers: Vec<String>,
    /// The group of this process meanwhile.
    own: Option<Group>,
}

impl Drop for Enabled {
    fn drop(&mut self) {
        let disabled = self.place.disable(&self.controllers);
        let own = self.own.take();
        if own.is_some() && disabled.is_ok() {
            let _ = self.place.add(process::getpid());
        }
        // Where this process is in it still, it stays.
        if let Some(own) = own {
            own.release();
        }
    }
}

/// Whether this user can make groups in a directory, and move processes into them.
fn is_usable(directory: &Path) -> bool {
    let procs = directory.join("cgroup.procs");
    access::may_write_directory(directory) && procs.exists() && access::may_write(&procs)
}

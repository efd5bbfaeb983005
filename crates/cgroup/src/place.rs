//! Where a group can be made.
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
use sys::{Pid, access, process};

use super::files;
use super::group::{Group, is_group_name};

/// A directory in which groups can be made.
#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// The place of this process; none if it has no delegated group.
    pub fn of_self() -> Option<Place> {
        let own = directory_of_self()?;
        let above = own.parent().map(Path::to_path_buf);
        // The root of the hierarchy is delegated to no user.
        let is_delegated = |directory: &Path| is_usable(directory) && !is_root(directory);
        let is_top =
            |directory: &PathBuf| directory.parent().is_none_or(|above| !is_delegated(above));
        let above = above.filter(|above| is_delegated(above) && is_top(above));
        // A directory with other processes cannot have controllers. That above has them already.
        let has_controllers =
            |directory: &PathBuf| !files::words(directory, "cgroup.subtree_control").is_empty();
        let directory = above.filter(has_controllers).or(Some(own).filter(|own| is_usable(own)))?;
        Some(Place { directory })
    }

    /// This directory, if groups can be made in it.
    pub fn at(directory: PathBuf) -> Option<Place> {
        is_usable(&directory).then_some(Place { directory })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the groups here have this controller, or can have it.
    pub fn can_have(&self, controller: &str) -> bool {
        let has = |name| files::words(&self.directory, name).iter().any(|word| word == controller);
        has("cgroup.subtree_control") || has("cgroup.controllers") && self.can_enable()
    }

    /// Whether no process but this one is in the directory itself. The root of the hierarchy can
    /// have processes.
    fn can_enable(&self) -> bool {
        let own = process::getpid();
        let is_own = |pid: &Pid| *pid == own;
        is_root(&self.directory) || files::processes(&self.directory).iter().all(is_own)
    }

    /// Makes a group that has these controllers. If they have to be enabled, this process moves
    /// into a group of its own until the end of the other one.
    pub fn make(&self, controllers: &[&str]) -> Result<Group> {
        self.sweep();
        let enabled = files::words(&self.directory, "cgroup.subtree_control");
        let is_missing = |name: &&&str| !enabled.iter().any(|word| word == **name);
        let missing: Vec<String> =
            controllers.iter().filter(is_missing).map(|name| (*name).to_owned()).collect();
        if missing.is_empty() {
            return Group::make(&self.directory);
        }
        if !missing.iter().all(|name| self.can_have(name)) {
            return Err(Error::refused(
                &self.directory,
                format!("groups in it cannot have the controllers {}", missing.join(" ")),
            ));
        }
        let own = match is_root(&self.directory) || files::processes(&self.directory).is_empty() {
            true => None,
            false => {
                let own = Group::make(&self.directory)?;
                own.add(process::getpid())?;
                Some(own)
            }
        };
        let enabled = Enabled { directory: self.directory.clone(), controllers: missing, own };
        files::write(&self.directory, "cgroup.subtree_control", &enabled.words('+'))?;
        Ok(Group::make(&self.directory)?.with_enabled(enabled))
    }

    /// Ends and removes the groups here whose process was killed.
    pub fn sweep(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
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
    directory: PathBuf,
    controllers: Vec<String>,
    /// The group of this process meanwhile.
    own: Option<Group>,
}

impl Enabled {
    fn words(&self, sign: char) -> String {
        let words: Vec<_> = self.controllers.iter().map(|name| format!("{sign}{name}")).collect();
        words.join(" ")
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        let disabled = files::write(&self.directory, "cgroup.subtree_control", &self.words('-'));
        let own = self.own.take();
        if own.is_some() && disabled.is_ok() {
            let pid = process::getpid().to_string();
            let _ = files::write(&self.directory, "cgroup.procs", &pid);
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

fn is_root(directory: &Path) -> bool {
    !directory.join("cgroup.type").exists()
}

/// The directory of this process's group.
fn directory_of_self() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| directory_on(line, path))
}

/// The directory of the group `path` on the mount of a line of proc_pid_mountinfo(5).
fn directory_on(line: &str, path: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    if file_system.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut words = mount.split(' ').skip(3);
    let (root, point) = (words.next()?, words.next()?);
    let rest = Path::new(path).strip_prefix(root).ok()?;
    let has_parents = rest.components().any(|part| part == std::path::Component::ParentDir);
    // With blanks and such the path is escaped; no such mount is made in practice.
    (!has_parents && !point.contains('\\')).then(|| Path::new(point).join(rest))
}

/// Moves a process into a group.
pub(crate) fn add(directory: &Path, pid: Pid) -> Result<()> {
    files::write(directory, "cgroup.procs", &pid.to_string())
        .map_err(|error| error.during("move a process into the group", directory.as_os_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_group_is_found_below_the_mount_of_its_hierarchy() {
        let line = "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw";
        let directory = |line, path| directory_on(line, path);
        assert_eq!(directory(line, "/a/b"), Some("/sys/fs/cgroup/a/b".into()));
        assert_eq!(directory(line, "/"), Some("/sys/fs/cgroup/".into()));
        let below = "31 24 0:27 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(directory(below, "/a/b"), Some("/sys/fs/cgroup/b".into()));
        assert_eq!(directory(below, "/c"), None);
        assert_eq!(directory(line, "/../c"), None);
        assert_eq!(directory("31 24 0:27 / /x rw - cgroup cgroup rw,pids", "/"), None);
    }
}

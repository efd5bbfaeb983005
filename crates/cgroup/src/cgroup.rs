//! A control group by its path.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::signal::{self, SIGKILL};
use sys::{Errno, Pid, process};

use super::files;
use super::limits::Limits;

/// How long killed processes of a group may take to end.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often their end is looked for.
const PAUSE: Duration = Duration::from_micros(500);

/// A group, which may not exist yet, or any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// The group at a path.
    pub fn at(path: impl Into<PathBuf>) -> Cgroup {
        Cgroup(path.into())
    }

    /// The group of this process; none if no hierarchy of version 2 shows it.
    pub fn own() -> Option<Cgroup> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        mounts.lines().find_map(|line| directory_on(line, path)).map(Cgroup)
    }

    /// The group of this process, which was delegated to it. The process moves to a child of it: a
    /// group whose controllers are on for its children has no processes of its own (cgroups(7)).
    pub fn delegated() -> Result<Cgroup> {
        const CHILD: &str = "daemon";
        let own = Cgroup::own().ok_or_else(|| {
            Error::refused("the control group of this process", "no hierarchy of version 2 has it")
        })?;
        if own.0.file_name().is_some_and(|name| name == CHILD) {
            return Ok(Cgroup::at(own.0.parent().unwrap_or(&own.0)));
        }
        own.child(CHILD).join(&Limits::default())?;
        Ok(own)
    }

    /// The group of this name in it.
    pub fn child(&self, name: &str) -> Cgroup {
        Cgroup(self.0.join(name))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is the root of the hierarchy, which can have processes and controllers.
    pub(crate) fn is_root(&self) -> bool {
        !self.0.join("cgroup.type").exists()
    }

    /// Whether the groups in it have this controller, or can have it.
    pub fn can_have(&self, controller: &str) -> bool {
        let has = |name| files::words(&self.0, name).iter().any(|word| word == controller);
        has("cgroup.subtree_control") || has("cgroup.controllers") && self.can_enable()
    }

    /// Whether no process but this one is in the group itself.
    fn can_enable(&self) -> bool {
        let own = process::getpid();
        self.is_root() || self.processes().iter().all(|pid| *pid == own)
    }

    /// Those of these controllers that the groups in it do not have.
    pub(crate) fn missing(&self, controllers: &[&str]) -> Vec<String> {
        let enabled = files::words(&self.0, "cgroup.subtree_control");
        let is_missing = |name: &&&str| !enabled.iter().any(|word| word == **name);
        controllers.iter().filter(is_missing).map(|name| (*name).to_owned()).collect()
    }

    /// Enables these controllers for the groups in it.
    pub(crate) fn enable(&self, controllers: &[String]) -> Result<()> {
        self.switch('+', controllers)
    }

    /// The opposite.
    pub(crate) fn disable(&self, controllers: &[String]) -> Result<()> {
        self.switch('-', controllers)
    }

    fn switch(&self, sign: char, controllers: &[String]) -> Result<()> {
        if controllers.is_empty() {
            return Ok(());
        }
        let words: Vec<_> = controllers.iter().map(|name| format!("{sign}{name}")).collect();
        self.write("cgroup.subtree_control", &words.join(" "))
    }

    /// Makes it, if it does not exist, sets its limits, and moves this process into it. The group
    /// above it must be able to have the controllers for them. systemd removes empty groups of a
    /// unit that it stops or starts: then all is tried again.
    pub fn join(&self, limits: &Limits) -> Result<()> {
        const TRIES: usize = 100;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_join(limits) {
                Err(Error::System { cause: Errno::ENOENT | Errno::ENODEV, .. })
                    if tries < TRIES => {}
                done => return done,
            }
        }
    }

    fn try_join(&self, limits: &Limits) -> Result<()> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(sys::errno(&error)).at("make the group", &self.0);
            }
            _ => {}
        }
        if let Some(above) = self.0.parent().map(Cgroup::at) {
            above.enable(&above.missing(&limits.controllers()))?;
        }
        self.limit(limits)?;
        self.add_self()
    }

    /// Sets limits. The group must have their controllers.
    pub fn limit(&self, limits: &Limits) -> Result<()> {
        for (name, value) in limits.files() {
            self.write(name, &value)?;
        }
        if limits.memory.is_some() {
            // What does not fit does not move to swap space instead, and all of the payload ends;
            // not every kernel has that.
            let _ = self.write("memory.swap.max", "0");
            let _ = self.write("memory.oom.group", "1");
        }
        Ok(())
    }

    /// Writes a setting to its file of this name.
    fn write(&self, name: &str, value: &str) -> Result<()> {
        files::write(&self.0, name, value)
    }

    /// Moves a process into it. This user must be allowed to write to the `cgroup.procs` of the
    /// group above that process and this group.
    pub fn add(&self, pid: Pid) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
            .map_err(|error| error.during("move a process into the group", self.0.as_os_str()))
    }

    /// Moves this process into it.
    pub(crate) fn add_self(&self) -> Result<()> {
        self.write("cgroup.procs", "0")
    }

    /// Its processes, without those of the groups in it.
    pub fn processes(&self) -> Vec<Pid> {
        let words = files::words(&self.0, "cgroup.procs");
        words.iter().filter_map(|word| word.parse().ok()).map(Pid::from_raw).collect()
    }

    /// The processor time of all processes that are or were in it, in user mode and in the kernel.
    /// The kernel counts it without a controller.
    pub fn times(&self) -> Option<[Duration; 2]> {
        let time = |word| self.number_of("cpu.stat", word);
        Some([time("user_usec")?, time("system_usec")?].map(Duration::from_micros))
    }

    /// Whether the kernel has killed processes of it because its memory was used up.
    pub fn is_out_of_memory(&self) -> bool {
        self.number_of("memory.events", "oom_kill").is_some_and(|kills| kills > 0)
    }

    /// The number in a file of it; none if it has no such file, or no number in it.
    pub fn number(&self, name: &str) -> Option<u64> {
        files::number(&self.0, name)
    }

    /// The number behind a word in a file of it, such as that of an event.
    pub fn number_of(&self, name: &str, word: &str) -> Option<u64> {
        files::number_of(&self.0, name, word)
    }

    /// The sum of the numbers behind a prefix of the words in a file of it; none if there is none.
    pub fn sum_of(&self, name: &str, prefix: &str) -> Option<u64> {
        files::sum_of(&self.0, name, prefix)
    }

    /// Kills all processes in it, waits for their end, and removes it. An error if one does not end
    /// in some time.
    pub fn end(&self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let is_killed = self.kill();
            match fs::remove_dir(&self.0).map_err(|error| sys::errno(&error)) {
                Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                Err(Errno::EBUSY) if is_killed && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::EBUSY) => {
                    let why = "processes in it do not end; it is removed later";
                    return Err(Error::refused(&self.0, why));
                }
                Err(cause) => return Err(cause).at("remove the group", &self.0),
            }
        }
    }

    /// Kills all processes in it. Whether this user may.
    fn kill(&self) -> bool {
        if self.write("cgroup.kill", "1").is_ok() {
            return true;
        }
        // Before Linux 5.14 there is no such file.
        let kill = |pid: &Pid| signal::kill(*pid, SIGKILL) != Err(Errno::EPERM);
        self.processes().iter().filter(|pid| pid.as_raw() > 1).all(kill)
    }

    /// Removes it, unless it has processes.
    pub(crate) fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.0);
    }
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
    let has_parents = rest.components().any(|part| part == Component::ParentDir);
    // With blanks and such the path is escaped; no such mount is made in practice.
    (!has_parents && !point.contains('\\')).then(|| Path::new(point).join(rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    /// A directory with the files of a group: where the machine has no controllers, what is written
    /// can be seen in them.
    fn imitation(above: &Path, name: &str, files: &[&str]) -> Cgroup {
        let group = Cgroup::at(above.join(name));
        fs::create_dir_all(&group.0).unwrap();
        files.iter().for_each(|file| fs::write(group.0.join(file), "").unwrap());
        group
    }

    #[test]
    fn limits_are_written_before_the_process_joins_and_their_controllers_are_enabled() {
        const FILES: [&str; 6] = [
            "cgroup.procs",
            "memory.max",
            "memory.swap.max",
            "memory.oom.group",
            "pids.max",
            "cpu.max",
        ];
        let directory = tempfile::tempdir().unwrap();
        let above = imitation(directory.path(), "above", &["cgroup.subtree_control"]);
        let group = imitation(above.path(), "payload", &FILES);
        let limits = Limits { memory: Some(1 << 30), pids: Some(7), cpus: Some(2) };
        group.join(&limits).unwrap();
        let text = |group: &Cgroup, name: &str| fs::read_to_string(group.0.join(name)).unwrap();
        assert_eq!(text(&above, "cgroup.subtree_control"), "+memory +pids +cpu");
        let written: Vec<String> = FILES.iter().map(|name| text(&group, name)).collect();
        assert_eq!(written, ["0", "1073741824", "0", "1", "7", "200000 100000"]);
        // A limit that cannot be written is an error, and the process stays outside.
        fs::remove_file(group.0.join("pids.max")).unwrap();
        fs::write(group.0.join("cgroup.procs"), "").unwrap();
        assert!(group.join(&limits).is_err());
        assert_eq!(text(&group, "cgroup.procs"), "");
    }
}

//! The cgroup of a payload (cgroups(7), version 2): a child of a cgroup that was delegated to the
//! account daemon.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Errno;

/// Where the hierarchy is mounted: the place of systemd, and that of systems which have both
/// versions.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// How long killed processes of a cgroup may take to end.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// The cgroup of this process; none if no hierarchy of version 2 is mounted.
    pub fn own() -> Option<Cgroup> {
        let lines = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = lines.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let mount = MOUNTS.iter().map(Path::new).find(|at| at.join("cgroup.procs").exists())?;
        Some(Cgroup(mount.join(own)))
    }

    /// The cgroup that was delegated to the account daemon, whose process moves to a child of it: a
    /// cgroup whose controllers are on for its children has no processes of its own (cgroups(7)).
    pub fn of_daemon() -> Result<Cgroup> {
        const CHILD: &str = "daemon";
        let own = Cgroup::own().ok_or_else(|| {
            Refusal::internal("no hierarchy of cgroups version 2 is mounted: leave out --delegated")
        })?;
        if own.0.file_name().is_some_and(|name| name == CHILD) {
            return Ok(Cgroup(own.0.parent().unwrap_or(&own.0).to_owned()));
        }
        Cgroup(own.0.join(CHILD)).join()?;
        Ok(own)
    }

    /// The cgroup at a path.
    pub fn at(path: &Path) -> Cgroup {
        Cgroup(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, if it does not exist, and moves this process into it. systemd removes empty
    /// cgroups of a unit that it stops or starts: then both are tried again.
    pub fn join(&self) -> Result<()> {
        const TRIES: usize = 100;
        let mut result = Ok(());
        for _ in 0..TRIES {
            result = match fs::create_dir(&self.0) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => fs::write(self.0.join("cgroup.procs"), "0"),
            };
            match &result {
                Err(error) if is_gone(error) => {}
                _ => break,
            }
        }
        result.map_err(|error| {
            Refusal::internal(format!("cannot join the cgroup {}: {error}", Shown::os(&self.0)))
        })
    }

    /// Kills all processes in it, waits for their end, and removes it. Whether it is gone.
    pub fn end(&self) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        while self.0.exists() {
            if fs::write(self.0.join("cgroup.kill"), "1").is_err() {
                self.kill_each();
            }
            if fs::remove_dir(&self.0).is_ok() {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        true
    }

    /// Before Linux 5.14 there is no cgroup.kill.
    fn kill_each(&self) {
        let pids = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1) {
            let _ = sys::signal::kill(sys::Pid::from_raw(pid), sys::signal::SIGKILL);
        }
    }
}

/// Whether a cgroup was removed while a process joined it.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(sys::errno(error), Errno::ENOENT | Errno::ENODEV)
}

//! A family of processes of the job user.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::support::{Account, program, wait_until};

/// A process and its children, all with the mark of one job. All of them are killed on drop.
pub struct Family {
    root: Child,
    /// Children that have not been reaped, so that no other process can have their pids.
    children: Vec<Pid>,
}

impl Family {
    /// Starts this number of processes, and waits until all exist. If one fails, the others end by
    /// themselves after two minutes (tests/support/process_family.rs), and this wait with them.
    pub fn start(mark: &OsStr, processes: usize) -> Family {
        let family = program("examples").join("process_family");
        assert!(
            family.exists(),
            "the example is not built: cargo build --release --example process_family"
        );
        // This process adopts the children and reaps them. A slow init could leave them as zombies
        // in /proc, which would slow the next side.
        prctl::set_child_subreaper(true).unwrap();
        let mut command = Account::job().command(family);
        command
            .arg("wide")
            .arg(processes.to_string())
            .env_clear()
            .env("_GLEXEC_HELPERS_FAMILY", mark);
        let mut root = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(root.stdout.take().unwrap()).lines();
        let mut family = Family { root, children: Vec::new() };
        for line in lines.take(processes) {
            family.children.push(Pid::from_raw(line.unwrap().parse().unwrap()));
        }
        let root = family.root();
        family.children.retain(|pid| *pid != root);
        assert_eq!(family.pids().count(), processes, "not all of the family have started");
        family
    }

    pub fn root(&self) -> Pid {
        Pid::from_raw(self.root.id().cast_signed())
    }

    pub fn pids(&self) -> impl Iterator<Item = Pid> {
        [self.root()].into_iter().chain(self.children.iter().copied())
    }

    /// Fails unless all of them have been killed.
    pub fn assert_ended(mut self) {
        assert!(self.all_have_ended(), "a process has survived the end of the family");
    }

    /// Waits until all of them have been killed: the last signal may still be on its way.
    pub fn wait_for_end(mut self) {
        wait_until("all of the family have ended", || self.all_have_ended());
    }

    /// Reaps the processes that have ended, and returns whether these were all. Fails if one was
    /// not killed, but ended after its two minutes.
    fn all_have_ended(&mut self) -> bool {
        let Some(status) = self.root.try_wait().unwrap() else { return false };
        assert_eq!(
            status.signal(),
            Some(Signal::SIGKILL as i32),
            "the signal that ended the first process"
        );
        // The first process has ended, so this process has adopted the others.
        while let Some(pid) = self.children.pop() {
            let status = waitpid(pid, Some(WaitPidFlag::WNOHANG)).unwrap();
            if status == WaitStatus::StillAlive {
                self.children.push(pid);
                return false;
            }
            assert_eq!(status, WaitStatus::Signaled(pid, Signal::SIGKILL, false));
        }
        true
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for pid in &self.children {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        let _ = self.root.kill();
        let _ = self.root.wait();
        for pid in &self.children {
            let _ = waitpid(*pid, None);
        }
    }
}

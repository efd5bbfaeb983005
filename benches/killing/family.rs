//! A family of processes of the job user's.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::support::{Account, program, wait_until};

/// A process and its children, all with the mark of one job. None of them is left at the end.
pub struct Family {
    root: Child,
    /// Nobody has waited for these yet, so that their numbers are still theirs.
    children: Vec<Pid>,
}

impl Family {
    /// Starts so many processes, and waits until all are there. Should one fail, the others end by
    /// themselves after two minutes (tests/support/kin.rs), and so does this wait.
    pub fn start(mark: &OsStr, processes: usize) -> Family {
        let kin = program("examples").join("kin");
        assert!(kin.exists(), "it is not built: cargo build --release --example kin");
        // Who loses its parent is adopted by this process, which can wait for it then. Zombies that
        // are left to an init in no hurry would be looked through by the next side.
        prctl::set_child_subreaper(true).unwrap();
        let mut command = Account::job().command(kin);
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

    /// Fails unless all of them have been killed by now.
    pub fn gone(mut self) {
        assert!(self.all_have_ended(), "somebody has survived the end of the family");
    }

    /// The same, but the last signal may not have arrived yet.
    pub fn soon_gone(mut self) {
        wait_until("all of the family have ended", || self.all_have_ended());
    }

    /// Waits for those who have ended, and tells whether that were all. Fails if one was not
    /// killed: its two minutes were over.
    fn all_have_ended(&mut self) -> bool {
        let Some(status) = self.root.try_wait().unwrap() else { return false };
        assert_eq!(
            status.signal(),
            Some(Signal::SIGKILL as i32),
            "what the first process has died of"
        );
        // By its end this process has adopted the others.
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

//! The sides: each ends a family in its way, is timed and checked, and leaves no process.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::unistd::Pid;

use super::common::calls::{as_batch, bare_switcher, run};
use super::common::times::timed;
use super::family::Family;
use super::support::handover::{KILL, handed_over};
use super::support::{PROXY, Site, program, retained};

pub const SWITCHER: &str = "switcher";
pub const ONE_BY_ONE: &str = "one call a process";
pub const FAMILY: &str = "family";

/// The name of a way to end a family of the job, and its function, which takes the number of
/// processes.
type Side = (&'static str, fn(&Job, usize) -> Duration);

pub const SIDES: [Side; 3] = [(SWITCHER, switcher), (ONE_BY_ONE, one_by_one), (FAMILY, family)];

/// A job that is set up, whose families are ended.
pub struct Job {
    site: Site,
    retained: PathBuf,
}

impl Job {
    pub fn new() -> Job {
        let site = Site::new();
        let sandbox = handed_over(&site, "sandbox");
        // The mark of a family is the real path.
        let retained = retained(&sandbox).canonicalize().unwrap();
        Job { site, retained }
    }

    fn proxy(&self) -> PathBuf {
        self.retained.join(PROXY)
    }

    fn family(&self, processes: usize) -> Family {
        Family::start(self.retained.as_os_str(), processes)
    }

    /// condor_glexec_kill with SIGKILL and no retries; `options` come before its arguments.
    fn kill(&self, options: &[&str], pid: Pid) -> Command {
        let mut command = as_batch(program(KILL));
        command.args(options).arg(self.site.switcher()).arg(self.proxy()).args([
            &pid.to_string(),
            "KILL",
            "0",
            "0",
        ]);
        command
    }
}

/// Ends no process: what one call costs by itself.
fn switcher(job: &Job, _: usize) -> Duration {
    let mut command = bare_switcher(&job.site, &job.proxy());
    timed(|| run(&mut command))
}

fn one_by_one(job: &Job, processes: usize) -> Duration {
    let family = job.family(processes);
    let taken = timed(|| {
        for pid in family.pids() {
            run(&mut job.kill(&[], pid));
        }
    });
    family.wait_for_end();
    taken
}

fn family(job: &Job, processes: usize) -> Duration {
    let family = job.family(processes);
    let taken = timed(|| run(&mut job.kill(&["--family"], family.root())));
    // The contract: no member is left when the call ends.
    family.assert_ended();
    taken
}

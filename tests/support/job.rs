//! Jobs that a test communicates with, started through run and the wrapper.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::families::pid_here;
use super::starter::Starter;
use super::{Account, PROXY, Site, TIMEOUT, program};

/// A sandbox that is set up.
pub fn prepared(site: &Site) -> PathBuf {
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    sandbox
}

/// The call of run that starts a job.
pub fn run(site: &Site, switcher: &Path, sandbox: &Path, job: &[impl AsRef<OsStr>]) -> Command {
    let mut run = site.helper("condor_glexec_run");
    run.arg(switcher)
        .arg(PROXY)
        .arg(sandbox)
        .arg(program("condor_glexec_job_wrapper"))
        .args(["-", "-", "-"])
        .args(job);
    run.stderr(Stdio::null());
    run
}

/// A job that a test communicates with.
pub struct Job {
    pub starter: Starter,
    pub pid: u32,
    /// The job's standard input and output.
    pub stream: BufReader<UnixStream>,
}

impl Job {
    /// Starts a shell script as a job in a sandbox that is set up.
    pub fn start(site: &Site, sandbox: &Path, script: &str) -> Job {
        let script = format!("echo $$; {script}");
        let mut starter =
            Starter::start(run(site, &site.switcher(), sandbox, &["/bin/sh", "-c", &script]));
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(TIMEOUT)).unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(starter.launch(b"PATH=/bin", [&theirs, &theirs, &null]), b"");
        let mut job = Job { starter, pid: 0, stream: BufReader::new(ours) };
        job.pid = pid_here(job.read_line().parse().unwrap(), Account::of(sandbox));
        job
    }

    /// The next line of the job's output.
    pub fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn write_line(&mut self, line: &str) {
        writeln!(self.stream.get_mut(), "{line}").unwrap();
    }

    /// The letter for its state (proc_pid_stat(5)).
    pub fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    /// Waits for the job's end, and returns its status.
    pub fn status(mut self) -> Option<i32> {
        Some(self.starter.status())
    }
}

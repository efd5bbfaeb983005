//! The keeper of one script: starts it, ends it at its time limit, and ends what it leaves.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use error::{Context as _, Result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGCONT, SIGKILL, SIGTERM, Signals};
use sys::wait::{self, End};
use sys::{Errno, Pid, fd, inherited, prctl, proc, process, stdio};

use crate::report::{Outcome, Report};
use crate::script::Script;
use crate::start;

/// A limit beyond this one is no limit: 136 years. The clock could not count a longer one.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Runs the keeper, which writes the report to a pipe and ends.
pub(crate) fn run(script: &Script<'_>, mut report: File) -> ! {
    let told = keep(script, &report).unwrap_or_else(Report::not_run);
    let _ = report.write_all(&told.to_bytes());
    process::_exit(0)
}

fn keep(script: &Script<'_>, report: &File) -> Result<Report> {
    let step = "prepare a process for";
    let prepare = || -> sys::Result<Signals> {
        // Signals of a terminal, and those to the caller's process group, must not end it.
        process::setsid()?;
        prctl::set_child_subreaper()?;
        process::chdir(Path::new("/"))?;
        stdio::redirect_to_null()?;
        inherited::release_all_but(&[report.as_fd()])?;
        signal::default_sigchld();
        signal::block_all()?;
        Signals::open()
    };
    let signals = prepare().at(step, script.path)?;
    // Not blocking: what the kernel cannot end keeps its end of the pipe open.
    let (mut reader, writer) = fd::nonblocking_pipe().at(step, script.path)?;
    let own = process::getpid();
    let pid = match fork::fork().at("start a process for", script.path)? {
        Fork::Child => start::run(script, own, File::from(writer)),
        Fork::Parent(pid) => pid,
    };
    drop(writer);
    let is_over = has_ended_within(pid, &signals, script.limit);
    if !is_over {
        // It is not waited for yet: no other process group has this id. A stopped process gets
        // SIGTERM when it continues.
        let _ = signal::killpg(pid, SIGTERM);
        let _ = signal::killpg(pid, SIGCONT);
        has_ended_within(pid, &signals, script.grace);
    }
    let end = end_all(pid, &signals, script.grace);
    let mut told = Vec::new();
    let _ = reader.read_to_end(&mut told); // ends with EAGAIN or at the end
    let start::Told { why, is_short } = start::Told::from_bytes(&told);
    let outcome = match (why, end) {
        (Some(why), _) => Outcome::NotRun(why),
        (None, Some(end)) if is_over => Outcome::Ended(end),
        (None, _) => Outcome::TimedOut,
    };
    Ok(Report { outcome, is_short })
}

/// Waits until a child has ended, no longer than `limit`; returns whether it has. It is not waited
/// for (wait(2)); orphans that have ended are.
fn has_ended_within(child: Pid, signals: &Signals, limit: Duration) -> bool {
    let deadline = Instant::now() + limit.min(LONGEST);
    loop {
        if wait::has_ended(child) {
            return true;
        }
        reap_all_but(child);
        if Instant::now() >= deadline {
            return false;
        }
        wait_for_signal(signals, deadline);
    }
}

/// Ends the script and all that it has started, and returns how the script ended: none if it has
/// not ended within `limit`.
///
/// Only children and their process groups get a signal by their ids, which no other process or
/// group has before they were waited for. When a process ends, its children become the keeper's. So
/// this reaches all descendants. A signal to a group reaches also what a member forks meanwhile.
fn end_all(child: Pid, signals: &Signals, limit: Duration) -> Option<End> {
    let deadline = Instant::now() + limit.min(LONGEST);
    let _ = signal::killpg(child, SIGKILL);
    loop {
        for pid in proc::children(process::getpid()) {
            if let Some(group) = group_of(pid) {
                let _ = signal::killpg(group, SIGKILL);
            }
            let _ = signal::kill(pid, SIGKILL);
        }
        reap_all_but(child);
        let is_last = wait::has_ended(child) && proc::children(process::getpid()) == [child];
        if is_last || Instant::now() >= deadline {
            break;
        }
        wait_for_signal(signals, deadline);
    }
    let ended = std::iter::from_fn(wait::try_wait_any).find(|(pid, _)| *pid == child);
    ended.map(|(_, end)| end)
}

/// The process group of a child; none if it is the keeper's own: the child has not left it yet.
fn group_of(child: Pid) -> Option<Pid> {
    let entry = proc::entry(child).ok()??;
    (entry.session != process::getpid()).then_some(entry.group)
}

/// Waits for every child that has ended, except for one.
fn reap_all_but(child: Pid) {
    for pid in proc::children(process::getpid()).into_iter().filter(|pid| *pid != child) {
        wait::try_wait(pid);
    }
}

/// Waits for a signal: SIGCHLD, or one that is of no interest.
fn wait_for_signal(signals: &Signals, deadline: Instant) {
    match fd::poll_readable([signals.as_fd()], Some(deadline)) {
        Ok([true]) => {
            let _ = signals.read();
        }
        Ok([false]) | Err(Errno::EINTR) => {}
        // Not expected; without this wait the loop would not rest.
        Err(_) => std::thread::sleep(Duration::from_millis(100)),
    }
}

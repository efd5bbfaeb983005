//! The keeper of one script: starts it, ends it at its time limit, and ends what it leaves.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use error::{Context as _, Result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGCONT, SIGKILL, SIGTERM, Signals};
use sys::wait::{self, End};
use sys::{Errno, Pid, fd, inherited, prctl, proc, process, stdio};

use crate::output::Output;
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
        let mut keep = vec![report.as_fd()];
        keep.extend(script.stop.iter().chain(&script.held));
        inherited::release_all_but(&keep)?;
        signal::default_sigchld();
        signal::block_all()?;
        Signals::open()
    };
    let signals = prepare().at(step, script.path)?;
    // Not blocking: what the kernel cannot end keeps its end of the pipe open.
    let (mut reader, writer) = fd::nonblocking_pipe().at(step, script.path)?;
    let (output, output_end) = match script.output {
        None => (None, None),
        Some(longest) => {
            let (output, end) = fd::pipe_with_nonblocking_reader().at(step, script.path)?;
            (Some(Output::new(output, longest)), Some(end))
        }
    };
    let own = process::getpid();
    let pid = match fork::fork().at("start a process for", script.path)? {
        Fork::Child => start::run(script, own, File::from(writer), output_end),
        Fork::Parent(pid) => pid,
    };
    drop((writer, output_end));
    let mut waiting = Waiting { signals, output, stop: script.stop };
    let is_over = waiting.has_ended_within(pid, script.limit);
    waiting.stop = None;
    if !is_over {
        // It is not waited for yet: no other process group has this id. A stopped process gets
        // SIGTERM when it continues.
        let _ = signal::killpg(pid, SIGTERM);
        let _ = signal::killpg(pid, SIGCONT);
        waiting.has_ended_within(pid, script.grace);
    }
    let end = waiting.end_all(pid, script.grace);
    let mut told = Vec::new();
    let _ = reader.read_to_end(&mut told); // ends with EAGAIN or at the end
    let start::Told { why, is_short } = start::Told::from_bytes(&told);
    let outcome = match (why, end) {
        (Some(why), _) => Outcome::NotRun(why),
        (None, Some(end)) if is_over => Outcome::Ended(end),
        (None, _) => Outcome::TimedOut,
    };
    let (output, is_cut) = waiting.output.map_or_else(Default::default, Output::finish);
    Ok(Report { outcome, is_short, output, is_cut })
}

/// What the keeper waits for.
struct Waiting<'a> {
    signals: Signals,
    output: Option<Output>,
    stop: Option<BorrowedFd<'a>>,
}

impl Waiting<'_> {
    /// Waits until a child has ended, no longer than `limit` or than to the end of the pipe `stop`;
    /// returns whether it has. It is not waited for (wait(2)); orphans that have ended are.
    fn has_ended_within(&mut self, child: Pid, limit: Duration) -> bool {
        let deadline = Instant::now() + limit.min(LONGEST);
        loop {
            if wait::has_ended(child) {
                return true;
            }
            reap_all_but(child);
            if Instant::now() >= deadline || self.wait(deadline) {
                return wait::has_ended(child);
            }
        }
    }

    /// Ends the script and all that it has started, and returns how the script ended: none if it
    /// has not ended within `limit`.
    ///
    /// Only children and their process groups get a signal by their ids, which no other process or
    /// group has before they were waited for. When a process ends, its children become the
    /// keeper's. So this reaches all descendants. A signal to a group reaches also what a member
    /// forks meanwhile.
    fn end_all(&mut self, child: Pid, limit: Duration) -> Option<End> {
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
            self.wait(deadline);
        }
        let ended = std::iter::from_fn(wait::try_wait_any).find(|(pid, _)| *pid == child);
        ended.map(|(_, end)| end)
    }

    /// Waits for a signal, SIGCHLD or one that is of no interest, and reads what the script prints.
    /// Returns whether the pipe `stop` is at its end.
    fn wait(&mut self, deadline: Instant) -> bool {
        let signals = self.signals.as_fd();
        let output = self.output.as_ref().and_then(Output::open);
        // Those that are missing are the signals once more.
        let fds = [signals, output.unwrap_or(signals), self.stop.unwrap_or(signals)];
        let [is_signal, is_output, is_stopped] = match fd::poll_readable(fds, Some(deadline)) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => return false,
            Err(_) => {
                // Not expected; without this wait the loop would not rest.
                std::thread::sleep(Duration::from_millis(100));
                return false;
            }
        };
        if is_signal {
            let _ = self.signals.read();
        }
        if let Some(output) = self.output.as_mut().filter(|_| is_output) {
            output.read();
        }
        is_stopped && self.stop.is_some()
    }
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

//! How a signal gets to every process of a family, or of an account.
//!
//! A family that is to be killed could grow faster than its members are found. So each member is
//! stopped as soon as it is found: a stopped process starts no children. Once all are stopped, and
//! a scan that began after that finds no new member, all members are found.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::proc::{self, Entry};
use sys::signal::{self, SIGCONT, SIGKILL, SIGSTOP};
use sys::{Errno, Pid, pidfd, process, rlimit};

use super::family::{self, Family, Scan, Selector};
use super::monitor;

/// The most scans of one hunt. A family that still has new members then grows faster than it is
/// stopped.
const MAX_ROUNDS: u64 = 1000;

/// The most scans for a signal that does not stop or kill its receivers: these may go on to start
/// children.
const MAX_ROUNDS_WITHOUT_STOPPING: u64 = 8;

/// How long the processes that got SIGSTOP may take to stop. A process in uninterruptible sleep
/// (state D, proc(5)) does not stop.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// How long after the last exit killed processes are still waited for.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two scans during the grace period.
const GRACE_SCAN_INTERVAL: Duration = Duration::from_millis(500);

/// After this many scans in a row that found new members, the members found so far are killed.
const MAX_ROUNDS_WITHOUT_KILLING: u64 = 20;

/// The longest single wait, so that keep-alives are sent in time.
const WAIT_INTERVAL: Duration = Duration::from_millis(200);

/// What a hunt must do.
#[derive(Debug)]
pub(crate) struct HuntRequest<'a> {
    /// Which processes get the signal.
    pub(crate) selector: Selector<'a>,
    /// The signal's number.
    pub(crate) signal: i32,
    /// With SIGKILL: how long the processes may take to end before.
    pub(crate) grace: Duration,
    /// The signal that asks them to end, at the beginning of this time.
    pub(crate) soft_kill_signal: i32,
}

/// The result of a hunt.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many processes ended, or got the signal.
    pub(crate) processes: u64,
    /// The number of scans.
    pub(crate) rounds: u64,
    /// Processes of this user that do not show whether they belong to the family.
    pub(crate) unclassified: u64,
    /// The processes that are not in the state that the signal asks for, and why. A pid of 0
    /// stands for those that were not found in time.
    pub(crate) survivors: Vec<(Pid, String)>,
}

/// Kills all processes of this user but this one, in one system call. A hostile job that waits for
/// this process could else stop or kill it first. Returns the processes that existed before. Does
/// nothing where the call would also kill the processes above this one.
pub(crate) fn kill_all_at_once() -> Result<HashSet<Pid>> {
    let own = process::getpid();
    let above = proc::ancestors(own);
    // The call would kill ancestors that are this user's. Where /proc hides some ancestors
    // (hidepid, proc(5)), that is unknown.
    if !proc::reach_init(&above) || above.iter().any(|pid| family::is_own(*pid)) {
        return Ok(HashSet::new());
    }
    let runs = |pid: &Pid| state(*pid).is_some_and(|entry| !entry.has_ended());
    let all = proc::pids().at("read the directory", "/proc")?;
    let targets =
        all.into_iter().filter(|pid| *pid != own && family::is_own(*pid)).filter(runs).collect();
    match signal::kill_all_others(signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(targets),
        sent => sent.at("kill", "all processes of this account").map(|()| targets),
    }
}

/// Carries out a hunt. `signalled` are processes that got the signal already. `keep_alive` is
/// called now and then: it keeps the helper waiting, and returns false if the helper is gone. Then
/// no further members are looked for: a family with this mark may be another job's meanwhile.
pub(crate) fn hunt(
    request: &HuntRequest<'_>,
    signalled: HashSet<Pid>,
    keep_alive: &mut dyn FnMut() -> bool,
) -> Result<Outcome> {
    // With fewer descriptors a hunt takes more rounds.
    let _ = rlimit::raise_nofile();
    let family = Family::new(&request.selector)?;
    let mut hunter = Hunter { family, keep_alive, rounds: 0, signalled, is_incomplete: false };
    let hunted = match request.signal {
        SIGKILL => hunter.kill(request),
        SIGSTOP => hunter.stop(),
        SIGCONT => hunter.send(SIGCONT, 1),
        number => hunter.send(number, MAX_ROUNDS_WITHOUT_STOPPING),
    };
    if request.signal == SIGKILL && hunted.is_err() {
        // No process may stay stopped.
        hunter.signal(&hunter.all(), SIGKILL);
    }
    hunted.map(|()| hunter.outcome(request.signal))
}

struct Hunter<'a> {
    family: Family,
    keep_alive: &'a mut dyn FnMut() -> bool,
    rounds: u64,
    /// The members that got the signal, or one that precedes it.
    signalled: HashSet<Pid>,
    /// Whether there may be members that were not found.
    is_incomplete: bool,
}

impl Hunter<'_> {
    fn scan(&mut self) -> Result<Scan> {
        if !(self.keep_alive)() {
            return Err(Error::refused("the helper", "it is gone"));
        }
        self.rounds += 1;
        self.family.scan()
    }

    /// Sends a signal to members.
    fn signal(&mut self, pids: &[Pid], number: i32) {
        for pid in pids {
            let Some(member) = self.family.members().get(pid) else { continue };
            match pidfd::send_signal(&member.held, number) {
                Ok(()) => drop(self.signalled.insert(*pid)),
                Err(Errno::ESRCH) => self.family.remove_ended(*pid),
                // It has executed a set-user-ID program.
                Err(_) => {
                    self.signalled.remove(pid);
                    self.family.remove_foreign(*pid);
                }
            }
        }
    }

    fn all(&self) -> Vec<Pid> {
        self.family.members().keys().copied().collect()
    }

    /// Sends a signal to every member once, as far as they are found within this many scans.
    fn send(&mut self, number: i32, scans: u64) -> Result<()> {
        for _ in 0..scans {
            let Scan { new, complete } = self.scan()?;
            self.signal(&without_agents(&new), number);
            if !complete {
                return Err(Errno::EMFILE).at("hold by descriptors", "all processes of the family");
            }
            if new.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Stops every member.
    fn stop(&mut self) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let Scan { new, complete } = self.scan()?;
            if complete && new.is_empty() {
                return Ok(());
            }
            let new = without_agents(&new);
            self.signal(&new, SIGSTOP);
            if !complete {
                return Err(Errno::EMFILE).at("hold by descriptors", "all processes of the family");
            }
            self.wait_until_stopped(&new);
        }
        self.is_incomplete = true;
        Ok(())
    }

    /// Kills every member. If there is a grace period, asks them to end before.
    fn kill(&mut self, request: &HuntRequest<'_>) -> Result<()> {
        if !request.grace.is_zero() {
            self.soft_kill(request)?;
            if matches!(request.selector, Selector::Account) {
                self.signalled.extend(kill_all_at_once()?);
            }
        }
        let mut killed: HashSet<Pid> = HashSet::new();
        for round in 1..=MAX_ROUNDS {
            let Scan { new, complete } = self.scan()?;
            // A sudo stops when its command is stopped, and could not be continued once that is
            // killed. So its command is killed at once. If that is an agent, it is left alone: it
            // ends with the job.
            let (below_sudo, stopped): (Vec<Pid>, Vec<Pid>) =
                new.iter().partition(|pid| monitor::is_below_sudo(**pid));
            self.signal(&stopped, SIGSTOP);
            self.signal(&without_agents(&below_sudo), SIGKILL);
            self.wait_until_stopped(&stopped);
            if complete && !new.is_empty() && round % MAX_ROUNDS_WITHOUT_KILLING != 0 {
                continue;
            }
            let due: Vec<Pid> =
                self.all().into_iter().filter(|pid| !killed.contains(pid)).collect();
            if complete && due.is_empty() {
                return Ok(());
            }
            self.signal(&due, SIGKILL);
            killed.extend(&due);
            self.wait_for_exits(&due, EXIT_TIMEOUT, None);
        }
        self.is_incomplete = true;
        Ok(())
    }

    /// Asks every member to end, and waits for at most the grace period.
    fn soft_kill(&mut self, request: &HuntRequest<'_>) -> Result<()> {
        let end = Instant::now() + request.grace;
        loop {
            let new = without_agents(&self.scan()?.new);
            self.signal(&new, request.soft_kill_signal);
            // A stopped process handles no signal before it is continued.
            let stopped: Vec<Pid> = new.into_iter().filter(|pid| !is_running(*pid)).collect();
            self.signal(&stopped, SIGCONT);
            let all = self.all();
            let left = end.saturating_duration_since(Instant::now());
            if all.is_empty() || left.is_zero() {
                return Ok(());
            }
            self.wait_for_exits(&all, left.min(GRACE_SCAN_INTERVAL), Some(end));
        }
    }

    /// Waits until these processes have ended. With `until` at most for `timeout`, and until then;
    /// else at most for `timeout` after the last exit.
    fn wait_for_exits(&mut self, pids: &[Pid], timeout: Duration, until: Option<Instant>) {
        let mut give_up = Instant::now() + timeout;
        for pid in pids {
            while let Some(member) = self.family.members().get(pid) {
                let limit = until.map_or(give_up, |until| until.min(give_up));
                let left = limit.saturating_duration_since(Instant::now());
                if pidfd::wait_for_exit(&member.held, left.min(WAIT_INTERVAL)).unwrap_or(false) {
                    self.family.remove_ended(*pid);
                    if until.is_none() {
                        give_up = Instant::now() + timeout;
                    }
                } else if left <= WAIT_INTERVAL || !(self.keep_alive)() {
                    break;
                }
            }
        }
    }

    /// Waits until these processes are stopped, so that none of them can start a child any more.
    fn wait_until_stopped(&self, pids: &[Pid]) {
        let end = Instant::now() + STOP_TIMEOUT;
        for pid in pids {
            while self.family.members().contains_key(pid)
                && is_running(*pid)
                && Instant::now() < end
            {
                sleep(Duration::from_micros(200));
            }
        }
    }

    fn outcome(mut self, number: i32) -> Outcome {
        let mut survivors = Vec::new();
        // Members that have ended meanwhile do not survive.
        self.wait_for_exits(&self.all(), Duration::ZERO, None);
        if matches!(number, SIGKILL | SIGSTOP) {
            // SIGSTOP is not sent to all members.
            let meant = self
                .all()
                .into_iter()
                .filter(|pid| number == SIGKILL || self.signalled.contains(pid));
            survivors = meant.filter_map(|pid| Some((pid, why_survives(pid, number)?))).collect();
            survivors.extend(
                self.family.foreign_descendants().map(|pid| {
                    (pid, described(pid, "not permitted: it is another user's process"))
                }),
            );
            survivors.sort();
        }
        if self.is_incomplete {
            survivors.push((
                Pid::from_raw(0),
                format!("others, new ones in each of {MAX_ROUNDS} rounds"),
            ));
        }
        let processes = match number {
            SIGKILL => {
                self.signalled.iter().filter(|pid| !self.family.members().contains_key(pid)).count()
            }
            _ => self.signalled.len(),
        };
        Outcome {
            processes: processes as u64,
            rounds: self.rounds,
            unclassified: self.family.unclassified() as u64,
            survivors,
        }
    }
}

/// These without the agent between a sudo that stays as a monitor and the job, which does not get
/// the job's signals: stopped, it would make the sudo stop.
fn without_agents(pids: &[Pid]) -> Vec<Pid> {
    pids.iter().copied().filter(|pid| !monitor::is_agent_below_sudo(*pid)).collect()
}

/// Whether a process, or one of its threads, is neither stopped nor ended.
fn is_running(pid: Pid) -> bool {
    state(pid).is_some_and(|entry| match entry.threads {
        0 | 1 => !entry.is_stopped() && !entry.has_ended(),
        _ => proc::has_active_thread(pid),
    })
}

/// What /proc shows of a process. None if it is gone.
fn state(pid: Pid) -> Option<Entry> {
    proc::entry(pid).ok().flatten()
}

/// Why a member is not in the state that the signal asks for. None if it is, or if it is gone.
fn why_survives(pid: Pid, number: i32) -> Option<String> {
    let entry = state(pid)?;
    match number {
        // A parent in vfork(2) whose child is stopped is also in state D.
        SIGSTOP if entry.is_uninterruptible() || !is_running(pid) => None,
        _ if entry.is_uninterruptible() => {
            Some(described(pid, "state D: it waits for a device or a file server"))
        }
        _ => Some(described(pid, &format!("state {}", char::from(entry.state)))),
    }
}

/// A process and why it survives, as the helper shows it. The helper escapes control characters.
fn described(pid: Pid, why: &str) -> String {
    let name = proc::comm(pid).unwrap_or_default();
    format!("{pid} ({}): {why}", String::from_utf8_lossy(&name))
}

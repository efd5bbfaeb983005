//! The errand that sends a signal to a whole family, or to all that an account runs.
//!
//! A family that is to end could grow faster than it is found. So each member is stopped first, as
//! soon as it is found; who is stopped has no more children, and once a look that began after all
//! were stopped finds nobody new, there is nobody else.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::proc::{self, Entry};
use sys::signal::{self, SIGCONT, SIGKILL, SIGSTOP};
use sys::{Errno, Pid, fd, process};

use super::family::{self, Family, Look, Target};
use super::monitor;

/// More looks than this, and the family grows faster than it is stopped.
const MOST_ROUNDS: u64 = 1000;

/// Looks for a signal that does not keep its receivers from having children.
const ROUNDS_WITHOUT_STOPPING: u64 = 8;

/// So long is waited until all who were stopped have come to rest. A process that waits for a disk
/// does not.
const REST: Duration = Duration::from_millis(500);

/// Nobody has ended for so long: whoever is left will not soon.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often newcomers are looked for while the others have time to end by themselves.
const GLANCE: Duration = Duration::from_millis(500);

/// After so many looks that each found somebody new, those that were found are killed without
/// waiting for a quiet one.
const ROUNDS_WITHOUT_KILLING: u64 = 20;

/// How often the helper is told that the hunt goes on, while nothing else happens.
const BEAT: Duration = Duration::from_millis(200);

/// What is asked for.
#[derive(Debug)]
pub struct Order<'a> {
    /// Whose processes it is about.
    pub target: Target<'a>,
    /// The signal.
    pub signal: i32,
    /// How long they may take to end by themselves, before SIGKILL.
    pub grace: Duration,
    /// The signal that asks them to.
    pub asks: i32,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many processes were ended, or got the signal.
    pub processes: u64,
    /// How often all processes were looked through.
    pub rounds: u64,
    /// Processes of this user that do not tell whether they belong to the family.
    pub untold: u64,
    /// Who is not as the signal wants it, and why. A number of 0 stands for those that could not
    /// be found in time.
    pub left: Vec<(Pid, String)>,
}

/// Ends all processes of this user in one call, as far as this can be the first thing: a hostile
/// job that looks out for us would stop or kill this process as well as the other way round.
/// Returns those that it was meant for.
pub fn kill_all_at_once() -> Result<HashSet<Pid>> {
    let own = process::getpid();
    let above = process::ancestors(own);
    // It would end whoever is above us and this user's. Where /proc hides some (hidepid of
    // proc(5)), that can't be known.
    if !process::reach_the_first(&above) || above.iter().any(|pid| family::is_own(*pid)) {
        return Ok(HashSet::new());
    }
    let lives = |pid: &Pid| state(*pid).is_some_and(|entry| !entry.has_ended());
    let all = proc::numbers().at("read the directory", "/proc")?;
    let meant =
        all.into_iter().filter(|pid| *pid != own && family::is_own(*pid)).filter(lives).collect();
    match signal::send_to_all_others(signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(meant),
        sent => sent.at("end", "all processes of this account").map(|()| meant),
    }
}

/// Carries out an order. `meant` are those that have got the signal already. `heard` tells the
/// helper now and then that the hunt goes on, and whether it still listens: if not, nobody is
/// hunted who is not found yet, for whoever is called the same by now may be another job's.
pub fn hunt(
    order: &Order<'_>,
    meant: HashSet<Pid>,
    heard: &mut dyn FnMut() -> bool,
) -> Result<Outcome> {
    // With fewer it takes more rounds.
    let _ = fd::raise_limit();
    let family = Family::new(&order.target)?;
    let mut hunter = Hunter { family, heard, rounds: 0, reached: meant, more: false };
    let hunted = match order.signal {
        SIGKILL => hunter.end(order),
        SIGSTOP => hunter.stop(),
        SIGCONT => hunter.send(SIGCONT, 1),
        number => hunter.send(number, ROUNDS_WITHOUT_STOPPING),
    };
    if order.signal == SIGKILL && hunted.is_err() {
        // Nobody is left stopped, whatever happens.
        hunter.signal(&hunter.all(), SIGKILL);
    }
    hunted.map(|()| hunter.outcome(order.signal))
}

struct Hunter<'a> {
    family: Family,
    heard: &'a mut dyn FnMut() -> bool,
    rounds: u64,
    /// The members that got the signal, or another one on the way to it.
    reached: HashSet<Pid>,
    /// Whether there may be more that were not found.
    more: bool,
}

impl Hunter<'_> {
    fn look(&mut self) -> Result<Look> {
        if !(self.heard)() {
            return Err(Error::refused("the helper", "it is gone"));
        }
        self.rounds += 1;
        self.family.look()
    }

    /// Sends a signal to members.
    fn signal(&mut self, pids: &[Pid], number: i32) {
        for pid in pids {
            let Some(member) = self.family.members().get(pid) else { continue };
            match signal::send(&member.held, number) {
                Ok(()) => drop(self.reached.insert(*pid)),
                Err(Errno::ESRCH) => self.family.bury(*pid),
                // It has become another user, by a program that is set-user-ID.
                Err(_) => {
                    self.reached.remove(pid);
                    self.family.lose(*pid);
                }
            }
        }
    }

    fn all(&self) -> Vec<Pid> {
        self.family.members().keys().copied().collect()
    }

    /// Sends a signal to every member once, newcomers included as far as they are found in so many
    /// looks.
    fn send(&mut self, number: i32, looks: u64) -> Result<()> {
        for _ in 0..looks {
            let Look { new, complete } = self.look()?;
            self.signal(&jobs(&new), number);
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
        for _ in 0..MOST_ROUNDS {
            let Look { new, complete } = self.look()?;
            if complete && new.is_empty() {
                return Ok(());
            }
            // Stopped, the agent above the job would take its sudo with it.
            let new = jobs(&new);
            self.signal(&new, SIGSTOP);
            if !complete {
                return Err(Errno::EMFILE).at("hold by descriptors", "all processes of the family");
            }
            self.rest(&new);
        }
        self.more = true;
        Ok(())
    }

    /// Ends every member, asked before if there is a grace.
    fn end(&mut self, order: &Order<'_>) -> Result<()> {
        if !order.grace.is_zero() {
            self.ask_to_end(order)?;
            if matches!(order.target, Target::Account) {
                self.reached.extend(kill_all_at_once()?);
            }
        }
        let mut delivered: HashSet<Pid> = HashSet::new();
        for round in 1..=MOST_ROUNDS {
            let Look { new, complete } = self.look()?;
            // A sudo stops when its command is stopped, and nobody could continue it when that has
            // been killed. The agent that stands between has no children but the job.
            let (below, stopped): (Vec<Pid>, Vec<Pid>) =
                new.iter().partition(|pid| monitor::is_below(**pid));
            self.signal(&stopped, SIGSTOP);
            self.signal(&jobs(&below), SIGKILL);
            self.rest(&stopped);
            if complete && !new.is_empty() && round % ROUNDS_WITHOUT_KILLING != 0 {
                continue;
            }
            let due: Vec<Pid> =
                self.all().into_iter().filter(|pid| !delivered.contains(pid)).collect();
            if complete && due.is_empty() {
                return Ok(());
            }
            self.signal(&due, SIGKILL);
            delivered.extend(&due);
            self.wait(&due, PATIENCE, None);
        }
        self.more = true;
        Ok(())
    }

    /// Asks every member to end, and waits.
    fn ask_to_end(&mut self, order: &Order<'_>) -> Result<()> {
        let end = Instant::now() + order.grace;
        loop {
            let new = jobs(&self.look()?.new);
            self.signal(&new, order.asks);
            // One that is stopped does not hear it.
            let stopped: Vec<Pid> = new.into_iter().filter(|pid| !is_at_work(*pid)).collect();
            self.signal(&stopped, SIGCONT);
            let all = self.all();
            let left = end.saturating_duration_since(Instant::now());
            if all.is_empty() || left.is_zero() {
                return Ok(());
            }
            self.wait(&all, left.min(GLANCE), Some(end));
        }
    }

    /// Waits until these have ended: at most so long after the last end of one, and until then.
    fn wait(&mut self, pids: &[Pid], patience: Duration, until: Option<Instant>) {
        let mut give_up = Instant::now() + patience;
        for pid in pids {
            while let Some(member) = self.family.members().get(pid) {
                let limit = until.map_or(give_up, |until| until.min(give_up));
                let left = limit.saturating_duration_since(Instant::now());
                if process::wait_for_end(&member.held, left.min(BEAT)).unwrap_or(false) {
                    self.family.bury(*pid);
                    if until.is_none() {
                        give_up = Instant::now() + patience;
                    }
                } else if left <= BEAT || !(self.heard)() {
                    break;
                }
            }
        }
    }

    /// Waits until these are stopped, so that none of them is still having a child.
    fn rest(&self, pids: &[Pid]) {
        let end = Instant::now() + REST;
        for pid in pids {
            while self.family.members().contains_key(pid)
                && is_at_work(*pid)
                && Instant::now() < end
            {
                sleep(Duration::from_micros(200));
            }
        }
    }

    fn outcome(mut self, number: i32) -> Outcome {
        let mut left = Vec::new();
        // Those who have ended since are not left; nor are, when all were to be stopped, those who
        // are.
        self.wait(&self.all(), Duration::ZERO, None);
        if matches!(number, SIGKILL | SIGSTOP) {
            // To be stopped was not for all of them.
            let meant = self
                .all()
                .into_iter()
                .filter(|pid| number == SIGKILL || self.reached.contains(pid));
            left = meant.filter_map(|pid| Some((pid, why_left(pid, number)?))).collect();
            left.extend(
                self.family
                    .strangers()
                    .map(|pid| (pid, described(pid, "not permitted: it is another user's"))),
            );
            left.sort();
        }
        if self.more {
            left.push((
                Pid::from_raw(0),
                format!("others, new ones in each of {MOST_ROUNDS} rounds"),
            ));
        }
        let processes = match number {
            SIGKILL => {
                self.reached.iter().filter(|pid| !self.family.members().contains_key(pid)).count()
            }
            _ => self.reached.len(),
        };
        Outcome {
            processes: processes as u64,
            rounds: self.rounds,
            untold: self.family.untold() as u64,
            left,
        }
    }
}

/// These without the agent that stands between a monitoring sudo and the job: what is for the job
/// it does not get.
fn jobs(pids: &[Pid]) -> Vec<Pid> {
    pids.iter().copied().filter(|pid| !monitor::is_stand_in(*pid)).collect()
}

/// Whether a process, or one of its threads, is neither stopped nor at its end.
fn is_at_work(pid: Pid) -> bool {
    state(pid).is_some_and(|entry| match entry.threads {
        0 | 1 => !entry.is_stopped() && !entry.has_ended(),
        _ => proc::has_thread_at_work(pid),
    })
}

/// What a member is now; none if it is gone.
fn state(pid: Pid) -> Option<Entry> {
    proc::entry(pid).ok().flatten()
}

/// Why a living member is not as the signal wants it; none if it is.
fn why_left(pid: Pid, number: i32) -> Option<String> {
    let entry = state(pid)?;
    match number {
        // A parent that waits for its stopped child in vfork(2) is in state D as well.
        SIGSTOP if entry.waits_for_a_device() || !is_at_work(pid) => None,
        _ if entry.waits_for_a_device() => {
            Some(described(pid, "state D: it waits for a device or a file server"))
        }
        _ => Some(described(pid, &format!("state {}", char::from(entry.state)))),
    }
}

/// The helper shows it, and escapes what has to be.
fn described(pid: Pid, why: &str) -> String {
    let name = proc::name(pid).unwrap_or_default();
    format!("{pid} ({}): {why}", String::from_utf8_lossy(&name))
}

//! The errand that sends a signal to a whole family, or to all that an account runs.
//!
//! A family that is to end could grow faster than it is found. So each member is stopped first, as soon as it is found; who is stopped has no
//! more children, and once a look that began after all were stopped finds nobody new, there is nobody else.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::family::{self, Family, Look, Whom};
use super::monitor;
use crate::error::{Context as _, Error, Result};
use crate::sys::proc::{self, Entry};
use crate::sys::signal::{self, SIGCONT, SIGKILL, SIGSTOP, SIGTERM};
use crate::sys::{Errno, fd, process};

/// More looks than this, and the family grows faster than it is stopped.
const MOST_ROUNDS: u64 = 1000;

/// Looks for a signal that does not keep its receivers from having children.
const ROUNDS_WITHOUT_STOPPING: u64 = 8;

/// So long is waited until all who were stopped have come to rest. A process that waits for a disk does not.
const REST: Duration = Duration::from_millis(500);

/// Nobody has ended for so long: whoever is left will not soon.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often newcomers are looked for while the others have time to end by themselves.
const GLANCE: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Debug)]
pub struct Order<'a> {
    /// Whose processes it is about.
    pub whom: Whom<'a>,
    /// The signal.
    pub signal: i32,
    /// How long they may take to end by themselves after SIGTERM, before SIGKILL.
    pub grace: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// How many processes were ended, or got the signal.
    pub processes: u64,
    /// How often all processes were looked through.
    pub rounds: u64,
    /// Who is not as the signal wants it, and why.
    pub left: Vec<(i32, String)>,
}

/// Carries out an order.
pub fn hunt(order: &Order<'_>) -> Result<Outcome> {
    // With fewer it takes more rounds.
    let _ = fd::raise_limit();
    let mut hunter = Hunter { family: Family::new(&order.whom)?, rounds: 0, reached: HashSet::new() };
    let account = matches!(order.whom, Whom::Account);
    match order.signal {
        SIGKILL => {
            if !order.grace.is_zero() {
                hunter.ask_to_end(order.grace)?;
            } else if account {
                hunter.kill_all_at_once()?;
            }
            if let Err(error) = hunter.kill() {
                // Nobody is left stopped, whatever happens.
                hunter.signal(&hunter.all(), SIGKILL);
                return Err(error);
            }
        }
        SIGSTOP => hunter.stop()?,
        SIGCONT => drop(hunter.send(SIGCONT, 1)?),
        number => drop(hunter.send(number, ROUNDS_WITHOUT_STOPPING)?),
    }
    Ok(hunter.outcome(order.signal))
}

struct Hunter {
    family: Family,
    rounds: u64,
    /// The members that got the signal, or another one on the way to it.
    reached: HashSet<i32>,
}

impl Hunter {
    fn look(&mut self) -> Result<Look> {
        self.rounds += 1;
        self.family.look()
    }

    /// Sends a signal to members.
    fn signal(&mut self, pids: &[i32], number: i32) {
        for pid in pids {
            let Some(held) = self.family.members().get(pid) else { continue };
            match signal::send(held, number) {
                Ok(()) => drop(self.reached.insert(*pid)),
                Err(Errno::ESRCH) => self.family.bury(*pid),
                // It has become another user, by a program that is set-user-ID.
                Err(_) => self.family.lose(*pid),
            }
        }
    }

    fn all(&self) -> Vec<i32> {
        self.family.members().keys().copied().collect()
    }

    /// Sends a signal to every member once, newcomers included as far as they are found in so many looks.
    fn send(&mut self, number: i32, looks: u64) -> Result<()> {
        for _ in 0..looks {
            let Look { new, complete } = self.look()?;
            self.signal(&new, number);
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
            let new: Vec<i32> = new.into_iter().filter(|pid| !monitor::is_stand_in(*pid)).collect();
            self.signal(&new, SIGSTOP);
            if !complete {
                return Err(Errno::EMFILE).at("hold by descriptors", "all processes of the family");
            }
            self.rest(&new);
        }
        Err(never_ending())
    }

    /// Ends every member.
    fn kill(&mut self) -> Result<()> {
        let mut delivered: HashSet<i32> = HashSet::new();
        for _ in 0..MOST_ROUNDS {
            let Look { new, complete } = self.look()?;
            // A sudo stops when its command is stopped, and nobody could continue it when that has been killed. The agent that stands between
            // has no children but the job.
            let (below, stopped): (Vec<i32>, Vec<i32>) = new.iter().partition(|pid| monitor::is_below(**pid));
            self.signal(&stopped, SIGSTOP);
            let commands: Vec<i32> = below.into_iter().filter(|pid| !monitor::is_stand_in(*pid)).collect();
            self.signal(&commands, SIGKILL);
            self.rest(&stopped);
            if complete && !new.is_empty() {
                continue;
            }
            let due: Vec<i32> = self.all().into_iter().filter(|pid| !delivered.contains(pid)).collect();
            if complete && due.is_empty() {
                return Ok(());
            }
            self.signal(&due, SIGKILL);
            delivered.extend(&due);
            self.wait(&due, PATIENCE, None);
        }
        Err(never_ending())
    }

    /// Ends all processes of this user in one call, as far as this can be the first thing: a hostile job that looks out for us would
    /// stop or kill this process as well as the other way round.
    fn kill_all_at_once(&mut self) -> Result<()> {
        let own = process::own_number();
        if self.family.spared().any(|pid| pid != own && family::is_own(pid)) {
            return Ok(()); // somebody above us is this user's
        }
        let all = proc::numbers().at("read the directory", "/proc")?;
        let lives = |pid: i32| state(pid).is_some_and(|entry| !entry.is_zombie());
        self.reached.extend(all.into_iter().filter(|pid| *pid != own && family::is_own(*pid) && lives(*pid)));
        match signal::kill_all_others() {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            sent => sent.at("end", "all processes of this account"),
        }
    }

    /// Asks every member to end, and waits.
    fn ask_to_end(&mut self, grace: Duration) -> Result<()> {
        let end = Instant::now() + grace;
        loop {
            let new = self.look()?.new;
            self.signal(&new, SIGTERM);
            // One that is stopped does not hear it.
            let stopped: Vec<i32> =
                new.into_iter().filter(|pid| state(*pid).is_some_and(|entry| entry.is_stopped())).collect();
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
    fn wait(&mut self, pids: &[i32], patience: Duration, until: Option<Instant>) {
        let mut give_up = Instant::now() + patience;
        for pid in pids {
            let Some(held) = self.family.members().get(pid) else { continue };
            let limit = until.map_or(give_up, |until| until.min(give_up));
            let left = limit.saturating_duration_since(Instant::now());
            if process::wait_for_end(held, left).unwrap_or(false) {
                self.family.bury(*pid);
                if until.is_none() {
                    give_up = Instant::now() + patience;
                }
            }
        }
    }

    /// Waits until these are stopped, so that none of them is still having a child.
    fn rest(&self, pids: &[i32]) {
        let end = Instant::now() + REST;
        for pid in pids {
            while self.family.members().contains_key(pid)
                && state(*pid).is_some_and(|entry| !entry.is_stopped() && !entry.is_zombie())
                && Instant::now() < end
            {
                sleep(Duration::from_micros(200));
            }
        }
    }

    fn outcome(mut self, number: i32) -> Outcome {
        let mut left = Vec::new();
        // Those who have ended since are not left; nor are, when all were to be stopped, those who are.
        self.wait(&self.all(), Duration::ZERO, None);
        if matches!(number, SIGKILL | SIGSTOP) {
            // To be stopped was not for all of them.
            let meant = self.all().into_iter().filter(|pid| number == SIGKILL || self.reached.contains(pid));
            left = meant.filter_map(|pid| Some((pid, why_left(pid, number)?))).collect();
            left.extend(
                self.family.strangers().map(|pid| (pid, described(pid, "not permitted: it is another user's"))),
            );
            left.sort();
        }
        let processes = match number {
            SIGKILL => {
                let gone = self.reached.iter().filter(|pid| !self.family.members().contains_key(pid));
                gone.count()
            }
            _ => self.reached.len(),
        };
        Outcome { processes: processes as u64, rounds: self.rounds, left }
    }
}

fn never_ending() -> Error {
    Error::refused("signal", format!("in {MOST_ROUNDS} rounds there were always new processes"))
}

/// What a member is now; none if it is gone.
fn state(pid: i32) -> Option<Entry> {
    proc::entry(pid).ok().flatten()
}

/// Why a living member is not as the signal wants it; none if it is.
fn why_left(pid: i32, number: i32) -> Option<String> {
    let state = state(pid)?.state;
    match (number, state) {
        // A parent that waits for its stopped child in vfork(2) is in state D as well.
        (SIGSTOP, b'T' | b't' | b'D' | b'Z') => None,
        (_, b'D') => Some(described(pid, "state D: it waits for a device or a file server")),
        _ => Some(described(pid, &format!("state {}", char::from(state)))),
    }
}

fn described(pid: i32, why: &str) -> String {
    let name = proc::name(pid).unwrap_or_default();
    format!("{} ({}): {why}", pid, crate::shown::Shown(&name))
}

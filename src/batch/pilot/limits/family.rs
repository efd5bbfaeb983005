//! The payload's processes, as /proc shows them to the pilot, which is another user.
//!
//! A process belongs to the payload if its parent does, if it is in a session that one of the
//! payload's processes leads or has led, or if the process above the payload has adopted it and it
//! is the payload's user's. Once found, it stays found, whatever becomes of its parent. Below
//! `glexec` each process stays below the guard, so none is missed. Through sudo, a process that
//! leaves its parent and its session between two looks is missed: the agent finds it by its mark
//! when the payload ends, and until then it is not counted.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::proc::{self, Entry};
use sys::socket::Sender;
use sys::{Pid, Uid};

/// How long a process that does not belong to the payload is not read again. Its pid may be another
/// process's meanwhile.
const FOREIGN_TIME: Duration = Duration::from_secs(1);

/// The payload's processes.
#[derive(Debug)]
pub struct Family {
    /// The process of the call directly above the payload, if one has stayed there. It may adopt
    /// what the payload's processes leave.
    above: Option<Pid>,
    /// All processes above the payload. They may be in its session.
    ancestors: HashSet<Pid>,
    user: Uid,
    members: HashMap<Pid, Entry>,
    /// The sessions of the payload, by the pids of their leaders.
    sessions: HashSet<Pid>,
    /// What is known to be no member.
    foreign: HashSet<Pid>,
    /// Since when that is collected.
    foreign_since: Instant,
}

impl Family {
    /// The family of a wrapper that waits, below or in place of this process of the switcher; or
    /// elsewhere, if a daemon has started it.
    pub fn new(switcher: Pid, wrapper: Sender) -> Result<Family> {
        let Sender { pid, uid: user } = wrapper;
        let entry = proc::entry(pid).at("examine", "the job wrapper's process")?;
        let Some(entry) = entry else {
            let why = "/proc does not show it, so that it cannot be watched";
            return Err(Error::refused("the job wrapper's process", why));
        };
        let ancestors = proc::ancestors(pid);
        let of_call = ancestors.iter().position(|above| *above == switcher).map_or(0, |at| at + 1);
        let (of_call, beyond) = ancestors.split_at(of_call);
        // A daemon may have other payloads of that user.
        let above = of_call.first().copied();
        let session = Some(entry.session).filter(|session| !beyond.contains(session));
        Ok(Family {
            above,
            sessions: session.into_iter().collect(),
            ancestors: ancestors.into_iter().collect(),
            user,
            members: HashMap::from([(pid, entry)]),
            foreign: HashSet::new(),
            foreign_since: Instant::now(),
        })
    }

    /// Looks for the members that exist now.
    pub fn look(&mut self) -> Result<()> {
        if self.foreign_since.elapsed() > FOREIGN_TIME {
            self.foreign.clear();
            self.foreign_since = Instant::now();
        }
        let before = std::mem::take(&mut self.members);
        let mut others = Vec::new();
        let pids = proc::pids().at("read the directory", "/proc")?;
        for pid in &pids {
            if self.foreign.contains(pid) || self.ancestors.contains(pid) {
                continue;
            }
            let Ok(Some(entry)) = proc::entry(*pid) else { continue };
            if before.get(pid).is_some_and(|before| before.started == entry.started) {
                self.add(*pid, entry);
            } else if entry.kernel {
                self.foreign.insert(*pid);
            } else {
                others.push((*pid, entry));
            }
        }
        // A child can have a lower pid than its parent.
        loop {
            let (found, rest): (Vec<_>, Vec<_>) =
                others.into_iter().partition(|(pid, entry)| self.is_member(*pid, entry));
            others = rest;
            if found.is_empty() {
                break;
            }
            for (pid, entry) in found {
                self.add(pid, entry);
            }
        }
        self.foreign.extend(others.into_iter().map(|(pid, _)| pid));
        Ok(())
    }

    /// Makes these the members: they are known in another way.
    pub fn set(&mut self, pids: &[Pid]) {
        let entry = |pid: &Pid| Some((*pid, proc::entry(*pid).ok()??));
        self.members = pids.iter().filter_map(entry).collect();
    }

    /// The members of the last look.
    pub fn members(&self) -> &HashMap<Pid, Entry> {
        &self.members
    }

    /// The processor time of payload's processes that the process above it has waited for, in clock
    /// ticks: user and system.
    pub fn times_above(&self) -> [u64; 2] {
        let entry = self.above.and_then(|above| proc::entry(above).ok().flatten());
        entry.map(|entry| entry.waited_times).unwrap_or_default()
    }

    fn add(&mut self, pid: Pid, entry: Entry) {
        if entry.session == pid {
            self.sessions.insert(pid);
        }
        self.members.insert(pid, entry);
    }

    fn is_member(&self, pid: Pid, entry: &Entry) -> bool {
        self.members.contains_key(&entry.parent)
            || self.sessions.contains(&entry.session)
            || Some(entry.parent) == self.above
                && proc::uids(pid).is_some_and(|ids| ids[0] == self.user)
    }
}

//! Which processes belong to a family, that is, were started for a job.
//!
//! There are three criteria. Walk: a child of a member is a member. Session and process group: a
//! process is a member if the leader of its session or group is one (credentials(7)). Mark: a
//! process is a member if it was started with the family's mark in its environment, which survives
//! fork, setsid and adoption by another parent. A process can evade all three on purpose, but not
//! by accident.
//!
//! What is read about a process may be out of date a moment later, and its pid may be another
//! process's. So each member is held by a pidfd, after a check that it still is the process that
//! was found.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use error::{Context as _, Error, Result, Shown};
use sys::proc::{self, Entry, Variable};
use sys::{Errno, Pid, pidfd, process, signal};

use super::environment::MARK;

/// Which processes are looked for.
#[derive(Debug)]
pub(crate) enum Selector<'a> {
    /// Those of one job.
    Family {
        /// A process of the job, or one above it that the switcher left there. It may be gone.
        root: Option<Pid>,
        /// The job's mark.
        mark: &'a OsStr,
    },
    /// All processes of this user.
    Account,
}

/// The members that are found so far.
#[derive(Debug)]
pub(crate) struct Family {
    root: Option<Pid>,
    /// When the root was started, if it existed at the beginning. A process with its pid that was
    /// started at another time is another process.
    root_started: Option<u64>,
    /// The mark. None if every process of this user is a member.
    mark: Option<Vec<u8>>,
    /// This process and its ancestors, which are never members.
    excluded: HashSet<Pid>,
    /// The ancestors of the root. The sessions and groups that they lead do not count.
    above_root: HashSet<Pid>,
    members: HashMap<Pid, Member>,
    /// The pids of members that have ended.
    ended: HashSet<Pid>,
    /// The pids of members, also of ended ones, that lead a session or group that still has
    /// processes. The kernel does not use such a pid again before the session or group is empty.
    leaders: HashSet<Pid>,
    /// How many of this user's processes did not show in the last scan whether they have the mark.
    unclassified: usize,
    /// Other users' processes that descend from members.
    foreign_descendants: HashMap<Pid, OwnedFd>,
    /// What an earlier scan has read about processes that are not this user's; nothing about
    /// kernel threads. There may be many of them, and only their parents matter.
    foreign: HashMap<Pid, Option<Entry>>,
}

/// A process of the family that this user may signal.
#[derive(Debug)]
pub(crate) struct Member {
    /// The pidfd of the process.
    pub(crate) held: OwnedFd,
    /// Its state when it was found.
    found: Entry,
}

/// The result of one scan.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Members that no earlier scan has found.
    pub(crate) new: Vec<Pid>,
    /// Whether there were enough descriptors to hold all of them. If not, there may be more.
    pub(crate) complete: bool,
}

/// The processes that are not yet members, by their pids.
type Processes = HashMap<Pid, Entry>;

impl Family {
    /// A family without members. A root with the mark of another job is refused: its pid has been
    /// used again.
    pub(crate) fn new(selector: &Selector<'_>) -> Result<Self> {
        let own = process::getpid();
        let excluded: HashSet<Pid> = proc::ancestors(own).into_iter().chain([own]).collect();
        let (root, mark) = match selector {
            Selector::Family { root, mark } => (*root, Some(mark.as_bytes().to_vec())),
            Selector::Account => (None, None),
        };
        if let (Some(root), Some(mark)) = (root, &mark) {
            let shown = format!("process {root}");
            let other =
                proc::environment_variable(root, MARK).at("read the environment of", &shown)?;
            match other {
                Variable::Set(other) if other != *mark => {
                    return Err(Error::refused(
                        shown,
                        format!("it belongs to another job, that of {}", Shown(&other)),
                    ));
                }
                _ => {}
            }
        }
        let root_started = root.and_then(|root| Some(proc::entry(root).ok()??.started));
        let above_root = root.map(proc::ancestors).unwrap_or_default().into_iter().collect();
        let (members, ended, foreign_descendants, foreign) = Default::default();
        // A root that is gone may have led a session that still has processes.
        let leaders = root.into_iter().filter(|_| root_started.is_none()).collect();
        Ok(Family {
            root,
            root_started,
            mark,
            excluded,
            above_root,
            members,
            ended,
            leaders,
            unclassified: 0,
            foreign_descendants,
            foreign,
        })
    }

    /// The members that are not known to have ended.
    pub(crate) fn members(&self) -> &HashMap<Pid, Member> {
        &self.members
    }

    /// Removes a member that has ended.
    pub(crate) fn remove_ended(&mut self, pid: Pid) {
        if self.members.remove(&pid).is_some() {
            self.ended.insert(pid);
        }
    }

    /// Removes a member that now runs as another user, so that this user may not signal it.
    pub(crate) fn remove_foreign(&mut self, pid: Pid) {
        self.foreign_descendants.extend(self.members.remove(&pid).map(|member| (pid, member.held)));
    }

    /// How many of this user's processes do not show whether they have the mark.
    pub(crate) fn unclassified(&self) -> usize {
        self.unclassified
    }

    /// Other users' processes that descend from members, and have not ended.
    pub(crate) fn foreign_descendants(&self) -> impl Iterator<Item = Pid> {
        let exists = |held: &OwnedFd| pidfd::send_signal(held, 0) != Err(Errno::ESRCH);
        self.foreign_descendants.iter().filter(move |(_, held)| exists(held)).map(|(pid, _)| *pid)
    }

    /// Scans all processes of the machine for new members.
    pub(crate) fn scan(&mut self) -> Result<Scan> {
        let seen = self.read_processes()?;
        let found = match self.mark.clone() {
            Some(mark) => self.relatives(&seen, &mark)?,
            None => seen.keys().copied().filter(|pid| !self.excluded.contains(pid)).collect(),
        };
        let foreign: Vec<Pid> = found
            .iter()
            .copied()
            .filter(|pid| self.descends_from_member(*pid, &seen, &found))
            .collect();
        let (mut new, mut complete) = (Vec::new(), true);
        for pid in found {
            let Some(entry) = seen.get(&pid) else { continue };
            match hold(pid, entry) {
                Ok(Some(held)) if pidfd::send_signal(&held, 0).is_ok() => {
                    self.members.insert(pid, Member { held, found: *entry });
                    new.push(pid);
                }
                Ok(Some(held)) if foreign.contains(&pid) => {
                    drop(self.foreign_descendants.insert(pid, held))
                }
                Ok(_) => {}
                Err(Errno::EMFILE | Errno::ENFILE) => complete = false,
                Err(cause) => {
                    return Err(cause).at("hold by a descriptor", format!("process {pid}"));
                }
            }
        }
        if !complete {
            // Leaves one descriptor for the files that must be opened meanwhile.
            new.pop().and_then(|pid| self.members.remove(&pid));
        }
        Ok(Scan { new, complete })
    }

    /// Reads what /proc shows of all processes except the members.
    fn read_processes(&mut self) -> Result<Processes> {
        let mut seen = Processes::new();
        let mut foreign = HashMap::new();
        for pid in proc::pids().at("read the directory", "/proc")? {
            if self.members.contains_key(&pid) {
                continue;
            }
            let own = is_own(pid);
            let entry = match self.foreign.remove(&pid).filter(|_| !own) {
                Some(known) => known,
                None => {
                    let entry =
                        proc::entry(pid).at_entry("examine", || format!("process {pid}").into())?;
                    entry.filter(|entry| !entry.kernel)
                }
            };
            seen.extend(entry.map(|entry| (pid, entry)));
            if !own {
                foreign.insert(pid, entry);
            }
        }
        self.foreign = foreign;
        Ok(seen)
    }

    /// The pids of all processes that belong to the family, of all users.
    fn relatives(&mut self, seen: &Processes, mark: &[u8]) -> Result<HashSet<Pid>> {
        // The pid of a leader may be used again once its session and group are empty. A process
        // that has not ended, but the pid of an ended member, is another one.
        let members = self.members.values().map(|member| &member.found);
        let led: HashSet<Pid> =
            seen.values().chain(members).flat_map(|entry| [entry.session, entry.group]).collect();
        let reused = |pid: &Pid| {
            self.ended.contains(pid) && seen.get(pid).is_some_and(|entry| !entry.has_ended())
        };
        self.leaders.retain(|pid| led.contains(pid) && !reused(pid));

        // The processes below each pid: its children, and those in its session and in its group.
        let [mut children, mut session, mut group] =
            [(); 3].map(|()| HashMap::<Pid, Vec<Pid>>::new());
        for (pid, entry) in seen {
            children.entry(entry.parent).or_default().push(*pid);
            session.entry(entry.session).or_default().push(*pid);
            group.entry(entry.group).or_default().push(*pid);
        }
        let mut found = HashSet::new();
        let add = |first: Vec<Pid>, found: &mut HashSet<Pid>| {
            let mut waiting = first;
            while let Some(pid) = waiting.pop() {
                if self.excluded.contains(&pid) || !found.insert(pid) {
                    continue;
                }
                waiting.extend(children.get(&pid).into_iter().flatten());
                if !self.above_root.contains(&pid) {
                    waiting.extend(session.get(&pid).into_iter().flatten());
                    waiting.extend(group.get(&pid).into_iter().flatten());
                }
            }
        };
        let root =
            self.root.filter(|root| seen.get(root).map(|entry| entry.started) == self.root_started);
        let living = root.iter().filter(|root| seen.contains_key(root)).chain(self.members.keys());
        add(living.chain(&self.leaders).copied().collect(), &mut found);
        let mut unclassified = Vec::new();
        for (pid, entry) in seen {
            if !found.contains(pid) && !entry.has_ended() && is_own(*pid) {
                let variable = proc::environment_variable(*pid, MARK);
                match variable
                    .at_entry("read the environment of", || format!("process {pid}").into())?
                {
                    Variable::Set(value) if value == mark => add(vec![*pid], &mut found),
                    Variable::Unreadable => unclassified.push(*pid),
                    _ => {}
                }
            }
        }
        // Other agents of this user are not part of a job. Their environment is not readable.
        let agent = proc::comm(process::getpid());
        let is_job = |pid: &Pid| {
            !found.contains(pid) && !self.excluded.contains(pid) && proc::comm(*pid) != agent
        };
        self.unclassified = unclassified.into_iter().filter(is_job).count();
        self.leaders.extend(found.iter().filter(|pid| led.contains(pid)));
        Ok(found)
    }

    /// Whether a process of the family that is another user's has a member as an ancestor. One that
    /// has none is the switcher's.
    fn descends_from_member(&self, pid: Pid, seen: &Processes, found: &HashSet<Pid>) -> bool {
        if is_own(pid) {
            return false;
        }
        let mut above = pid;
        // The parents were not all read at the same time, and may form a cycle.
        for _ in 0..seen.len() {
            let Some(parent) = seen.get(&above).map(|entry| entry.parent) else { return false };
            if self.members.contains_key(&parent) || found.contains(&parent) && is_own(parent) {
                return true;
            }
            above = parent;
        }
        false
    }
}

/// Whether the process is this user's, as far as the kernel lets this user signal it (kill(2)).
pub(crate) fn is_own(pid: Pid) -> bool {
    signal::kill(pid, 0).is_ok()
}

/// Holds a process that was found. None if it has ended, or if its pid is another process's.
fn hold(pid: Pid, found: &Entry) -> sys::Result<Option<OwnedFd>> {
    let held = match pidfd::open(pid) {
        Err(Errno::ESRCH) => return Ok(None),
        held => held?,
    };
    let Some(now) = proc::entry(pid)?.filter(|now| now.started == found.started) else {
        return Ok(None);
    };
    let ended = now.has_ended() && pidfd::wait_for_exit(&held, Duration::ZERO)?;
    Ok((!ended).then_some(held))
}

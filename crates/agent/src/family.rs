//! Who belongs to a family: the processes that were started for a job, however far they have gone.
//!
//! They are found by three signs. Descent: a child of a member is a member. Session and process
//! group: so is who is in one whose leader is a member (credentials(7)). The mark: so is who was
//! started with the family's mark in its environment, which survives fork, setsid and adoption. A
//! process that wants to get away can lose all three; one that was merely forgotten does not.
//!
//! What is read of a process may be out of date a moment later, and its number another's. So each
//! that is found to be a member is held by a pidfd, and only if it is then still the process that
//! was found.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use error::{Context as _, Error, Result, Shown};
use sys::proc::{self, Entry, Variable};
use sys::{Errno, Pid, process, signal};

use super::environment::FAMILY;

/// Whose processes are looked for.
#[derive(Debug)]
pub enum Target<'a> {
    /// Those of one job.
    Family {
        /// A process of it, or one above it that the switcher left there. It may be gone.
        root: Option<Pid>,
        /// The value of its mark.
        mark: &'a OsStr,
    },
    /// All of this user.
    Account,
}

/// The processes that have been found so far.
#[derive(Debug)]
pub struct Family {
    root: Option<Pid>,
    /// When the root was started, if it lived at the beginning: who has its number and was started
    /// at another time is another process.
    root_started: Option<u64>,
    /// The value of the mark; none if every process of this user is a member.
    mark: Option<Vec<u8>>,
    /// This process and those above it, which are nobody's prey.
    spared: HashSet<Pid>,
    /// Those above the root: target they lead is not of the family for that.
    above_root: HashSet<Pid>,
    members: HashMap<Pid, Member>,
    /// The numbers of members that have ended.
    ended: HashSet<Pid>,
    /// The numbers of those, living or ended, that lead a session or group with somebody in it.
    /// Such a number is not used again before nobody is left in there.
    leaders: HashSet<Pid>,
    /// How many of this user's processes do not tell, as of the last look, whether they carry the
    /// mark.
    untold: usize,
    strangers: HashMap<Pid, OwnedFd>,
    /// What an earlier look has read of processes that are not this user's; of parts of the kernel
    /// nothing. A machine has many, and little of them counts: who their parents are.
    foreign: HashMap<Pid, Option<Entry>>,
}

/// A process of the family that this user may signal.
#[derive(Debug)]
pub struct Member {
    /// Stands for this very process.
    pub held: OwnedFd,
    /// What it was when it was found.
    found: Entry,
}

/// What one look has found.
#[derive(Debug)]
pub struct Look {
    /// Members that no look had found before.
    pub new: Vec<Pid>,
    /// Whether there was room to hold all of them: else there may be more.
    pub complete: bool,
}

/// The processes that are not members yet, by their numbers.
type Seen = HashMap<Pid, Entry>;

impl Family {
    /// Nobody has been found yet. A root with the mark of another job is refused: its number has
    /// been used again.
    pub fn new(target: &Target<'_>) -> Result<Self> {
        let own = process::getpid();
        let spared: HashSet<Pid> = process::ancestors(own).into_iter().chain([own]).collect();
        let (root, mark) = match target {
            Target::Family { root, mark } => (*root, Some(mark.as_bytes().to_vec())),
            Target::Account => (None, None),
        };
        if let (Some(root), Some(mark)) = (root, &mark) {
            let shown = format!("process {root}");
            let other = proc::variable(root, FAMILY).at("read the environment of", &shown)?;
            match other {
                Variable::Is(other) if other != *mark => {
                    return Err(Error::refused(
                        shown,
                        format!("it belongs to another job, that of {}", Shown(&other)),
                    ));
                }
                _ => {}
            }
        }
        let root_started = root.and_then(|root| Some(proc::entry(root).ok()??.started));
        let above_root = root.map(process::ancestors).unwrap_or_default().into_iter().collect();
        let (members, ended, strangers, foreign) = Default::default();
        // One that is gone may have led a session that somebody is still in.
        let leaders = root.into_iter().filter(|_| root_started.is_none()).collect();
        Ok(Family {
            root,
            root_started,
            mark,
            spared,
            above_root,
            members,
            ended,
            leaders,
            untold: 0,
            strangers,
            foreign,
        })
    }

    /// The processes above this one.
    pub fn spared(&self) -> impl Iterator<Item = Pid> {
        self.spared.iter().copied()
    }

    /// The members that have not been seen to end.
    pub fn members(&self) -> &HashMap<Pid, Member> {
        &self.members
    }

    /// A member has ended.
    pub fn bury(&mut self, pid: Pid) {
        if self.members.remove(&pid).is_some() {
            self.ended.insert(pid);
        }
    }

    /// A member has become somebody that this user may not signal.
    pub fn lose(&mut self, pid: Pid) {
        self.strangers.extend(self.members.remove(&pid).map(|member| (pid, member.held)));
    }

    /// How many of this user's processes do not tell whether they carry the mark.
    pub fn untold(&self) -> usize {
        self.untold
    }

    /// Those who descend from members but are not this user's, and live.
    pub fn strangers(&self) -> impl Iterator<Item = Pid> {
        let lives = |held: &OwnedFd| signal::send(held, 0) != Err(Errno::ESRCH);
        self.strangers.iter().filter(move |(_, held)| lives(held)).map(|(pid, _)| *pid)
    }

    /// Looks through all processes.
    pub fn look(&mut self) -> Result<Look> {
        let seen = self.see()?;
        let found = match self.mark.clone() {
            Some(mark) => self.relatives(&seen, &mark)?,
            None => seen.keys().copied().filter(|pid| !self.spared.contains(pid)).collect(),
        };
        let strangers: Vec<Pid> = found
            .iter()
            .copied()
            .filter(|pid| self.descends_from_member(*pid, &seen, &found))
            .collect();
        let (mut new, mut complete) = (Vec::new(), true);
        for pid in found {
            let Some(entry) = seen.get(&pid) else { continue };
            match hold(pid, entry) {
                Ok(Some(held)) if signal::send(&held, 0).is_ok() => {
                    self.members.insert(pid, Member { held, found: *entry });
                    new.push(pid);
                }
                Ok(Some(held)) if strangers.contains(&pid) => {
                    drop(self.strangers.insert(pid, held))
                }
                Ok(_) => {}
                Err(Errno::EMFILE | Errno::ENFILE) => complete = false,
                Err(cause) => {
                    return Err(cause).at("hold by a descriptor", format!("process {pid}"));
                }
            }
        }
        if !complete {
            // Room for what has to be opened meanwhile.
            new.pop().and_then(|pid| self.members.remove(&pid));
        }
        Ok(Look { new, complete })
    }

    /// Reads what the kernel shows of all processes but the members.
    fn see(&mut self) -> Result<Seen> {
        let mut seen = Seen::new();
        let mut foreign = HashMap::new();
        for pid in proc::numbers().at("read the directory", "/proc")? {
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

    /// The numbers of all processes that belong to the family, whoever they are.
    fn relatives(&mut self, seen: &Seen, mark: &[u8]) -> Result<HashSet<Pid>> {
        // Nobody in there any more: from now on the number may be anybody's. And a living process
        // with a dead member's is another one.
        let members = self.members.values().map(|member| &member.found);
        let led: HashSet<Pid> =
            seen.values().chain(members).flat_map(|entry| [entry.session, entry.group]).collect();
        let reused = |pid: &Pid| {
            self.ended.contains(pid) && seen.get(pid).is_some_and(|entry| !entry.has_ended())
        };
        self.leaders.retain(|pid| led.contains(pid) && !reused(pid));

        // Target each number stands above, in one of the three ways.
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
                if self.spared.contains(&pid) || !found.insert(pid) {
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
        let mut untold = Vec::new();
        for (pid, entry) in seen {
            if !found.contains(pid) && !entry.has_ended() && is_own(*pid) {
                let variable = proc::variable(*pid, FAMILY);
                match variable
                    .at_entry("read the environment of", || format!("process {pid}").into())?
                {
                    Variable::Is(value) if value == mark => add(vec![*pid], &mut found),
                    Variable::Untold => untold.push(*pid),
                    _ => {}
                }
            }
        }
        // An agent is on an errand of its own, and shows nothing.
        let agent = proc::name(process::getpid());
        let is_job = |pid: &Pid| {
            !found.contains(pid) && !self.spared.contains(pid) && proc::name(*pid) != agent
        };
        self.untold = untold.into_iter().filter(is_job).count();
        self.leaders.extend(found.iter().filter(|pid| led.contains(pid)));
        Ok(found)
    }

    /// Whether a process of the family that is another user's has a member above it: what is above
    /// all members is the switcher's.
    fn descends_from_member(&self, pid: Pid, seen: &Seen, found: &HashSet<Pid>) -> bool {
        if is_own(pid) {
            return false;
        }
        let mut above = pid;
        // Read over a while, the parents may form a ring.
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

/// Whether the process of this number is this user's: the kernel's own word (kill(2)).
pub fn is_own(pid: Pid) -> bool {
    signal::send_by_number(pid, 0).is_ok()
}

/// Holds a process that was found; none if it has ended, or its number is another's by now.
fn hold(pid: Pid, found: &Entry) -> sys::Result<Option<OwnedFd>> {
    let held = match process::open(pid) {
        Err(Errno::ESRCH) => return Ok(None),
        held => held?,
    };
    let Some(now) = proc::entry(pid)?.filter(|now| now.started == found.started) else {
        return Ok(None);
    };
    let ended = now.has_ended() && process::wait_for_end(&held, Duration::ZERO)?;
    Ok((!ended).then_some(held))
}

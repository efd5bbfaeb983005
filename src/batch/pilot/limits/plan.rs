//! Which means enforces each limit of a payload, through one switcher on this node.
//!
//! - A control group enforces what its controllers can, if one is delegated to this user.
//! - The address space of a process (RLIMIT_AS) is no measure of memory: a Java or Go program
//!   reserves many times what it uses, and the limit counts each process separately. So memory is
//!   watched without a group.
//! - The kernel counts processes by user (RLIMIT_NPROC). That is right for a user of the project's
//!   `glexec`, which has one payload only. An account can have several payloads, which would use up
//!   each other's number: there, processes are watched.
//! - The kernel limits the processor time of each process (RLIMIT_CPU). The sum is watched; the
//!   kernel's limit is a little higher, and holds also while this process is stopped.

use cgroup::Place;
use error::{Error, Result};
use sys::proc;
use wire::PayloadLimits;

use super::group::controller;
use super::{Limit, Limits};
use crate::batch::pilot::candidates::SwitcherKind;

/// How much more processor time a single process can have than all together, in seconds: so that
/// the sum is what ends a payload, with the time of `--grace`.
const PROCESSOR_MARGIN: u64 = 2;

/// A means that enforces a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The payload's control group.
    Cgroup,
    /// A limit on resources, getrlimit(2).
    Rlimit,
    /// The pilot looks at what is used, and ends the payload.
    Watching,
    /// The payload begins on so many processors. It can undo that.
    Affinity,
}

impl Means {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Means::Cgroup => "cgroup",
            Means::Rlimit => "rlimit",
            Means::Watching => "watching",
            Means::Affinity => "affinity",
        }
    }
}

/// How one limit is enforced.
#[derive(Clone, Debug)]
pub struct Enforced {
    /// The limit.
    pub limit: Limit,
    /// Its value.
    pub value: u64,
    /// By what; empty if it is not enforced.
    pub means: Vec<Means>,
    /// Why it is not enforced, or not completely.
    pub missing: Option<&'static str>,
}

/// How the limits of a payload are enforced.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Each limit that was given.
    pub limits: Vec<Enforced>,
    /// Where the payload's group is made, if it can have one and is to be watched or limited by it.
    pub place: Option<Place>,
}

impl Plan {
    /// The plan for a switcher of this kind on this node. The kind is asked for only if it matters.
    pub fn new(limits: &Limits, kind: impl Fn() -> Option<SwitcherKind>) -> Plan {
        let (mut plan, mut is_hidden) = (Plan::default(), None);
        let has_groups = Limit::ALL.into_iter().any(|limit| {
            limits.value(limit).is_some()
                && (limit == Limit::CpuTime || controller(limit).is_some())
        });
        let is_rootless = || kind() == Some(SwitcherKind::Rootless);
        // The processes that a daemon starts are not in this process's group. An account of the
        // daemon may have several payloads.
        let is_daemon = || is_rootless() && glexec::asks_daemon();
        if has_groups && !is_daemon() {
            plan.place = Place::of_self();
        }
        for limit in Limit::ALL {
            let Some(value) = limits.value(limit) else { continue };
            let is_hidden = *is_hidden.get_or_insert_with(proc::hides_others);
            let has_one_payload = || is_rootless() && !is_daemon();
            let by_group =
                |place: &Place| controller(limit).is_some_and(|name| place.cgroup().can_have(name));
            let (means, missing) = match plan.place.as_ref().is_some_and(by_group) {
                true => (vec![Means::Cgroup], None),
                false => means(limit, has_one_payload, is_hidden),
            };
            plan.limits.push(Enforced { limit, value, means, missing });
        }
        plan
    }

    /// An error that names the first limit that is not enforced.
    pub fn require(&self) -> Result<()> {
        match self.missing().next() {
            Some((limit, why)) => {
                let why = format!("{why}: leave it out, or allow that with --best-effort");
                Err(Error::refused(format!("--{} cannot be enforced", limit.name()), why))
            }
            None => Ok(()),
        }
    }

    /// The limits that are not enforced, and why.
    pub fn missing(&self) -> impl Iterator<Item = (Limit, &'static str)> {
        self.limits.iter().filter_map(|enforced| Some((enforced.limit, enforced.missing?)))
    }

    /// The limits that this process watches by looking at the payload's processes.
    pub fn watched(&self) -> Vec<Limit> {
        let is_watched = |enforced: &&Enforced| {
            enforced.means.contains(&Means::Watching) && enforced.limit != Limit::Disk
        };
        self.limits.iter().filter(is_watched).map(|enforced| enforced.limit).collect()
    }

    /// Whether the payload's group enforces a limit.
    pub fn needs_group(&self) -> bool {
        self.limits.iter().any(|enforced| enforced.means.contains(&Means::Cgroup))
    }

    /// How many agents watch the sandbox.
    fn has_disk(&self) -> u64 {
        self.limits.iter().filter(|enforced| enforced.limit == Limit::Disk).count() as u64
    }

    /// What the payload's process sets on itself. `agents` is how many other processes of its user
    /// are there while it runs, without the agent that watches the sandbox.
    pub fn of_process(&self, agents: u64) -> PayloadLimits {
        let value = |limit: Limit, means: Means| {
            let mut limits = self.limits.iter();
            limits.find(|one| one.limit == limit && one.means.contains(&means))
        };
        let processor_seconds = value(Limit::CpuTime, Means::Rlimit).map(|enforced| {
            let is_sum_watched = enforced.means.contains(&Means::Watching);
            enforced.value.saturating_add(if is_sum_watched { PROCESSOR_MARGIN } else { 0 })
        });
        PayloadLimits {
            file_size: value(Limit::FileSize, Means::Rlimit).map(|enforced| enforced.value),
            processor_seconds,
            processes: value(Limit::Pids, Means::Rlimit)
                .map(|enforced| enforced.value.saturating_add(agents + self.has_disk())),
            processors: value(Limit::Cpus, Means::Affinity).map(|enforced| enforced.value),
        }
    }
}

/// What enforces a limit, and why it is not enforced completely. `has_one_payload` tells whether
/// the payload's user has no other payload; `is_hidden`, whether other users' processes are hidden.
fn means(
    limit: Limit,
    has_one_payload: impl Fn() -> bool,
    is_hidden: bool,
) -> (Vec<Means>, Option<&'static str>) {
    const HIDDEN: &str = "/proc hides the processes of other users here (hidepid)";
    const ONLY_EACH: &str = "/proc hides the processes of other users here (hidepid), so that only \
                             the time of each single process is limited";
    match limit {
        Limit::FileSize => (vec![Means::Rlimit], None),
        Limit::Cpus => (vec![Means::Affinity], None),
        Limit::Pids if has_one_payload() => (vec![Means::Rlimit], None),
        Limit::CpuTime if is_hidden => (vec![Means::Rlimit], Some(ONLY_EACH)),
        Limit::CpuTime => (vec![Means::Watching, Means::Rlimit], None),
        Limit::Memory | Limit::Pids if is_hidden => (Vec::new(), Some(HIDDEN)),
        Limit::Memory | Limit::Pids | Limit::Disk => (vec![Means::Watching], None),
    }
}

//! The limits of a payload: what the administrator gives it and lets its caller ask for, and by
//! what each limit is enforced here. A limit that cannot be enforced refuses the payload.

use std::ffi::OsStr;
use std::fmt::Display;

use cgroup::{Cgroup, Limits};
use command::refusal::{Refusal, Result};
use error::Shown;

use crate::config::{Bound, Config};

/// The variable of the caller's.
pub const VARIABLE: &str = "GLEXEC_LIMITS";

/// By what the limits of a payload are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By the payload's cgroup.
    pub by_cgroup: Limits,
    /// By the process above the payload, which looks now and then, and kills it.
    pub watched: Limits,
    /// By affinity: so many processors. The payload can undo that.
    pub processors: Option<u64>,
}

impl Plan {
    /// The limit of memory for which the kernel has killed processes in a payload's cgroup. It also
    /// kills some in a cgroup without a limit, where the memory of the machine is used up.
    pub(crate) fn out_of_memory(&self, cgroup: Option<&Cgroup>) -> Option<u64> {
        self.by_cgroup.memory.filter(|_| cgroup.is_some_and(Cgroup::is_out_of_memory))
    }
}

/// The limits of a payload: those that its caller asks for, or else the configured ones. 201 if
/// they are not understood, 203 if one is higher than the configuration permits.
pub fn of(variable: Option<&OsStr>, config: &Config) -> Result<Limits> {
    let asked = variable.map_or(Ok(Limits::default()), parse)?;
    let bounds = [
        ("memory", asked.memory, config.memory_limit),
        ("pids", asked.pids, config.pids_limit),
        ("cpus", asked.cpus, config.cpus_limit),
    ];
    let value = |(name, asked, bound): (&str, Option<u64>, Option<Bound>)| match (asked, bound) {
        (Some(asked), Some(Bound { most, .. })) if asked > most => {
            Err(Refusal::not_authorized(format!(
                "{VARIABLE} asks for {name}={asked}, and {name}={most} is the most on this machine \
                 ({name}_limit in glexec.conf(5)): ask for less"
            )))
        }
        (asked, bound) => Ok(asked.or(bound.map(|bound| bound.usual))),
    };
    let [memory, pids, cpus] = bounds.map(value);
    Ok(Limits { memory: memory?, pids: pids?, cpus: cpus? })
}

/// The limits that `GLEXEC_LIMITS` asks for: `memory=4G,pids=100,cpus=2`.
fn parse(text: &OsStr) -> Result<Limits> {
    let malformed = |why: &dyn Display| {
        Refusal::client(format!(
            "{VARIABLE} is not understood: {}: {why}; it must be as in memory=4G,pids=100,cpus=2",
            Shown::os(text)
        ))
    };
    let words = text.to_str().ok_or_else(|| malformed(&"it is not UTF-8"))?;
    let mut limits = Limits::default();
    for word in words.split(',') {
        let (name, value) = word.split_once('=').ok_or_else(|| malformed(&"a word has no ="))?;
        let field = match name {
            "memory" => &mut limits.memory,
            "pids" => &mut limits.pids,
            "cpus" => &mut limits.cpus,
            _ => return Err(malformed(&"it names another limit than memory, pids and cpus")),
        };
        let value = match name {
            "memory" => ::world::parse_size(value.as_ref()),
            _ => value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit())),
        };
        let value = value.filter(|value| *value > 0);
        let value = value.ok_or_else(|| malformed(&"a value is no number above 0"))?;
        if field.replace(value).is_some() {
            return Err(malformed(&"it names a limit twice"));
        }
    }
    Ok(limits)
}

/// By what these limits are enforced for a payload with this cgroup, if any. 202 if one cannot be:
/// without a process above the payload nothing can watch it.
pub(crate) fn plan(limits: Limits, cgroup: Option<&Cgroup>, lingers: bool) -> Result<Plan> {
    let above = cgroup.and_then(|cgroup| cgroup.path().parent()).map(Cgroup::at);
    let has = |name| above.as_ref().is_some_and(|above| above.can_have(name));
    let split = |name, value: Option<u64>| if has(name) { (value, None) } else { (None, value) };
    let (memory, watched_memory) = split("memory", limits.memory);
    let (pids, watched_pids) = split("pids", limits.pids);
    let (cpus, processors) = split("cpu", limits.cpus);
    let watched = Limits { memory: watched_memory, pids: watched_pids, cpus: None };
    if watched != Limits::default() && !lingers {
        return Err(Refusal::internal(format!(
            "{VARIABLE} cannot be enforced here for memory and pids: with linger = no in \
             glexec.conf(5) no process watches the payload"
        )));
    }
    Ok(Plan { by_cgroup: Limits { memory, pids, cpus }, watched, processors })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use command::refusal::Status;

    use super::*;

    fn asked(text: &str, config: &Config) -> Result<Limits, Status> {
        of(Some(OsStr::new(text)), config).map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_caller_asks_for_limits_by_name_and_each_once() {
        let none = Config::default();
        let limits = Limits { memory: Some(4 << 30), pids: Some(100), cpus: Some(2) };
        assert_eq!(asked("memory=4G,pids=100,cpus=2", &none), Ok(limits));
        assert_eq!(asked("cpus=1", &none), Ok(Limits { cpus: Some(1), ..Limits::default() }));
        for wrong in [
            "memory",
            "memory=",
            "memory=0",
            "memory=-1",
            "memory=1,",
            ",",
            "cpus=1K",
            "cpus=+1",
            "pids=0",
            "pids=1,pids=1",
            "disk=1",
            " pids=1",
            "pids=99999999999999999999",
        ] {
            assert_eq!(asked(wrong, &none), Err(Status::Client), "{wrong}");
        }
    }

    #[test]
    fn what_the_caller_asks_for_counts_up_to_the_most_that_the_configuration_permits() {
        let bound = Some(Bound { usual: 10, most: 20 });
        let config = Config { pids_limit: bound, ..Config::default() };
        assert_eq!(of(None, &config).unwrap().pids, Some(10));
        for (count, expected) in [(1, Ok(1)), (20, Ok(20)), (21, Err(Status::NotAuthorized))] {
            let found = asked(&format!("pids={count}"), &config).map(|limits| limits.pids);
            assert_eq!(found, expected.map(Some), "{count}");
        }
        assert_eq!(asked("memory=1", &config).unwrap().pids, Some(10));
    }

    #[test]
    fn a_payload_without_a_limit_of_memory_has_not_exceeded_one() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("memory.events"), "oom 0\noom_kill 1\n").unwrap();
        let group = Cgroup::at(directory.path());
        let plan =
            |memory| Plan { by_cgroup: Limits { memory, ..Limits::default() }, ..Plan::default() };
        assert_eq!(plan(Some(7)).out_of_memory(Some(&group)), Some(7));
        assert_eq!(plan(None).out_of_memory(Some(&group)), None);
        assert_eq!(plan(Some(7)).out_of_memory(None), None);
    }

    #[test]
    fn a_limit_that_no_cgroup_holds_is_watched_or_set_by_affinity_or_refused() {
        let limits = Limits { memory: Some(1), pids: None, cpus: Some(2) };
        let watched = Limits { memory: Some(1), ..Limits::default() };
        let expected = Plan { by_cgroup: Limits::default(), watched, processors: Some(2) };
        assert_eq!(plan(limits, None, true), Ok(expected));
        assert_eq!(plan(limits, None, false).unwrap_err().status, Status::Internal);
        assert!(plan(Limits { memory: None, ..limits }, None, false).is_ok());
        // A cgroup below one that can have the controllers.
        let above = tempfile::tempdir().unwrap();
        std::fs::write(above.path().join("cgroup.subtree_control"), "memory cpu").unwrap();
        let group = Cgroup::at(above.path()).child("payload");
        let expected = Plan { by_cgroup: limits, ..Plan::default() };
        assert_eq!(plan(limits, Some(&group), false), Ok(expected));
    }
}

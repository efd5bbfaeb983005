//! The epilogue of a payload: what the configuration says about it, and what it is told.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use command::accounts::{self, Account};
use command::groups;
use command::payload::c_strings;
use command::refusal::{Refusal, Result, Status};
use error::Shown;
use hooks::epilogue::Epilogue;
use hooks::facts::{Facts, Person, Process};
use hooks::trust::{self, Owners};
use sys::switch::Identity;
use sys::wait::End;
use sys::{Gid, Pid, Uid, process};

use crate::config::Config;
use crate::log::{Level, Log};
use crate::payload::Payload;
use crate::sanitize::Start;
use crate::target::Target;

/// The epilogue that the configuration names, if it names one. Before a payload is started, it must
/// be trusted: 202 if it is not. It is examined again when it is executed.
pub(crate) fn of(config: &Config) -> Result<Option<Epilogue>> {
    let Some(path) = config.epilogue.clone() else { return Ok(None) };
    let user = match &config.epilogue_user {
        None => Uid::from_raw(0),
        Some(name) => accounts::named(name.as_bytes())?.ok_or_else(|| none("user", name))?.user,
    };
    let group = match &config.epilogue_group {
        None => None,
        Some(name) => Some(groups::named(name.as_bytes())?.ok_or_else(|| none("group", name))?.id),
    };
    let owners = Owners { users: &[user], groups: group.as_slice() };
    trust::open(&path, &owners)
        .map_err(|error| Refusal::internal(format!("the epilogue cannot be used: {error}")))?;
    Ok(Some(Epilogue { path, user, group, timeout: config.epilogue_timeout }))
}

fn none(kind: &str, name: &OsStr) -> Refusal {
    Refusal::internal(format!("there is no {kind} {} (epilogue_{kind})", Shown::os(name)))
}

/// The users and processes around a payload.
pub(crate) struct Around<'a> {
    pub(crate) caller: &'a Account,
    pub(crate) start: &'a Start,
    pub(crate) target: &'a Target,
    pub(crate) payload: &'a Payload,
}

impl Around<'_> {
    /// What the epilogue is told, but for the end of the payload: names are looked up while the
    /// payload runs.
    pub(crate) fn facts(&self, child: Pid) -> Result<Facts> {
        let Around { caller, start, target, payload } = self;
        let this = process::getpid();
        let (group, session) = process::group_and_session(this)
            .map_err(|cause| Refusal::internal(format!("cannot ask for the session: {cause}")))?;
        Ok(Facts {
            arguments: c_strings(&payload.command)?,
            environment: c_strings(&payload.environment)?,
            caller: person(&caller.name, &start.caller),
            target: person(&target.account.name, &target.identity),
            switcher: Process { pid: this, session, group },
            pid: child,
            // The payload leads a session and a process group of its own.
            group: child,
            end: End::Exited(0),
        })
    }
}

fn person(user: &[u8], identity: &Identity) -> Person {
    Person {
        user: user.to_vec(),
        group: group_name(identity.group),
        uid: identity.user,
        gid: identity.group,
        supplementary: identity.groups.clone(),
    }
}

/// The name of a group; its number if it has none, or the name service does not answer.
fn group_name(group: Gid) -> Vec<u8> {
    match groups::of(group) {
        Ok(Some(found)) => found.name,
        _ => group.to_string().into_bytes(),
    }
}

/// Runs the epilogue of a payload that has ended. A failure is one of the call.
pub(crate) fn run(epilogue: &Epilogue, facts: Facts, end: End, log: Log<'_>) -> Result<()> {
    let outcome = epilogue.run(&Facts { end, ..facts });
    let level = if outcome.is_noteworthy() { Level::Warning } else { Level::Info };
    log.write(level, &outcome);
    match outcome.status() {
        None => Ok(()),
        Some(204) => Err(Refusal::new(Status::Ambiguous, outcome.to_string())),
        Some(_) => Err(Refusal::internal(outcome.to_string())),
    }
}

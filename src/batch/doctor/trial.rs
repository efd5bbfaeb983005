//! The trial of one switcher: an agent is called, a sandbox changes hands and back, and a payload
//! runs in it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use error::{Error, Result, Shown};
use sys::spawn::Inherited;
use sys::{Uid, proc, process};
use wire::Links;
use world::Spec;

use super::Options;
use crate::batch::Report;
use crate::batch::agent::{Agent, AgentCall};
use crate::batch::credential::{DUMMY_CREDENTIAL, read_private_credential_at};
use crate::batch::handover::{Handover, Way};
use crate::batch::pilot::input::Survey;
use crate::batch::pilot::limits::Limits;
use crate::batch::pilot::spec::PayloadSpec;
use crate::batch::pilot::step_log::{ProgressCallback, StepLog};
use crate::batch::pilot::{check, make, run};
use crate::batch::switcher::Switcher;

/// How the name of a trial's sandbox begins; eight digits follow.
const NAME: &str = "doctor_";

/// The name of the sandbox of a trial to which an entry belongs: its own name, or one that helpers
/// and agents derive from it.
pub(in crate::batch) fn name_of_trial(entry: &OsStr) -> Option<OsString> {
    let bytes = entry.as_bytes();
    let number = bytes.strip_prefix(NAME.as_bytes())?.get(..8)?;
    let is_whole = matches!(bytes.get(NAME.len() + 8), None | Some(b'.'));
    let is_number = number.iter().all(u8::is_ascii_hexdigit);
    (is_number && is_whole).then(|| OsStr::from_bytes(&bytes[..NAME.len() + 8]).to_owned())
}

/// What this process can see of an agent behind a switcher. It does not rely on the agent's word.
pub(super) struct AgentFacts {
    /// The agent's user.
    pub(super) uid: Uid,
    /// The name of a sudo that has stayed above the agent.
    pub(super) monitor: Option<String>,
    /// A cgroup of the agent that is not this process's.
    pub(super) other_cgroup: Option<String>,
}

/// Calls an agent, and examines its process.
pub(super) fn call_agent(options: &Options, program: &Path) -> Result<AgentFacts> {
    let spec = payload_spec(options, program);
    let sandbox = check::check(&spec)?;
    make::make(&sandbox, &spec, &Survey::default(), None, &mut Report::new(&mut |_| ()))?;
    let credential = sandbox.path().join(sandbox.proxy.name().os());
    let facts = Switcher::new(program.as_os_str(), credential, options.idle_timeout)
        .and_then(|switcher| AgentCall::serve(&switcher, &sandbox.path())?.wait_for_hello())
        .map(|agent| {
            let facts = facts_about(&agent);
            agent.close();
            facts
        });
    let removed = make::remove(&sandbox);
    match facts {
        Ok(facts) => removed.map(|()| facts),
        Err(error) => Err(error.and_then(removed)),
    }
}

fn facts_about(agent: &Agent) -> AgentFacts {
    let parent = proc::entry(agent.pid).ok().flatten().map(|entry| entry.parent);
    let monitor = parent.filter(|parent| proc::is_named_sudo(*parent)).and_then(proc::comm);
    AgentFacts {
        uid: agent.uid,
        monitor: monitor.map(|name| Shown(&name).to_string()),
        other_cgroup: other_cgroup(agent),
    }
}

/// The first line of the agent's cgroups (proc_pid_cgroup(5)) that this process does not have.
fn other_cgroup(agent: &Agent) -> Option<String> {
    let cgroups = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
    let (own, of_agent) = (cgroups("self")?, cgroups(&agent.pid.to_string())?);
    // A process that is about to end has left its cgroups.
    if !proc::real_and_saved_uid(agent.pid).is_some_and(|owners| owners.contains(&agent.uid)) {
        return None;
    }
    let other = of_agent.lines().find(|line| !own.lines().any(|own| own == *line))?;
    Some(Shown(other.as_bytes()).to_string())
}

/// Why no payload could run.
pub(super) struct PayloadFailure {
    /// The cause, as one line.
    pub(super) text: String,
    /// The error that caused it, unless the payload ended with another status than 0.
    pub(super) error: Option<Error>,
}

/// Runs a payload that checks its user id, in the world that the switcher gives by itself or in
/// this one. Returns how its sandbox changed hands, and whether its world was the closed one.
pub(super) fn run_payload(
    options: &Options,
    program: &Path,
    world: Option<Spec>,
) -> Result<(Way, bool), PayloadFailure> {
    let spec = PayloadSpec { world, ..payload_spec(options, program) };
    let mut way = Way::Copy { reason: None };
    let mut step_log = StepLog {
        sandbox: spec.sandbox.clone(),
        log_id: None,
        notice: &mut |_| (),
        urgent: Arc::new(|_| ()),
        progress: &mut |_, _| -> ProgressCallback { Box::new(|_| ()) },
        step_ended: &mut |_, report, _, _| {
            if let Some(taken) = &report.way {
                way = taken.clone();
            }
        },
    };
    let outcome = run::run(&spec, &mut step_log);
    drop(step_log);
    let texts: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    let text = match (texts.is_empty(), outcome.payload) {
        (true, Some(0)) => return Ok((way, outcome.is_closed)),
        (true, Some(status)) => {
            format!("a payload that checks its user id ended with status {status}")
        }
        (true, None) => "the payload was not started".to_owned(),
        (false, _) => texts.join("; and then: "),
    };
    let error = outcome.failures.into_iter().next().map(|failure| failure.error);
    Err(PayloadFailure { text, error })
}

fn payload_spec(options: &Options, program: &Path) -> PayloadSpec {
    let credential = options.credential.as_ref();
    let credential = credential.and_then(|path| read_private_credential_at(path).ok());
    let is_other_user = "user=$(id -u) && test \"$user\" != 0 && test \"$user\" != \"$1\"";
    let caller = process::geteuid().to_string();
    PayloadSpec {
        glexec: Some(program.into()),
        idle_timeout: options.idle_timeout,
        sandbox: options.execute.join(format!("{NAME}{:08x}", fastrand::u32(..))),
        credential: credential.unwrap_or_else(|| DUMMY_CREDENTIAL.to_vec()),
        proxy: None,
        input: None,
        output: None,
        keeps_sandbox: false,
        handover: Handover::Auto,
        links: Links::Copy,
        environment: Vec::new(),
        session_scripts: None,
        world: None,
        inherited: Inherited { umask: 0o022, descriptors: None },
        renewed: None,
        is_below_starter: false,
        sandbox_at: None,
        timeout: Some(Duration::from_secs(60)),
        limits: Limits::default(),
        grace: 1,
        command: ["/bin/sh", "-c", is_other_user, "sh", &caller].map(OsString::from).to_vec(),
    }
}

//! Sending a signal to a process of the job user, to a family, or to all processes of the job user.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::{Errno, Pid, pidfd, proc, process, signal};
use wire::{Operation, RemainsPolicy};

use super::agent::AgentCall;
use super::error::HelperError;
use super::report::{Hunted, Report};
use super::retry::{Retries, retrying};
use super::switcher::{Call, Switcher};

/// How long a hunt may take in addition to the grace period, before the limit of the idle timeout
/// counts: the agent waits for processes to end.
const HUNT_TIME: Duration = Duration::from_secs(60);

/// Which processes get a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One process.
    Process(Pid),
    /// The family of this process. The process may also be one that the switcher left above the
    /// family.
    Family(Pid),
    /// The family of the sandbox that the retained proxy belongs to.
    Sandbox,
    /// All processes of the job user.
    Account,
}

/// A signal to send.
#[derive(Clone, Copy, Debug)]
pub struct KillRequest {
    /// Which processes get it.
    pub scope: Scope,
    /// The signal's number.
    pub signal: i32,
    /// With SIGKILL: how many seconds the processes may take to end before.
    pub grace: u32,
    /// The signal that asks the processes of a family to end, at the beginning of these seconds.
    /// For an account it is SIGTERM.
    pub soft_kill_signal: i32,
    /// With SIGKILL and an account: whether what the account leaves behind is removed.
    pub clean: bool,
}

/// Sends a signal through one call of the switcher, with the credential `retained_proxy`. `report`
/// gets what is for the caller and the log; for a family or an account also, in `hunted`, the
/// result. Fails as [`check_hunted`] does.
pub fn kill(
    switcher: &Switcher,
    retained_proxy: &Path,
    request: KillRequest,
    retries: Retries,
    report: &mut Report<'_>,
) -> Result<(), HelperError> {
    if let Scope::Process(pid) = request.scope {
        return retrying(retries, report, |_| send(switcher, pid, request.signal));
    }
    let operation = operation(retained_proxy, request).map_err(HelperError::bad_input)?;
    let hunted =
        retrying(retries, report, |_| hunt(switcher, &operation, retained_proxy, request))?;
    Ok(check_hunted(report.hunted.insert(hunted), request.clean)?)
}

/// Fails if processes survived, or if there were none to signal. With `clean`, also if the account
/// left something that could not be removed.
pub fn check_hunted(hunted: &Hunted, clean: bool) -> Result<()> {
    let Hunted { hunt, survivors, remains, .. } = hunted;
    match (hunt.left, hunt.processes) {
        (0, 0) if hunted.signal != signal::SIGKILL => {
            return Err(Error::refused("signal", "there is no process to send it to"));
        }
        (0, _) if clean && hunt.removed < hunt.remains => {
            let why = format!("some of what it left could not be removed: {}", remains.join("; "));
            return Err(Error::refused("account", why));
        }
        (0, _) => return Ok(()),
        _ => {}
    }
    let mut shown: Vec<&str> = survivors.iter().map(|(_, text)| text.as_str()).collect();
    if hunt.left > shown.len() as u64 {
        shown.push("and others");
    }
    let processes = if hunt.left == 1 { "process is" } else { "processes are" };
    Err(Error::refused("signal", format!("{} {processes} left: {}", hunt.left, shown.join("; "))))
}

/// Sends a signal to one process.
fn send(switcher: &Switcher, pid: Pid, number: i32) -> Result<()> {
    if let Some(held) = check_process(pid, switcher)? {
        // No process can catch SIGSTOP and forward it.
        let number = if number == signal::SIGSTOP { signal::SIGTSTP } else { number };
        return pidfd::send_signal(&held, number)
            .at("signal the switcher,", format!("process {pid}"));
    }
    let operation = Operation::Signal { caller: process::geteuid(), pid, signal: number };
    let outcome = Call::start(switcher, &operation, Stdio::null())?.wait();
    if outcome.is_success() { Ok(()) } else { Err(outcome.error()) }
}

/// Fails, without a call of the switcher, if a process is gone or cannot be the job user's. Returns
/// it if it is a switcher that stays above its command, as a process of this user: such a switcher
/// forwards signals.
pub fn check_process(pid: Pid, switcher: &Switcher) -> Result<Option<OwnedFd>> {
    let gone = || Error::refused(format!("process {pid}"), "there is no such process");
    // Held, so that what is read below is about this process. A kernel without pidfds still tells
    // whether it exists.
    let held = match pidfd::open(pid) {
        Ok(held) => Some(held),
        Err(Errno::ESRCH) => return Err(gone()),
        Err(_) if !process::exists(pid) => return Err(gone()),
        Err(_) => None,
    };
    // The ids do not show what a process in a user namespace of the job user is.
    let owners = proc::real_and_saved_uid(pid).filter(|_| proc::is_in_own_user_namespace(pid));
    let is_switcher = switcher.is_called_by(pid);
    if held.as_ref().is_some_and(|held| pidfd::send_signal(held, 0) == Err(Errno::ESRCH)) {
        return Err(gone());
    }
    // If it is another user's, only the switcher knows whether that is the job user. The owner of
    // the sandbox is no evidence, since the job may have changed it.
    match owners {
        _ if is_switcher => Ok(held),
        // The agent signals the job below it instead.
        Some(_) if switcher.is_monitored_by(pid) => Ok(None),
        Some([real, saved])
            if [real, saved].iter().all(|uid| uid.is_root() || *uid == process::geteuid()) =>
        {
            Err(Error::refused(
                format!("process {pid}"),
                format!("it is uid {real}'s, not the job user's"),
            ))
        }
        _ => Ok(None),
    }
}

/// The agent's operation for a request about more than one process.
fn operation(retained_proxy: &Path, request: KillRequest) -> Result<Operation> {
    let KillRequest { scope, signal, grace, soft_kill_signal, clean } = request;
    let caller = process::geteuid();
    let root = match scope {
        Scope::Account => {
            let remains = match signal {
                signal::SIGKILL if clean => RemainsPolicy::Remove,
                signal::SIGKILL => RemainsPolicy::Report,
                _ => RemainsPolicy::Ignore,
            };
            return Ok(Operation::HuntAccount { caller, signal, grace, remains });
        }
        Scope::Process(root) | Scope::Family(root) => Some(root),
        Scope::Sandbox => None,
    };
    let retained = retained_proxy.parent().unwrap_or(retained_proxy);
    if !retained.as_os_str().as_encoded_bytes().ends_with(b".condor") {
        let why = "it is not in a sandbox's retained directory (<sandbox>.condor), so it does not \
                   identify a family";
        return Err(Error::refused(retained_proxy, why));
    }
    if let Some(root) = root {
        let own = process::getpid();
        if root == own || proc::ancestors(own).contains(&root) {
            let why = "it is this process or one of its ancestors, and so not a job";
            return Err(Error::refused(format!("process {root}"), why));
        }
    }
    let mark = super::identity::family_of(retained)?;
    Ok(Operation::Hunt { caller, root, signal, grace, soft_kill_signal, mark })
}

/// Calls the agent for a hunt, and returns the result.
fn hunt(
    switcher: &Switcher,
    operation: &Operation,
    retained_proxy: &Path,
    request: KillRequest,
) -> Result<Hunted> {
    let call = AgentCall::start(switcher, operation, retained_proxy.as_os_str())?;
    let mut agent = call.wait_for_hello()?;
    match agent.receive_hunted(Duration::from_secs(request.grace.into()) + HUNT_TIME) {
        Ok(hunted) => {
            agent.close();
            let account = request.scope == Scope::Account;
            Ok(Hunted { signal: request.signal, account, ..hunted })
        }
        Err(error) => {
            let error = error.during("hunt the family of", retained_proxy);
            Err(agent.fail(error))
        }
    }
}

//! Sending a signal to a process of the job user's, or to a whole family of them.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::{Errno, Pid, proc, process, signal};

use super::agent::Called;
use super::report::{Hunted, Report};
use super::retry::{Attempt, Failure, Patience, retrying};
use super::switcher::Switcher;

/// So much longer than the grace an agent may be at work before ten idle limits count: it waits for
/// those who do not end.
const WORK: Duration = Duration::from_secs(60);

/// Who is to get a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One process.
    Process(Pid),
    /// A process of a job, or one above it that the switcher left there, and all that was started
    /// for the job.
    Family(Pid),
    /// All that was started for the job whose retained proxy this is.
    Sandbox,
    /// All processes of the job user.
    Account,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Who is to get it.
    pub target: Target,
    /// The signal's number.
    pub signal: i32,
    /// How many seconds those that are to be killed may take to end by themselves.
    pub grace: u32,
    /// The signal that asks them to; of an account SIGTERM.
    pub asks: i32,
    /// Whether what the account leaves behind is to be removed.
    pub clean: bool,
}

/// Carries out an order, through one call of the switcher as `retained_proxy` says. `report` gets
/// what the caller and the log want to know; for a family also, in `hunted`, what became of it. It
/// is a failure if somebody is left.
pub fn kill(
    switcher: &Switcher,
    retained_proxy: &Path,
    order: Order,
    patience: Patience,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    if let Target::Process(pid) = order.target {
        return retrying(patience, report, |_| send(switcher, pid, order.signal));
    }
    let errand = errand(retained_proxy, order).map_err(Failure::BadInput)?;
    let hunted = retrying(patience, report, |_| hunt(switcher, &errand, retained_proxy, order))?;
    Ok(verdict(report.hunted.insert(hunted), order.clean)?)
}

/// Whether a hunt has done what it was meant to: it is a failure if somebody is left, or if there
/// was nobody to signal. With `clean`, also if something is left.
pub fn verdict(hunted: &Hunted, clean: bool) -> Result<()> {
    let Hunted { hunt, survivors, remains, .. } = hunted;
    match (hunt.left, hunt.processes) {
        (0, 0) if hunted.signal != signal::SIGKILL => {
            return Err(Error::refused("signal", "there is no process that it is meant for"));
        }
        (0, _) if clean && hunt.removed < hunt.remains => {
            let some = remains.join("; ");
            return Err(Error::refused(
                "account",
                format!("not all that it left could be removed: {some}"),
            ));
        }
        (0, _) => return Ok(()),
        _ => {}
    }
    let mut named: Vec<&str> = survivors.iter().map(|(_, text)| text.as_str()).collect();
    if hunt.left > named.len() as u64 {
        named.push("and others");
    }
    let who = if hunt.left == 1 { "process is" } else { "processes are" };
    Err(Error::refused("signal", format!("{} {who} left: {}", hunt.left, named.join("; "))))
}

/// Sends the signal to one process.
fn send(switcher: &Switcher, pid: Pid, number: i32) -> Result<(), Attempt> {
    if let Some(held) = refuse_what_is_known(pid, switcher)? {
        // It can't hand a SIGSTOP on.
        let number = if number == signal::SIGSTOP { signal::SIGTSTP } else { number };
        return Ok(
            signal::send(&held, number).at("signal the switcher,", format!("process {pid}"))?
        );
    }
    let [user, pid, number] = [process::user().to_string(), pid.to_string(), number.to_string()];
    let errand = ["signal", &user, &pid, &number].map(OsStr::new);
    let ended = switcher.start(errand, Stdio::null())?.end();
    match ended.status {
        Some(0) => Ok(()),
        _ => Err(ended.attempt(None)),
    }
}

/// Refuses a process that is gone, or that this side can see not to be the job user's: no call of
/// the switcher is needed for that. Gives back one that is a call of the switcher itself, which
/// stays above its command as the caller's own process, and hands signals on.
pub fn refuse_what_is_known(pid: Pid, switcher: &Switcher) -> Result<Option<OwnedFd>> {
    let gone = || Error::refused(format!("process {pid}"), "there is no such process");
    // Held, so that what is read is this one's; a kernel without pidfds still knows whether there
    // is one.
    let held = match process::open(pid) {
        Ok(held) => Some(held),
        Err(Errno::ESRCH) => return Err(gone()),
        Err(_) if !process::exists(pid) => return Err(gone()),
        Err(_) => None,
    };
    // What the job user may do in a user namespace of its own does not show in ids.
    let owners = proc::owners(pid).filter(|_| proc::is_in_own_user_namespace(pid));
    let is_switcher = switcher.is_called_by(pid);
    if held.as_ref().is_some_and(|held| signal::send(held, 0) == Err(Errno::ESRCH)) {
        return Err(gone());
    }
    // Whoever else's it is, only the switcher knows whether that is the job user: the sandbox's
    // owner is what the job made of it.
    match owners {
        _ if is_switcher => Ok(held),
        // The agent knows the job below it.
        Some(_) if switcher.is_monitored_by(pid) => Ok(None),
        Some([real, saved])
            if [real, saved].iter().all(|uid| uid.is_root() || *uid == process::user()) =>
        {
            Err(Error::refused(
                format!("process {pid}"),
                format!("it is uid {real}'s, not the job user's"),
            ))
        }
        _ => Ok(None),
    }
}

/// The agent's words for an order about more than one process.
fn errand(retained_proxy: &Path, order: Order) -> Result<Vec<OsString>> {
    let user = process::user().to_string();
    let (number, grace) = (order.signal.to_string(), order.grace.to_string());
    let remains = match order.signal {
        signal::SIGKILL if order.clean => "remove",
        signal::SIGKILL => "name",
        _ => "ignore",
    };
    let retained = retained_proxy.parent().unwrap_or(retained_proxy);
    if order.target != Target::Account
        && !retained.as_os_str().as_encoded_bytes().ends_with(b".condor")
    {
        let why = "it is not in a sandbox's retained directory (<sandbox>.condor), so there is no family to go with it";
        return Err(Error::refused(retained_proxy, why));
    }
    let root = match order.target {
        Target::Account => {
            return Ok(["hunt-account", &user, &number, &grace, remains]
                .map(OsString::from)
                .to_vec());
        }
        Target::Process(root) | Target::Family(root) => {
            let own = process::getpid();
            if root == own || process::ancestors(own).contains(&root) {
                let why = "it is above the caller, and so no job of the caller's";
                return Err(Error::refused(format!("process {root}"), why));
            }
            root.to_string()
        }
        Target::Sandbox => "-".to_owned(),
    };
    let mut errand = ["hunt", &user, &root, &number, &grace, &order.asks.to_string()]
        .map(OsString::from)
        .to_vec();
    errand.push(super::identity::family_of(retained)?);
    Ok(errand)
}

/// One call of the switcher for it.
fn hunt(
    switcher: &Switcher,
    errand: &[OsString],
    retained_proxy: &Path,
    order: Order,
) -> Result<Hunted, Attempt> {
    let errand: Vec<&OsStr> = errand.iter().map(OsString::as_os_str).collect();
    let mut agent = Called::with(switcher, &errand, retained_proxy.as_os_str())?.hello()?;
    match agent.hunted(Duration::from_secs(order.grace.into()) + WORK) {
        Ok(hunted) => {
            agent.farewell();
            Ok(Hunted { signal: order.signal, account: order.target == Target::Account, ..hunted })
        }
        Err(error) => {
            let error = error.during("hunt the family of", retained_proxy);
            Err(agent.fail(error))
        }
    }
}

//! The operations `hunt` and `hunt-account`: send a signal to a family, or to all processes of the
//! account, and report the result to the helper.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::Duration;

use error::Result;
use sys::Pid;
use sys::signal::{SIGKILL, SIGTERM};
use wire::{Channel, Frame, Hunt, RemainsPolicy};

use super::family::Selector;
use super::helper;
use super::hunter::{self, HuntRequest, Outcome};
use super::remains::{self, Remains};

/// At most this many survivors, and this many of the account's remains, are reported one by one.
/// The others are counted.
const MAX_REPORTED: usize = 20;

/// Carries out the operation `hunt`. `grace` is in seconds.
pub(crate) fn hunt_family(
    root: Option<Pid>,
    mark: &OsStr,
    signal: i32,
    grace: u32,
    soft_kill_signal: i32,
) -> Result<()> {
    let selector = Selector::Family { root, mark };
    let grace = Duration::from_secs(grace.into());
    hunt(&HuntRequest { selector, signal, grace, soft_kill_signal }, RemainsPolicy::Ignore)
}

/// Carries out the operation `hunt-account`. `grace` is in seconds.
pub(crate) fn hunt_account(signal: i32, grace: u32, remains: RemainsPolicy) -> Result<()> {
    let (selector, grace) = (Selector::Account, Duration::from_secs(grace.into()));
    hunt(&HuntRequest { selector, signal, grace, soft_kill_signal: SIGTERM }, remains)
}

fn hunt(request: &HuntRequest<'_>, remains: RemainsPolicy) -> Result<()> {
    let mut channel = helper::take_socket()?;
    // Before anything else, since a hostile process of the account may kill or stop this one.
    let killed = match (&request.selector, request.signal) {
        (Selector::Account, SIGKILL) if request.grace.is_zero() => hunter::kill_all_at_once(),
        _ => Ok(HashSet::new()),
    };
    helper::send_hello(&mut channel)?;
    let hunted = killed.and_then(|killed| {
        hunter::hunt(request, killed, &mut || channel.keep_alive().is_ok() && !channel.is_closed())
    });
    let reported = hunted.and_then(|outcome| report(outcome, remains, &mut channel));
    reported.or_else(|error| helper::send_failure(&mut channel, error))
}

/// Sends the result of a hunt to the helper. If all processes have ended, looks for what the
/// account leaves behind, as `policy` says.
pub(crate) fn report(outcome: Outcome, policy: RemainsPolicy, channel: &mut Channel) -> Result<()> {
    for (pid, why) in outcome.survivors.iter().take(MAX_REPORTED) {
        let frame = Frame::Survivor { pid: *pid, text: why.as_bytes() };
        channel.queue(frame).map_err(helper::connection_error)?;
    }
    let left = outcome.survivors.len() as u64;
    let caller = channel.creator_uid().map_err(helper::connection_error)?;
    // Processes that are left may still use what they have.
    let remains = match left {
        0 => remains::look_after(policy, caller, &mut helper::keep_alive(channel)),
        _ => Remains::default(),
    };
    for name in remains.names.iter().take(MAX_REPORTED) {
        let frame = Frame::Remains { text: name.as_bytes() };
        channel.queue(frame).map_err(helper::connection_error)?;
    }
    let Outcome { processes, rounds, unclassified, .. } = outcome;
    let (remains, removed) = (remains.names.len() as u64, remains.removed);
    let hunt = Hunt { processes, rounds, unclassified, left, remains, removed };
    channel.send(Frame::Hunted { hunt }).map_err(helper::connection_error)
}

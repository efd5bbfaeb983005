//! The beginning of the call: until the job wrapper is ready.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use error::{Context as _, Result};
use sys::fd;
use wire::launch::Wrapper;

use super::restore::restore;
use super::{OneCall, Reports, withhold_credential};
use crate::batch::pilot::interrupt::Interrupt;
use crate::batch::pilot::limits::plan::Plan;
use crate::batch::pilot::payload::{self, WrapperState, wait_for_wrapper};
use crate::batch::pilot::spec::PayloadSpec;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::{BoundCall, Switcher};

/// How long a call that has to end may take to put the sandbox back. It is not cut off before: then
/// another call would have to do it.
const END_LIMIT: Duration = Duration::from_secs(600);

/// How a call has begun.
pub(in crate::batch::pilot) enum Begun {
    /// The wrapper is ready.
    Ready(Box<OneCall>),
    /// A signal asked for the end of this process. The sandbox is as it was.
    Cancelled,
    /// The sandbox has to be copied, and why. It is as it was, and nothing has run.
    Copy(String),
}

/// Begins the call. If it fails for another reason than [`Begun::Copy`], a copy would not help:
/// another call would fail too, after it has run the session scripts once more.
pub(in crate::batch::pilot) fn begin(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    switcher: &Switcher,
    plan: &Plan,
    interrupt: &Arc<Interrupt>,
) -> Result<Begun> {
    let lock = match withhold_credential(sandbox) {
        Ok(lock) => lock,
        // No call was made.
        Err(error) => return Ok(Begun::Copy(error.to_string())),
    };
    let (call, wrapper, mut reports) = match start(spec, sandbox, switcher, plan) {
        Ok(started) => started,
        Err(error) => return Err(error.and_then(restore(sandbox, switcher, spec.links, None))),
    };
    let stop_reason = || interrupt.stop_reason();
    let signals = (&interrupt.signals, &stop_reason as &dyn Fn() -> _);
    let waited = wait_for_wrapper(&wrapper, &call, signals, switcher.idle_timeout());
    if let Ok(WrapperState::Ready(sender)) = waited {
        // What was given is reported before the wrapper begins.
        reports.finish();
        let one_call = OneCall { call, wrapper: Some(wrapper), sender, reports, lock };
        return Ok(Begun::Ready(Box::new(one_call)));
    }
    drop(wrapper);
    if !matches!(waited, Ok(WrapperState::Missing)) {
        call.terminate();
    }
    let outcome = call.end_within(END_LIMIT);
    let restored = restore(sandbox, switcher, spec.links, Some(reports));
    let failure = match waited {
        Ok(WrapperState::Cancelled(_)) => return restored.map(|()| Begun::Cancelled),
        Ok(_) if outcome.asks_for_copy() => {
            return restored.map(|()| Begun::Copy(outcome.error().to_string()));
        }
        Ok(_) => outcome.error(),
        Err(error) => error,
    };
    Err(failure.and_then(restored))
}

/// Starts the call.
fn start(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    switcher: &Switcher,
    plan: &Plan,
) -> Result<(BoundCall, Wrapper, Reports)> {
    let limits = plan.of_process(0);
    let operation = payload::operation(spec, sandbox, sandbox.family()?, limits)?;
    let (wrapper, input) = payload::wrapper_socket(switcher)?;
    let (reports, report) = fd::pipe().at("make a pipe for", switcher.program())?;
    let (path, number) = (sandbox.path(), report.as_raw_fd());
    let command = switcher.command_handing_over(&path, spec.links, number, &operation);
    let call = BoundCall::start_handing_over(switcher, command, input, spec.inherited, &report)?;
    Ok((call, wrapper, Reports::new(reports)))
}

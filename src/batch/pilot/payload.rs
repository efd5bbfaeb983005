//! Starting a payload. This process does for the wrapper what a starter does.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::signal::Signals;
use sys::socket::Sender;
use sys::{Errno, fd, socket};
use wire::launch::{ErrorSocket, Wrapper};
use wire::{Operation, PayloadLimits, v2};

use super::limits::plan::Plan;
use super::limits::watches::Watches;
use super::signals::{StopReason, pending_stop};
use super::spec::PayloadSpec;
use super::streams::{Relays, Streams};
use super::watch::Watch;
use crate::batch::agent::Agent;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::{BoundCall, Switcher, installed_program};

/// The program that becomes the payload.
const WRAPPER: &str = "condor_glexec_job_wrapper";

/// How long a wrapper may take to end when its socket is closed.
const WRAPPER_END: Duration = Duration::from_secs(5);

/// How many processes of the payload's user watch while it runs.
const AGENTS: u64 = 1;

/// A payload that got everything it needs, and is executed now.
pub struct StartedPayload<'a> {
    /// The call of the switcher, which ends with the payload.
    pub call: BoundCall,
    /// The agent that kills the family when this process ends.
    pub watch: Watch,
    /// Looks at what it uses, as far as limits are watched.
    pub watches: Watches<'a>,
    /// Receives why the payload was not executed, if it was not.
    pub errors: ErrorSocket,
    /// The threads that write the payload's output to regular files.
    pub relays: Relays,
    /// Whether the switcher's process ends exactly as the payload does.
    pub is_exact: bool,
}

/// The result of starting a payload.
pub enum Start<'a> {
    /// It is executed now.
    Started(Box<StartedPayload<'a>>),
    /// A signal asked for its end before that.
    Cancelled(StopReason),
}

/// Starts the payload with the standard streams of this process. It is executed only after an agent
/// is there that kills it if this process is killed: `kept`, if there is one.
pub fn start<'a>(
    spec: &PayloadSpec,
    sandbox: &'a Sandbox,
    switcher: &Switcher,
    plan: &Plan,
    signals: &Signals,
    kept: &mut Option<Agent>,
) -> Result<Start<'a>> {
    let mark = sandbox.family()?;
    let operation = operation(spec, sandbox, mark.clone(), plan.of_process(AGENTS))?;
    let (wrapper, input) = wrapper_socket(switcher)?;
    let call = BoundCall::start(switcher, &operation, input, spec.inherited)?;
    let stop_reason = || pending_stop(signals);
    let asked = (signals, &stop_reason as &dyn Fn() -> _);
    let sender = match wait_for_wrapper(&wrapper, &call, asked, switcher.idle_timeout()) {
        Ok(WrapperState::Ready(sender)) => sender,
        Ok(WrapperState::Cancelled(reason)) => {
            end(wrapper, call);
            return Ok(Start::Cancelled(reason));
        }
        Ok(WrapperState::Missing) => {
            drop(wrapper);
            return Err(call.end_within(WRAPPER_END).error());
        }
        Err(error) => {
            end(wrapper, call);
            return Err(error);
        }
    };
    // The agent is called after the wrapper: the first call of the project's `glexec` makes the
    // namespaces, and those must be the payload's.
    let prepared = Streams::of_caller(spec.is_below_starter).and_then(|streams| {
        let watch = Watch::begin(sandbox, switcher, call.pid(), mark, kept)?;
        let watches = Watches::begin(&spec.limits, plan, sandbox, switcher, (call.pid(), sender))?;
        Ok((watch, watches, streams))
    });
    let (watch, watches, streams) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            end(wrapper, call);
            return Err(error);
        }
    };
    match send_job(spec, wrapper, streams) {
        Ok((errors, relays)) => {
            let is_exact = call.ends_as_payload();
            let started = StartedPayload { call, watch, watches, errors, relays, is_exact };
            Ok(Start::Started(Box::new(started)))
        }
        Err(error) => {
            call.end_within(WRAPPER_END);
            Err(error)
        }
    }
}

/// The operation of the agent that becomes the payload in the sandbox.
pub(super) fn operation(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    mark: OsString,
    limits: PayloadLimits,
) -> Result<Operation> {
    let streams = ["-"; 3].map(OsString::from);
    Ok(Operation::Enter {
        sandbox: spec.sandbox_at.clone().unwrap_or_else(|| sandbox.path()),
        mark,
        limits,
        wrapper: installed_program(WRAPPER)?,
        arguments: streams.into_iter().chain(spec.command.iter().cloned()).collect(),
    })
}

/// The wrapper at one end of a new socket, and the other end, its descriptor 0.
pub(super) fn wrapper_socket(switcher: &Switcher) -> Result<(Wrapper, OwnedFd)> {
    let program = switcher.program();
    let (ours, theirs) = socket::socketpair().at("make a socket pair for", program)?;
    // A stopped wrapper must not block this process.
    socket::set_timeouts(&ours, switcher.idle_timeout()).at("prepare the socket for", program)?;
    socket::set_passcred(&ours, true).at("prepare the socket for", program)?;
    Ok((Wrapper { socket: ours }, theirs))
}

/// Passes the wrapper what it needs to become the payload.
pub(super) fn send_job(
    spec: &PayloadSpec,
    wrapper: Wrapper,
    streams: Streams,
) -> Result<(ErrorSocket, Relays)> {
    let errors = wrapper
        .send_job(&v2::text(&spec.environment), streams.passed())
        .at("pass the environment and the standard streams to", "the job wrapper")?;
    Ok((errors, streams.into_relays()))
}

/// What a wait for the wrapper has found.
pub(super) enum WrapperState {
    /// It has sent its first message.
    Ready(Sender),
    /// It has ended, or its switcher has.
    Missing,
    /// A signal asks for the end of this process.
    Cancelled(StopReason),
}

/// Waits for the wrapper's first message. `stop_reason` is asked when one of the signals has
/// arrived.
pub(super) fn wait_for_wrapper(
    wrapper: &Wrapper,
    call: &BoundCall,
    (signals, stop_reason): (&Signals, &dyn Fn() -> Option<StopReason>),
    idle_timeout: Duration,
) -> Result<WrapperState> {
    let until = Some(idle_timeout)
        .filter(|timeout| !timeout.is_zero())
        .and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let waited =
            fd::poll_readable([wrapper.socket.as_fd(), call.pidfd.as_fd(), signals.as_fd()], until);
        match waited {
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause).at("wait for", "the job wrapper"),
            Ok([true, ..]) => {
                let sender = wrapper.receive_hello().at("receive from", "the job wrapper")?;
                return Ok(sender.map_or(WrapperState::Missing, WrapperState::Ready));
            }
            Ok([_, true, _]) => return Ok(WrapperState::Missing),
            Ok([.., true]) => {
                if let Some(reason) = stop_reason() {
                    return Ok(WrapperState::Cancelled(reason));
                }
            }
            Ok(_) if until.is_some_and(|until| Instant::now() >= until) => {
                let why = "it did not start within the idle timeout (GLEXEC_HELPERS_IDLE_TIMEOUT)";
                return Err(Error::refused("the job wrapper (run by the switcher)", why));
            }
            Ok(_) => {}
        }
    }
}

/// Ends a wrapper, by closing its socket.
fn end(wrapper: Wrapper, call: BoundCall) {
    drop(wrapper);
    call.end_within(WRAPPER_END);
}

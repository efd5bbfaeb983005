//! Starting a payload: this process is its starter.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::signal::Signals;
use sys::{Errno, fd, process, socket};
use wire::launch::{ErrorSocket, Wrapper};
use wire::{Operation, v2};

use super::order::Order;
use super::streams::{Relays, Streams};
use super::supervise::{self, StopReason};
use crate::batch::agent::{Agent, AgentCall};
use crate::batch::retry::Attempt;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::{Bound, Switcher, installed};

/// The program that becomes the payload.
const WRAPPER: &str = "condor_glexec_job_wrapper";

/// So long a wrapper without a starter may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A payload that has been handed all that it needs.
#[derive(Debug)]
pub struct Started {
    /// The call of the switcher, which ends with the payload.
    pub switcher: Bound,
    /// The agent that ends the family when this process is gone.
    pub watch: Agent,
    /// Says why the payload was not executed, and ends if it was.
    pub errors: ErrorSocket,
    /// Carry on what it writes to regular files.
    pub relays: Relays,
    /// Whether the switcher's process ends exactly as the payload does.
    pub is_exact: bool,
}

/// What came of an attempt to start one.
pub enum Start {
    /// It runs, or is about to.
    Started(Box<Started>),
    /// Somebody wanted it to end before it had begun.
    Cancelled(StopReason),
}

/// Starts the payload with the standard streams of this process. Nothing is executed before there
/// is somebody to end it if this process is killed.
pub fn start(
    order: &Order,
    sandbox: &Sandbox,
    switcher: &Switcher,
    signals: &Signals,
) -> Result<Start> {
    let (mark, path, wrapper) = (sandbox.family()?, sandbox.path(), installed(WRAPPER)?);
    let (ours, theirs) = socket::socketpair().at("make a socket pair for", switcher.program())?;
    // A wrapper that is stopped does not keep this process.
    socket::set_timeouts(&ours, switcher.limit())
        .at("prepare the socket for", switcher.program())?;
    let passed = ["-"; 3].map(OsString::from);
    let arguments = passed.into_iter().chain(order.command.iter().cloned()).collect();
    let enter = Operation::Enter { sandbox: path.clone(), mark: mark.clone(), wrapper, arguments };
    let bound = switcher.start_bound(&enter, theirs, order.inherited)?;
    let wrapper = Wrapper { socket: ours };
    match wait_for_greeting(&wrapper, &bound, signals, switcher.limit()) {
        Ok(Greeting::Heard) => {}
        Ok(Greeting::StopReason(asked)) => {
            drop(wrapper);
            bound.end_within(PATIENCE);
            return Ok(Start::Cancelled(asked));
        }
        Ok(Greeting::Missing) => {
            drop(wrapper);
            return Err(bound.end_within(PATIENCE).error());
        }
        Err(error) => return give_up(wrapper, bound, error),
    }
    // Not before: below the project's own switcher the first call makes the namespace, and that is
    // to be the payload's.
    let watch = Operation::Watch { caller: process::geteuid(), root: bound.pid(), mark };
    let call = AgentCall::start(&switcher.hasty(), &watch, path.as_os_str());
    let watch = match call.and_then(|call| call.wait_for_hello().map_err(Attempt::error)) {
        Ok(watch) => watch,
        Err(error) => return give_up(wrapper, bound, error),
    };
    let streams = match Streams::of_caller() {
        Ok(streams) => streams,
        Err(error) => return give_up(wrapper, bound, error),
    };
    match wrapper.send_job(&v2::text(&order.environment), streams.passed()) {
        Ok(errors) => {
            let (relays, is_exact) = (streams.handed_over(), bound.ends_as_payload());
            Ok(Start::Started(Box::new(Started {
                switcher: bound,
                watch,
                errors,
                relays,
                is_exact,
            })))
        }
        Err(cause) => {
            bound.end_within(PATIENCE);
            Err(cause).at("hand the environment and the standard streams to", "the job wrapper")
        }
    }
}

/// How the wait for the wrapper ended.
enum Greeting {
    Heard,
    Missing,
    StopReason(StopReason),
}

fn wait_for_greeting(
    wrapper: &Wrapper,
    bound: &Bound,
    signals: &Signals,
    limit: Duration,
) -> Result<Greeting> {
    let until = Some(limit)
        .filter(|limit| !limit.is_zero())
        .and_then(|limit| Instant::now().checked_add(limit));
    loop {
        let waited =
            fd::poll_readable([wrapper.socket.as_fd(), bound.held.as_fd(), signals.as_fd()], until);
        match waited {
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause).at("wait for", "the job wrapper"),
            Ok([true, ..]) => {
                let greets = wrapper.receive_hello().at("hear from", "the job wrapper")?;
                return Ok(if greets { Greeting::Heard } else { Greeting::Missing });
            }
            Ok([_, true, _]) => return Ok(Greeting::Missing),
            Ok([.., true]) => {
                if let Some(asked) = supervise::asked_by_now(signals) {
                    return Ok(Greeting::StopReason(asked));
                }
            }
            Ok(_) if until.is_some_and(|until| Instant::now() >= until) => {
                let why = "it did not begin within the idle limit (GLEXEC_HELPERS_IDLE_TIMEOUT)";
                return Err(Error::refused("the job wrapper behind the switcher", why));
            }
            Ok(_) => {}
        }
    }
}

/// Without its starter the wrapper ends.
fn give_up(wrapper: Wrapper, bound: Bound, error: Error) -> Result<Start> {
    drop(wrapper);
    bound.end_within(PATIENCE);
    Err(error)
}

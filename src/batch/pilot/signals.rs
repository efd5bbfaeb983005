//! The signals that a pilot's process handles, and what they ask for while there is no payload.

use std::os::fd::AsFd as _;
use std::time::Instant;

use sys::signal::{
    Received, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
    Signals,
};
use sys::{fd, signal};

use super::limits::Exceeded;

/// The signals that are forwarded to a payload. Batch systems warn with SIGUSR1 and SIGUSR2.
pub const SIGNALS: [i32; 9] =
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2, SIGWINCH];

/// Why a payload is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// This process got a signal.
    Signal(i32),
    /// The payload's timeout.
    Timeout,
    /// The payload has exceeded a limit.
    Limit(Exceeded),
}

/// Handles the signals that are pending while there is no payload, up to the first that asks for
/// the end of this process. SIGTSTP stops this process here.
pub fn pending_stop(signals: &Signals) -> Option<StopReason> {
    while let Ok([true]) = fd::poll_readable([signals.as_fd()], Some(Instant::now())) {
        if let Some(reason) = signals.read().ok().and_then(stop_reason) {
            return Some(reason);
        }
    }
    None
}

fn stop_reason(received: Received) -> Option<StopReason> {
    match received.number {
        number @ (SIGINT | SIGQUIT | SIGHUP | SIGTERM) => Some(StopReason::Signal(number)),
        SIGTSTP => {
            signal::stop_self();
            None
        }
        _ => None,
    }
}

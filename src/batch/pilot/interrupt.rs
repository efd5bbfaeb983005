//! Signals while files are transferred: a transfer ends within a moment, and leaves complete files
//! or none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sys::signal::Signals;
use wire::Halt;

use super::signals::{StopReason, pending_stop};
use super::step_log::UrgentNotice;

/// The signals of this process, and what the first of them asked for.
#[derive(Debug)]
pub struct Interrupt {
    /// The signals.
    pub signals: Signals,
    stop: Mutex<Option<StopReason>>,
}

impl Interrupt {
    /// No signal has been handled yet.
    pub fn new(signals: Signals) -> Arc<Interrupt> {
        Arc::new(Interrupt { signals, stop: Mutex::new(None) })
    }

    /// What a signal until now has asked for. This process stops here if a signal asks for that.
    pub fn stop_reason(&self) -> Option<StopReason> {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if stop.is_none() {
            *stop = pending_stop(&self.signals);
        }
        *stop
    }

    /// Ends a transfer after a signal that asks for the end of this process.
    pub fn halt(self: &Arc<Self>) -> Halt {
        let interrupt = Arc::clone(self);
        Halt::when(move || interrupt.stop_reason().is_some())
    }

    /// Ends a transfer after the second such signal: the files that come back are a payload's
    /// results, and the first signal may have been meant for the payload. `urgent` gets a line
    /// after the first.
    pub fn halt_at_second_signal(self: &Arc<Self>, urgent: &UrgentNotice) -> Halt {
        let (interrupt, urgent, is_warned) =
            (Arc::clone(self), Arc::clone(urgent), AtomicBool::new(false));
        Halt::when(move || {
            let mut stop = interrupt.stop.lock().unwrap_or_else(PoisonError::into_inner);
            while stop.is_none() {
                match pending_stop(&interrupt.signals) {
                    None => return false,
                    Some(_) if !is_warned.swap(true, Ordering::Relaxed) => urgent(
                        "condor_glexec_pilot: the payload's files are coming back; the next signal \
                         leaves them for recover",
                    ),
                    second => *stop = second,
                }
            }
            true
        })
    }
}

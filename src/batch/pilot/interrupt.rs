//! Signals while files are on their way: what they ask for is done within a moment, in a way that
//! leaves everything whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sys::signal::Signals;
use wire::Halt;

use super::supervise::{self, StopReason};

/// Who is told of something at once.
pub type Urgent = Arc<dyn Fn(&str) + Send + Sync>;

/// The signals that come to this process, and what the first has asked for.
#[derive(Debug)]
pub struct Interrupt {
    /// The signals.
    pub signals: Signals,
    asked: Mutex<Option<StopReason>>,
}

impl Interrupt {
    /// Nothing has been asked for yet.
    pub fn new(signals: Signals) -> Arc<Interrupt> {
        Arc::new(Interrupt { signals, asked: Mutex::new(None) })
    }

    /// What the signals have asked for that have come by now. This process stops if it is to.
    pub fn asked(&self) -> Option<StopReason> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_none() {
            *asked = supervise::asked_by_now(&self.signals);
        }
        *asked
    }

    /// Ends a transfer once a signal asks for this process's end.
    pub fn halt(self: &Arc<Self>) -> Halt {
        let interrupt = Arc::clone(self);
        Halt::when(move || interrupt.asked().is_some())
    }

    /// Ends a transfer at the second signal that asks for this process's end: what comes back is
    /// somebody's work, and the first may have been meant for the payload. `urgent` gets a line
    /// after the first.
    pub fn halt_at_the_second(self: &Arc<Self>, urgent: &Urgent) -> Halt {
        let (interrupt, urgent, is_warned) =
            (Arc::clone(self), Arc::clone(urgent), AtomicBool::new(false));
        Halt::when(move || {
            let mut asked = interrupt.asked.lock().unwrap_or_else(PoisonError::into_inner);
            while asked.is_none() {
                match supervise::asked_by_now(&interrupt.signals) {
                    None => return false,
                    Some(_) if !is_warned.swap(true, Ordering::Relaxed) => {
                        urgent(
                            "condor_glexec_pilot: the payload's files are coming back; at the next signal they are left for recover",
                        );
                    }
                    second => *asked = second,
                }
            }
            true
        })
    }
}

//! While a payload runs: signals go on to all that was started for it, and its time ends.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::time::Instant;

use super::diary::Diary;
use super::order::Order;
use super::payload::Started;
use crate::batch::agent::Agent;
use crate::batch::kill::{self, Whom};
use crate::batch::report::Hunted;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Failure, Patience};
use crate::error::{Context as _, Error, Result};
use crate::sys::signal::{
    self, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, Signals, Told,
};
use crate::sys::{Errno, fd};
use crate::wire::launch;

/// What is handed on. Batch systems warn with the last two.
pub const SIGNALS: [i32; 8] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2];

/// A signal to a payload is worth another try, but not a wait.
const PATIENCE: Patience = Patience { max_retries: 2, min_delay: 1 };

/// Why a payload is to end before it does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This process got a signal, the first number; the second one asks the payload.
    Signal(i32, i32),
    /// Its time is over.
    Timeout,
}

/// What became of a payload.
#[derive(Debug)]
pub struct Lived {
    /// What it ended with, as the switcher tells.
    pub status: i32,
    /// Why it ended before it did by itself.
    pub asked: Option<Asked>,
    /// Why it was not executed at all.
    pub refusal: Option<Error>,
}

/// Whether the payload shares a terminal with this process: then it stays in its process group, or it could not read from there.
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// What a signal that has come asks for, if it is one that ends the payload.
pub fn judge(told: Told) -> Option<Asked> {
    match told.number {
        // The payload got it as well, and may have its own mind about it, as shells have.
        SIGINT | SIGQUIT if told.from_kernel && has_terminal() => None,
        // Whoever is in the terminal's foreground has got it already.
        number @ (SIGINT | SIGQUIT | SIGHUP) if told.from_kernel => Some(Asked::Signal(number, SIGTERM)),
        number @ (SIGINT | SIGQUIT | SIGHUP | SIGTERM) => Some(Asked::Signal(number, number)),
        _ => None,
    }
}

/// Supervises one payload.
pub struct Supervisor<'a, 'd> {
    /// What is wanted.
    pub order: &'a Order,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// The switcher that leads to the payload.
    pub switcher: &'a Switcher,
    /// The signals that come.
    pub signals: &'a Signals,
    /// Where each signal that is handed on is told.
    pub diary: &'a mut Diary<'d>,
}

impl Supervisor<'_, '_> {
    /// Waits for the payload's end, and ends whatever it has left running.
    pub fn until_end(&mut self, started: Box<Started>) -> Result<Lived> {
        let Started { switcher, mut watch, refusals } = *started;
        let mut refusals = Some(refusals);
        let mut refusal = Vec::new();
        let mut deadline = self.order.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut reason = None;
        loop {
            // One that has ended is not waited for.
            let refused = refusals.as_ref().unwrap_or(&switcher.held);
            let waited = fd::wait_for_any([switcher.held.as_fd(), refused.as_fd(), self.signals.as_fd()], deadline);
            let [is_over, is_refused, is_signal] = match waited {
                Err(Errno::EINTR) => continue,
                waited => waited.at("wait for", "the payload")?,
            };
            if is_refused && let Some(refusals) = refusals.take() {
                refusal = launch::reported(&refusals).at("hear from", "the job wrapper")?;
            }
            if is_over {
                break;
            }
            let asked = if is_signal { self.hand_on() } else { None };
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if let Some(asked) = asked.or(is_late.then_some(Asked::Timeout))
                && reason.is_none()
            {
                reason = Some(asked);
                deadline = None;
                if let Err(error) = self.end(asked) {
                    (self.diary.notice)(&format!("condor_glexec_pilot: cannot end the payload in a good way: {error}"));
                    switcher.kill();
                }
            }
        }
        self.end_family(&mut watch);
        watch.farewell();
        let status = switcher.end().code();
        let refusal = (!refusal.is_empty()).then_some(Error::Told { who: "the job wrapper", text: refusal });
        Ok(Lived { status, asked: reason, refusal })
    }

    /// Hands the next signal on; one that ends the payload is returned.
    fn hand_on(&mut self) -> Option<Asked> {
        let told = self.signals.next().ok()?;
        let number = match told.number {
            SIGTSTP => SIGSTOP,
            number @ (SIGCONT | SIGUSR1 | SIGUSR2) => number,
            _ => return judge(told),
        };
        if let Err(error) = self.kill(number, 0, SIGTERM) {
            let name = signal::name(number);
            (self.diary.notice)(&format!("condor_glexec_pilot: cannot send {name} to the payload: {error}"));
        }
        if number == SIGSTOP {
            signal::stop_self();
        }
        None
    }

    /// Asks all to end, and kills who is left after the grace.
    fn end(&mut self, asked: Asked) -> Result<(), Failure> {
        let asks = match asked {
            Asked::Signal(_, asks) => asks,
            Asked::Timeout => SIGTERM,
        };
        self.kill(SIGKILL, self.order.grace, asks)
    }

    /// Ends whatever is left: through the agent that watches, which knows whom the switcher's process led; or, if somebody has ended that, another one.
    fn end_family(&mut self, watch: &mut Agent) {
        let order = kill::Order { whom: Whom::Sandbox, signal: SIGKILL, grace: 0, asks: SIGTERM, clean: false };
        let (switcher, credential) = (self.switcher, self.sandbox.credential());
        let ended = self.diary.step("kill", |report| match watch.end_watched() {
            Ok(hunted) => Ok(kill::verdict(report.hunted.insert(Hunted { signal: SIGKILL, ..hunted }), false)?),
            Err(_) => kill::kill(switcher, &credential, order, PATIENCE, report),
        });
        if let Err(error) = ended {
            (self.diary.notice)(&format!("condor_glexec_pilot: the payload has left something running: {error}"));
        }
    }

    fn kill(&mut self, signal: i32, grace: u32, asks: i32) -> Result<(), Failure> {
        let order = kill::Order { whom: Whom::Sandbox, signal, grace, asks, clean: false };
        let (switcher, credential) = (self.switcher, self.sandbox.credential());
        self.diary.step("kill", |report| kill::kill(switcher, &credential, order, PATIENCE, report))
    }
}

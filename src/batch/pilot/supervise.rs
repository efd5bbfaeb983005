//! While a payload runs: signals go on to all that was started for it, and its time ends.
//!
//! The payload is in a session of its own: with this one's terminal it could type into the caller's
//! shell (TIOCSTI, ioctl_tty(2)). So what the terminal sends is handed on, too; and in the
//! background it does not get the terminal at all.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::signal::{
    self, Received, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1,
    SIGUSR2, SIGWINCH, Signals,
};
use sys::wait::End;
use sys::{Errno, fd, process};
use wire::launch::ErrorSocket;

use super::order::Order;
use super::payload::Started;
use super::step_log::StepLog;
use crate::batch::agent::Agent;
use crate::batch::kill::{self, Scope};
use crate::batch::report::Hunted;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::{Bound, Switcher};
use crate::batch::{Failure, Patience};

/// What is handed on. Batch systems warn with SIGUSR1 and SIGUSR2.
pub const SIGNALS: [i32; 9] =
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2, SIGWINCH];

/// A signal to a payload is worth another try, but not a wait.
const PATIENCE: Patience = Patience { max_retries: 2, min_delay: 1 };

/// When a payload that was to end has not, it is ended again; so often, and then its files come
/// back all the same.
const AGAIN: Duration = Duration::from_secs(10);
const MOST_TRIES: u32 = 3;

/// So long a switcher may take to end when nothing is left of what it has started.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a payload is to end before it does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// This process got a signal, which the payload gets, too.
    Signal(i32),
    /// Its time is over.
    Timeout,
}

/// What became of a payload.
#[derive(Debug)]
pub struct PayloadResult {
    /// What it ended with, 128 + N for signal N.
    pub status: i32,
    /// The same in words that tell the two apart; none if its end was not seen.
    pub wait: Option<String>,
    /// Why it ended before it did by itself.
    pub asked: Option<StopReason>,
    /// Why it was not executed at all.
    pub refusal: Option<Error>,
}

/// What has happened until the switcher ended.
struct Waited {
    /// Why the payload was to end.
    reason: Option<StopReason>,
    /// Whether the agent that watches has ended all already.
    is_ended: bool,
}

/// What a signal asks for before there is a payload. This process stops if it is to.
fn before_the_payload(told: Received) -> Option<StopReason> {
    match told.number {
        number @ (SIGINT | SIGQUIT | SIGHUP | SIGTERM) => Some(StopReason::Signal(number)),
        SIGTSTP => {
            signal::stop_self();
            None
        }
        _ => None,
    }
}

/// What the signals ask for that have come by now, when there is no payload yet.
pub fn asked_by_now(signals: &Signals) -> Option<StopReason> {
    while let Ok([true]) = fd::poll_readable([signals.as_fd()], Some(Instant::now())) {
        if let Some(asked) = signals.read().ok().and_then(before_the_payload) {
            return Some(asked);
        }
    }
    None
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
    /// Whether the payload's standard input is the caller's terminal.
    pub has_terminal: bool,
    /// Where each signal that is handed on is told.
    pub step_log: &'a mut StepLog<'d>,
}

/// Whether standard input is a terminal from which this process may read now.
pub fn has_terminal() -> bool {
    let stdin = std::io::stdin();
    stdin.is_terminal() && !process::is_in_background(&stdin)
}

impl Supervisor<'_, '_> {
    /// Waits for the payload's end, and ends whatever it has left running, whatever comes in
    /// between.
    pub fn until_end(&mut self, started: Box<Started>) -> Result<PayloadResult> {
        let Started { switcher, watch, mut errors, relays, is_exact } = *started;
        let mut watch = Some(watch);
        let waited = self.wait(&switcher, &mut errors, &mut watch);
        if !waited.as_ref().is_ok_and(|waited| waited.is_ended) {
            self.end_family(&mut watch);
        }
        // What the wrapper has said last.
        let _ = errors.receive();
        let end = switcher.end_within(FAREWELL).end;
        let wait = end.map(|end| match end {
            End::Exited(status @ 129..) if !is_exact => format!("{end} or killed {}", status - 128),
            end => end.to_string(),
        });
        let status = end.map_or(128 + SIGKILL, End::status);
        for error in relays.finish() {
            (self.step_log.notice)(&format!("condor_glexec_pilot: {error}"));
        }
        let refusal = errors.error().map(|text| Error::Told { who: "the job wrapper", text });
        Ok(PayloadResult { status, wait, asked: waited?.reason, refusal })
    }

    /// Waits until the switcher has ended, or has not though its payload was to end.
    fn wait(
        &mut self,
        switcher: &Bound,
        errors: &mut ErrorSocket,
        watch: &mut Option<Agent>,
    ) -> Result<Waited> {
        let mut waited = Waited { reason: None, is_ended: false };
        let mut deadline =
            self.order.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mut tries, mut is_heard) = (0, false);
        while tries <= MOST_TRIES {
            // What has ended is not waited for.
            let refused = if is_heard { &switcher.held } else { &errors.socket };
            let readable = fd::poll_readable(
                [switcher.held.as_fd(), refused.as_fd(), self.signals.as_fd()],
                deadline,
            );
            let [is_over, is_refused, is_signal] = match readable {
                Err(Errno::EINTR) => continue,
                readable => readable.at("wait for", "the payload")?,
            };
            if is_refused && !is_heard {
                is_heard = errors.receive().at("hear from", "the job wrapper")?;
            }
            if is_over {
                break;
            }
            let asked = if is_signal { self.hand_on(switcher) } else { None };
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if let Some(asked) = asked.or(is_late.then_some(StopReason::Timeout)) {
                let grace = if waited.reason.is_none() { self.order.grace } else { 0 };
                waited.is_ended =
                    self.end(*waited.reason.get_or_insert(asked), grace, switcher, watch);
                (deadline, tries) = (Some(Instant::now() + AGAIN), tries + 1);
            }
        }
        Ok(waited)
    }

    /// Hands the next signal on; one that ends the payload is returned instead.
    fn hand_on(&mut self, switcher: &Bound) -> Option<StopReason> {
        let told = self.signals.read().ok()?;
        let stdin = std::io::stdin();
        let has_terminal = self.has_terminal;
        let number = match told.number {
            // It is to go on already.
            SIGTSTP if signal::is_pending(SIGCONT) => return None,
            SIGTSTP => SIGSTOP,
            // In the background the payload would read what is typed for others, since the terminal
            // can't stop it.
            SIGCONT if has_terminal && process::is_in_background(&stdin) => {
                signal::stop_self();
                return None;
            }
            // The payload may have its own mind about these keys, as shells have.
            number @ (SIGINT | SIGQUIT) if told.from_kernel && has_terminal => number,
            number @ (SIGINT | SIGQUIT | SIGHUP | SIGTERM) => {
                return Some(StopReason::Signal(number));
            }
            SIGWINCH if !has_terminal => return None,
            number => number,
        };
        if number == SIGCONT {
            switcher.go_on();
        }
        let (mut is_nobody, name) = (false, signal::name(number));
        let handed = self.kill(number, 0, SIGTERM, &mut is_nobody);
        if let Some(error) = handed.err().filter(|_| !is_nobody) {
            (self.step_log.notice)(&format!(
                "condor_glexec_pilot: cannot send {name} to the payload: {error}"
            ));
        }
        if number == SIGSTOP {
            signal::stop_self();
        }
        None
    }

    /// Asks all to end, and kills who is left after the grace; whoever keeps another agent from
    /// that does not keep the one that watches. Whether that one has ended all.
    fn end(
        &mut self,
        asked: StopReason,
        grace: u32,
        switcher: &Bound,
        watch: &mut Option<Agent>,
    ) -> bool {
        let asks = match asked {
            StopReason::Signal(number) => number,
            StopReason::Timeout => SIGTERM,
        };
        // One that is stopped would not see its payload's end.
        switcher.go_on();
        let Err(error) = self.kill(SIGKILL, grace, asks, &mut false) else { return false };
        (self.step_log.notice)(&format!(
            "condor_glexec_pilot: cannot end the payload in a good way: {error}"
        ));
        let is_ended = self.end_family(watch);
        switcher.kill();
        is_ended
    }

    /// Ends whatever is left: through the agent that watches, which knows target the switcher's
    /// process led; or, if somebody has ended that, another one. Whether nobody is left.
    fn end_family(&mut self, watch: &mut Option<Agent>) -> bool {
        let order = kill::KillRequest {
            scope: Scope::Sandbox,
            signal: SIGKILL,
            grace: 0,
            soft_kill_signal: SIGTERM,
            clean: false,
        };
        let (switcher, credential) = (self.switcher.hasty(), self.sandbox.credential());
        let ended = self.step_log.step("kill", |report| {
            if let Some(mut watch) = watch.take() {
                if let Ok(hunted) = watch.end_watch() {
                    watch.close();
                    return Ok(kill::check_hunted(
                        report.hunted.insert(Hunted { signal: SIGKILL, ..hunted }),
                        false,
                    )?);
                }
            }
            kill::kill(&switcher, &credential, order, PATIENCE, report)
        });
        if let Err(error) = &ended {
            (self.step_log.notice)(&format!(
                "condor_glexec_pilot: cannot end what the payload has left: {error}"
            ));
        }
        ended.is_ok()
    }

    /// Sends a signal to all; `is_nobody` becomes whether there was nobody to get it.
    fn kill(
        &mut self,
        signal: i32,
        grace: u32,
        asks: i32,
        is_nobody: &mut bool,
    ) -> Result<(), Failure> {
        let order = kill::KillRequest {
            scope: Scope::Sandbox,
            signal,
            grace,
            soft_kill_signal: asks,
            clean: false,
        };
        let (switcher, credential) = (self.switcher.hasty(), self.sandbox.credential());
        self.step_log.step("kill", |report| {
            let killed = kill::kill(&switcher, &credential, order, PATIENCE, report);
            let hunted = report.hunted.as_ref();
            *is_nobody =
                hunted.is_some_and(|hunted| hunted.hunt.processes == 0 && hunted.hunt.left == 0);
            killed
        })
    }
}

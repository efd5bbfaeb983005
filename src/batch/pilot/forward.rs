//! The signals that a supervisor sends to its payload: those that it forwards, those that end the
//! payload, and the end of the family.
//!
//! The payload is in a separate session: with the controlling terminal of this process's session it
//! could insert input for the caller's shell (TIOCSTI, ioctl_tty(2)). So this process forwards the
//! signals of the terminal as well. In the background the payload does not get the terminal.

use error::Result;
use sys::signal::{SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGWINCH};
use sys::{process, signal};

use super::signals::StopReason;
use super::supervise::Supervisor;
use super::watch::Watch;
use crate::batch::Retries;
use crate::batch::error::HelperError;
use crate::batch::kill::{self, Scope};
use crate::batch::report::Hunted;
use crate::batch::switcher::BoundCall;

/// For a call that sends a signal to the payload.
const RETRIES: Retries = Retries { max: 2, min_delay: 1 };

impl Supervisor<'_, '_> {
    /// Forwards the next signal. One that ends the payload is returned instead.
    pub(super) fn forward_signal(&mut self, call: &BoundCall) -> Option<StopReason> {
        let received = self.signals.read().ok()?;
        if self.spec.is_below_starter && !matches!(received.number, SIGTSTP | SIGCONT) {
            self.forward_to_first(call, received.number);
            return None;
        }
        let reads_terminal = self.reads_terminal;
        let number = match received.number {
            // The stop is over already.
            SIGTSTP if signal::is_pending(SIGCONT) => return None,
            SIGTSTP => SIGSTOP,
            // In the background the payload would read input that is meant for the foreground: the
            // terminal cannot stop a process of another session.
            SIGCONT if reads_terminal && process::is_in_background(&std::io::stdin()) => {
                signal::stop_self();
                return None;
            }
            // The payload decides what Ctrl-C and Ctrl-\ do, as a shell does.
            number @ (SIGINT | SIGQUIT) if received.from_kernel && reads_terminal => number,
            number @ (SIGINT | SIGQUIT | SIGHUP | SIGTERM) => {
                return Some(StopReason::Signal(number));
            }
            SIGWINCH if !reads_terminal => return None,
            number => number,
        };
        if number == SIGCONT {
            call.resume();
        }
        let mut is_without_target = false;
        let sent = self.send(number, 0, SIGTERM, &mut is_without_target);
        if let Err(error) = sent {
            if !is_without_target {
                let name = signal::name(number);
                (self.step_log.notice)(&format!(
                    "condor_glexec_pilot: cannot send {name} to the payload: {error}"
                ));
            }
        }
        if number == SIGSTOP {
            signal::stop_self();
        }
        None
    }

    /// Forwards a signal to the payload's first process alone, as a starter sends it.
    fn forward_to_first(&mut self, call: &BoundCall, number: i32) {
        // A switcher that is this user's process forwards it.
        if call.send_signal(number).is_ok() {
            return;
        }
        let request = kill::KillRequest {
            scope: Scope::Process(call.pid()),
            signal: number,
            grace: 0,
            soft_kill_signal: SIGTERM,
            clean: false,
        };
        let (switcher, credential) =
            (self.switcher.with_short_idle_timeout(), self.sandbox.credential());
        let sent = self
            .step_log
            .step("kill", |report| kill::kill(&switcher, &credential, request, RETRIES, report));
        if let Err(error) = sent {
            let name = signal::name(number);
            (self.step_log.notice)(&format!("cannot send {name} to the payload: {error}"));
        }
    }

    /// Ends the payload: a signal first, SIGKILL after the grace time. If no agent can be called
    /// for that, the watching agent kills the family. Returns whether it did.
    pub(super) fn end_payload(
        &mut self,
        reason: StopReason,
        grace: u32,
        call: &BoundCall,
        watch: &mut Option<Watch>,
    ) -> bool {
        let first = match reason {
            StopReason::Signal(number) => number,
            StopReason::Timeout | StopReason::Limit(_) => SIGTERM,
        };
        // A stopped switcher would not see its payload's end.
        call.resume();
        let Err(error) = self.send(SIGKILL, grace, first, &mut false) else { return false };
        (self.step_log.notice)(&format!(
            "condor_glexec_pilot: the payload is killed without --grace: {error}"
        ));
        let is_family_killed = self.kill_family(watch);
        call.kill();
        is_family_killed
    }

    /// Kills the rest of the family, through the agent that watches: it knows the processes below
    /// the switcher. If that agent was killed, another one is called. Returns whether no process is
    /// left.
    pub(super) fn kill_family(&mut self, watch: &mut Option<Watch>) -> bool {
        let request = kill::KillRequest {
            scope: Scope::Sandbox,
            signal: SIGKILL,
            grace: 0,
            soft_kill_signal: SIGTERM,
            clean: false,
        };
        let (switcher, credential) =
            (self.switcher.with_short_idle_timeout(), self.sandbox.credential());
        let killed = self.step_log.step("kill", |report| {
            if let Some(watch) = watch.take() {
                if let Ok(hunted) = watch.end_family(self.kept) {
                    let hunted = report.hunted.insert(Hunted { signal: SIGKILL, ..hunted });
                    return Ok(kill::check_hunted(hunted, false)?);
                }
            }
            kill::kill(&switcher, &credential, request, RETRIES, report)
        });
        if let Err(error) = &killed {
            (self.step_log.notice)(&format!(
                "condor_glexec_pilot: cannot end the processes that the payload left: {error}"
            ));
        }
        killed.is_ok()
    }

    /// Sends a signal to the family. `is_without_target` becomes whether there was no process to
    /// get it.
    fn send(
        &mut self,
        signal: i32,
        grace: u32,
        soft_kill_signal: i32,
        is_without_target: &mut bool,
    ) -> Result<(), HelperError> {
        let request = kill::KillRequest {
            scope: Scope::Sandbox,
            signal,
            grace,
            soft_kill_signal,
            clean: false,
        };
        let (switcher, credential) =
            (self.switcher.with_short_idle_timeout(), self.sandbox.credential());
        self.step_log.step("kill", |report| {
            let sent = kill::kill(&switcher, &credential, request, RETRIES, report);
            let hunted = report.hunted.as_ref();
            *is_without_target =
                hunted.is_some_and(|hunted| hunted.hunt.processes == 0 && hunted.hunt.left == 0);
            sent
        })
    }
}

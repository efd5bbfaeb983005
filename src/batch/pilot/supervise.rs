//! While a payload runs: its end is waited for, and its timeout or a limit ends it.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::signal::{SIGKILL, SIGXCPU, SIGXFSZ, Signals};
use sys::wait::End;
use sys::{Errno, fd};
use wire::Hunt;
use wire::launch::ErrorSocket;

use super::candidates::{self, SwitcherKind};
use super::follow::Follower;
use super::limits::used::Used;
use super::limits::watches::{Found, Watches};
use super::limits::{Exceeded, Limit};
use super::one_call::Reports;
use super::payload::StartedPayload;
use super::renewed::Renewal;
use super::signals::StopReason;
use super::spec::PayloadSpec;
use super::step_log::StepLog;
use super::streams::Relays;
use super::watch::Watch;
use crate::batch::agent::Agent;
use crate::batch::report::Hunted;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::{BoundCall, Switcher};

/// If a payload that was killed has not ended after this time, it is killed again; so often. Then
/// its files come back nevertheless.
const KILL_INTERVAL: Duration = Duration::from_secs(10);
const MAX_KILLS: u32 = 3;

/// How long a switcher may take to end after all processes of the payload.
const SWITCHER_END: Duration = Duration::from_secs(5);

/// The result of a payload.
#[derive(Debug)]
pub struct PayloadResult {
    /// Its exit status, 128 + N for signal N.
    pub status: i32,
    /// The same in words, which tell exit statuses and signals apart; `None` if the end was not
    /// seen.
    pub wait: Option<String>,
    /// The same as waitpid(2) tells it.
    pub end: Option<End>,
    /// Why it was ended.
    pub stop_reason: Option<StopReason>,
    /// What it has used.
    pub used: Used,
    /// Why it was not executed, if it was not.
    pub not_executed: Option<Error>,
}

/// How the wait for the switcher's end was over.
struct Waited {
    /// Why the payload was ended.
    stop_reason: Option<StopReason>,
    /// Whether the watching agent has killed the family already.
    is_family_killed: bool,
}

/// Supervises one payload.
pub struct Supervisor<'a, 'd> {
    /// What is run.
    pub spec: &'a PayloadSpec,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// The switcher that leads to the payload.
    pub switcher: &'a Switcher,
    /// The signals of this process.
    pub signals: &'a Signals,
    /// Whether the payload's standard input is the caller's terminal.
    pub reads_terminal: bool,
    /// The agent that has handed the sandbox over, while it does not watch.
    pub kept: &'a mut Option<Agent>,
    /// Where each signal that is sent is reported.
    pub step_log: &'a mut StepLog<'d>,
}

impl Supervisor<'_, '_> {
    /// Waits for the payload's end, and then kills the rest of its family, also after an error.
    pub fn wait_for_end(&mut self, payload: StartedPayload) -> Result<PayloadResult> {
        let StartedPayload { call, watch, mut watches, mut errors, relays, is_exact } = payload;
        let mut watch = Some(watch);
        let waited = self.wait_for_switcher(&call, &mut errors, &mut watch, None, &mut watches);
        if !waited.as_ref().is_ok_and(|waited| waited.is_family_killed) {
            self.kill_family(&mut watch);
        }
        // The wrapper's last bytes.
        let _ = errors.receive();
        let outcome = call.end_within(SWITCHER_END);
        let (end, used) = (outcome.end, watches.end(outcome.usage, self.step_log.notice));
        let wait = end.map(|end| match end {
            End::Exited(status @ 129..) if !is_exact => format!("{end} or killed {}", status - 128),
            end => end.to_string(),
        });
        self.result(waited, (end, wait), used, errors, relays)
    }

    /// Waits for the end of a payload whose call kills the rest of the family, and goes on after
    /// that.
    pub fn wait_in_call(
        &mut self,
        call: &BoundCall,
        reports: &mut Reports,
        mut errors: ErrorSocket,
        relays: Relays,
        mut watches: Watches<'_>,
    ) -> Result<PayloadResult> {
        let waited =
            self.wait_for_switcher(call, &mut errors, &mut None, Some(reports), &mut watches);
        let _ = errors.receive();
        let end = self.end_of(call, reports);
        let used = watches.end(None, self.step_log.notice);
        self.result(waited, (Some(end), Some(end.to_string())), used, errors, relays)
    }

    /// The result of a payload that has ended so.
    fn result(
        &mut self,
        waited: Result<Waited>,
        (end, wait): (Option<End>, Option<String>),
        used: Used,
        errors: ErrorSocket,
        relays: Relays,
    ) -> Result<PayloadResult> {
        let status = end.map_or(128 + SIGKILL, End::status);
        for error in relays.finish() {
            (self.step_log.notice)(&format!("condor_glexec_pilot: {error}"));
        }
        let not_executed = errors.error().map(|text| Error::Told { who: "the job wrapper", text });
        let waited = waited?;
        let stop_reason = waited.stop_reason.or_else(|| self.limit_of_kernel(end, &used));
        Ok(PayloadResult { status, wait, end, stop_reason, used, not_executed })
    }

    /// The limit for which the kernel has killed the payload's first process, or all of them.
    fn limit_of_kernel(&mut self, end: Option<End>, used: &Used) -> Option<StopReason> {
        let limit = match end {
            Some(_) if used.is_out_of_memory() => Limit::Memory,
            Some(End::Killed(SIGXFSZ)) => Limit::FileSize,
            Some(End::Killed(SIGXCPU)) => Limit::CpuTime,
            _ => return None,
        };
        let value = self.spec.limits.value(limit)?;
        Some(self.exceeded(Exceeded { limit, value, used: None }))
    }

    /// Says what a look has found. A payload can make it impossible to watch it: that ends it.
    fn found(&mut self, found: Found) -> Option<StopReason> {
        let (exceeded, error) = match found {
            Found::Exceeded(exceeded) => return Some(self.exceeded(exceeded)),
            Found::Blind(exceeded, error) => (exceeded, error),
        };
        let is_ended = !self.spec.limits.best_effort;
        let then = if is_ended { "; the payload is ended" } else { "" };
        (self.step_log.notice)(&format!(
            "condor_glexec_pilot: --{} cannot be watched any more{then}: {error}",
            exceeded.limit.name()
        ));
        is_ended.then_some(StopReason::Limit(exceeded))
    }

    /// Says which limit the payload has exceeded.
    fn exceeded(&mut self, exceeded: Exceeded) -> StopReason {
        (self.step_log.notice)(&format!("condor_glexec_pilot: {exceeded}"));
        StopReason::Limit(exceeded)
    }

    /// How the payload has ended, as the call reports it. Without a report the call is killed: all
    /// processes of the payload end with it.
    fn end_of(&mut self, call: &BoundCall, reports: &mut Reports) -> End {
        reports.finish();
        let Some((end, killed)) = reports.payload_end() else {
            call.kill();
            return End::Killed(SIGKILL);
        };
        let hunt = Hunt { processes: killed, ..Hunt::default() };
        let _ = self.step_log.step("kill", |report| {
            report.hunted = Some(Hunted { signal: SIGKILL, hunt, ..Hunted::default() });
            Ok::<_, Error>(())
        });
        end
    }

    /// Waits until the switcher has ended, or until its payload was killed often enough.
    fn wait_for_switcher(
        &mut self,
        call: &BoundCall,
        errors: &mut ErrorSocket,
        watch: &mut Option<Watch>,
        mut reports: Option<&mut Reports>,
        watches: &mut Watches<'_>,
    ) -> Result<Waited> {
        let mut waited = Waited { stop_reason: None, is_family_killed: false };
        let mut deadline =
            self.spec.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mut kills, mut is_all_heard) = (0, false);
        let _follower = self.call_follower(call);
        let mut renewed = self.spec.renewed.as_ref().map(Renewal::new);
        while kills <= MAX_KILLS {
            // A socket at its end would be readable all the time.
            let socket = if is_all_heard { &call.pidfd } else { &errors.socket };
            let reported = reports.as_deref().filter(|reports| !reports.is_complete());
            // It is watched until it is ended.
            let is_watched = waited.stop_reason.is_none();
            let look = watches.next().filter(|_| is_watched);
            let disk = watches.disk().filter(|_| is_watched);
            let readable = fd::poll_readable(
                [
                    call.pidfd.as_fd(),
                    socket.as_fd(),
                    self.signals.as_fd(),
                    reported.map_or(call.pidfd.as_fd(), |reports| reports.as_fd()),
                    disk.unwrap_or(call.pidfd.as_fd()),
                ],
                deadline.into_iter().chain(look).chain(renewed.as_ref().map(Renewal::next)).min(),
            );
            let [mut is_over, is_socket, is_signal, is_report, is_disk] = match readable {
                Err(Errno::EINTR) => continue,
                readable => readable.at("wait for", "the payload")?,
            };
            if let (true, Some(reports)) = (is_report, reports.as_deref_mut()) {
                reports.receive();
                is_over |= reports.payload_end().is_some();
            }
            if is_socket && !is_all_heard {
                is_all_heard = errors.receive().at("receive from", "the job wrapper")?;
            }
            if is_over {
                break;
            }
            if let Some(Err(error)) =
                renewed.as_mut().map(|files| files.look(self.sandbox, self.switcher))
            {
                let line = format!("condor_glexec_pilot: a credential is not renewed: {error}");
                (self.step_log.notice)(&line);
            }
            let by_signal = if is_signal { self.forward_signal(call) } else { None };
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let mut reason = by_signal.or(is_late.then_some(StopReason::Timeout));
            if is_watched && reason.is_none() {
                reason = watches.look(is_disk)?.and_then(|found| self.found(found));
            }
            if let Some(reason) = reason {
                let allows_grace = match reason {
                    StopReason::Limit(exceeded) => exceeded.limit.allows_grace(),
                    StopReason::Signal(_) | StopReason::Timeout => true,
                };
                let is_first = waited.stop_reason.is_none();
                let grace = if is_first && allows_grace { self.spec.grace } else { 0 };
                let reason = *waited.stop_reason.get_or_insert(reason);
                waited.is_family_killed = self.end_payload(reason, grace, call, watch);
                (deadline, kills) = (Some(Instant::now() + KILL_INTERVAL), kills + 1);
            }
        }
        Ok(waited)
    }

    /// Calls the agent that stops the payload while this process is stopped. Behind `glexec`
    /// without privilege there is none: the batch system itself can signal the payload, because its
    /// user owns the payload's user namespace (user_namespaces(7)).
    fn call_follower(&mut self, call: &BoundCall) -> Option<Follower> {
        let kind = candidates::named(self.switcher.program().to_owned()).kind;
        let is_rootless = kind == Some(SwitcherKind::Rootless) && !glexec::asks_daemon();
        if !self.spec.is_below_starter || is_rootless {
            return None;
        }
        let called = Follower::call(self.sandbox, self.switcher, call.pid());
        let notice = &mut self.step_log.notice;
        called
            .map_err(|error| {
                notice(&format!("condor_glexec_pilot: the payload cannot be suspended: {error}"));
            })
            .ok()
    }
}

//! A pilot's run: a sandbox is made and handed over, the payload runs, and its files come back.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use error::{Context as _, Error, Result};
use sys::signal::Signals;
use sys::wait::End;
use wire::Totals;

use super::error::{PilotError, Stage};
use super::interrupt::Interrupt;
use super::limits::plan::Plan;
use super::limits::used::Used;
use super::run_payload::PayloadRun;
use super::set_up::{HandedOver, set_up};
use super::signals::{SIGNALS, StopReason};
use super::spec::PayloadSpec;
use super::step_log::StepLog;
use super::way_back::WayBack;
use super::{check, input, make, output};
use crate::batch::sandbox::{Found, Retained, Sandbox};

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The switcher that was used.
    pub switcher: Option<PathBuf>,
    /// Whether the payload's world is the closed one.
    pub is_closed: bool,
    /// The payload's exit status, if it ran: 128 + N for signal N.
    pub payload: Option<i32>,
    /// The same in words, which tell exit statuses and signals apart; `None` if the end was not
    /// seen.
    pub wait: Option<String>,
    /// The same as waitpid(2) tells it; none if the end was not seen.
    pub end: Option<End>,
    /// Whether the payload can have begun.
    pub has_begun: bool,
    /// Why the payload was ended, or not started.
    pub stop_reason: Option<StopReason>,
    /// How its limits are enforced.
    pub plan: Plan,
    /// What it has used.
    pub used: Used,
    /// What failed.
    pub failures: Vec<PilotError>,
}

impl Outcome {
    pub(super) fn fail(mut self, stage: Stage, error: Error) -> Self {
        self.failures.push(PilotError { stage, error });
        self
    }

    pub(super) fn stopped(self, reason: StopReason) -> Self {
        Outcome { stop_reason: Some(reason), ..self }
    }
}

/// Runs a payload. This process must have one thread.
pub fn run(spec: &PayloadSpec, step_log: &mut StepLog<'_>) -> Outcome {
    let outcome = Outcome::default();
    let checked = check::check(spec).and_then(|sandbox| {
        let input = spec.input.as_ref();
        let survey = input.map(|input| input::survey(input, &spec.sandbox)).transpose()?;
        Ok((sandbox, survey.unwrap_or_default()))
    });
    let (sandbox, survey) = match checked {
        Ok(checked) => checked,
        Err(error) => return outcome.fail(Stage::Check, error),
    };
    step_log.log_id = sandbox.log_id();
    // From here on a signal stays pending until there is a process to forward it to, or nothing to
    // undo.
    let signals = match Signals::block(&SIGNALS).at("wait for signals for", sandbox.path()) {
        Ok(signals) => signals,
        Err(error) => return outcome.fail(Stage::SetUp, error),
    };
    let interrupt = Interrupt::new(signals);
    let totals = spec.input.is_some().then_some(survey.totals);
    let halt = Some(interrupt.halt());
    let made = step_log
        .transfer_step("input", totals, |report| make::make(&sandbox, spec, &survey, halt, report));
    if let Err(error) = made {
        return match interrupt.stop_reason() {
            // The copy is removed completely, or the error names what is left.
            Some(reason) if matches!(sandbox.found(), Ok(Found::Nothing)) && is_single(&error) => {
                outcome.stopped(reason)
            }
            _ => outcome.fail(Stage::SetUp, error),
        };
    }
    // While this process lives, no other pilot may work on the sandbox. The locked directory keeps
    // its inode when it is renamed.
    let _lock = match sandbox.lock() {
        Ok(lock) => lock,
        Err(error) => return outcome.fail(Stage::SetUp, error),
    };
    run_in(spec, &sandbox, totals, &interrupt, step_log, outcome)
}

/// Whether an error is not the combination of two: a copy that could not be removed adds one.
fn is_single(error: &Error) -> bool {
    !matches!(error, Error::Both { .. })
}

/// Runs a payload in a sandbox that was made.
fn run_in(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    totals: Option<Totals>,
    interrupt: &Arc<Interrupt>,
    step_log: &mut StepLog<'_>,
    outcome: Outcome,
) -> Outcome {
    if let Some(reason) = interrupt.stop_reason() {
        let outcome = outcome.stopped(reason);
        return match make::remove(sandbox) {
            Ok(()) => outcome,
            Err(error) => outcome.fail(Stage::SetUp, error),
        };
    }
    let HandedOver { switcher, mut one_call, mut kept, plan } =
        match set_up(spec, sandbox, totals, interrupt, step_log) {
            Ok(handed_over) => handed_over,
            Err(error) => {
                return match (remove_own(sandbox), interrupt.stop_reason()) {
                    (Ok(()), Some(reason)) => outcome.stopped(reason),
                    (removed, _) => outcome.fail(Stage::SetUp, error.and_then(removed)),
                };
            }
        };
    for (limit, why) in plan.missing() {
        let name = limit.name();
        (step_log.notice)(&format!("condor_glexec_pilot: --{name} is not enforced: {why}"));
    }
    let outcome = Outcome {
        switcher: Some(switcher.program().to_owned()),
        is_closed: switcher.world().is_closed(),
        ..outcome
    };
    let outcome = match interrupt.stop_reason() {
        Some(reason) => outcome.stopped(reason),
        None => {
            let run = PayloadRun {
                spec,
                sandbox,
                switcher: &switcher,
                plan: &plan,
                signals: &interrupt.signals,
            };
            run.run(one_call.as_mut(), &mut kept, step_log, outcome)
        }
    };
    let usage = Cell::new(outcome.used.call);
    let halt = interrupt.halt_at_second_signal(&step_log.urgent);
    let way_back = WayBack { spec, sandbox, switcher: &switcher, halt: &halt, usage: &usage };
    let back = way_back.bring_back(one_call, kept, step_log);
    let used = Used { call: usage.get(), ..outcome.used };
    let outcome = Outcome { plan, used, ..outcome };
    match back {
        Ok(()) => outcome,
        Err(error) => outcome.fail(Stage::CleanUp, error),
    }
}

/// Removes a sandbox that was not handed over, if it is complete.
fn remove_own(sandbox: &Sandbox) -> Result<()> {
    match (sandbox.found()?, sandbox.retained()?) {
        (Found::Mine, Retained::Absent) => make::remove(sandbox),
        (Found::Mine, Retained::Proxy) => {
            sandbox.remove_retained().and_then(|()| make::remove(sandbox))
        }
        _ => Err(Error::refused(
            sandbox.path(),
            format!("it was not put back; {}", output::advice(sandbox)),
        )),
    }
}

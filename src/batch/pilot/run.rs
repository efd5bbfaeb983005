//! A pilot's run: a sandbox is made and handed over, the payload runs, and its files come back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use error::{Context as _, Error, Result};
use sys::signal::Signals;
use wire::{Halt, Totals};

use super::error::{PilotError, Stage};
use super::interrupt::Interrupt;
use super::losses::report_losses;
use super::payload::{self, Start};
use super::signals::{SIGNALS, StopReason};
use super::spec::PayloadSpec;
use super::step_log::StepLog;
use super::supervise::{PayloadResult, Supervisor};
use super::{candidates, check, input, make, output, streams};
use crate::batch::cleanup::{self, KillScope, Returned};
use crate::batch::error::HelperError;
use crate::batch::sandbox::{Found, Retained, Sandbox};
use crate::batch::switcher::Switcher;
use crate::batch::{Report, Retries, setup};

/// A switcher that cannot work here may end with a status of a temporary failure: the next switcher
/// is tried instead.
const NO_RETRIES: Retries = Retries { max: 0, min_delay: 0 };

/// For bringing the files back.
const RETRIES: Retries = Retries { max: 3, min_delay: 1 };

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The switcher that was used.
    pub switcher: Option<PathBuf>,
    /// The payload's exit status, if it ran: 128 + N for signal N.
    pub payload: Option<i32>,
    /// The same in words, which tell exit statuses and signals apart; `None` if the end was not
    /// seen.
    pub wait: Option<String>,
    /// Why the payload was ended, or not started.
    pub stop_reason: Option<StopReason>,
    /// What failed.
    pub failures: Vec<PilotError>,
}

impl Outcome {
    fn fail(mut self, stage: Stage, error: Error) -> Self {
        self.failures.push(PilotError { stage, error });
        self
    }

    fn stopped(self, reason: StopReason) -> Self {
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
    let switcher = match set_up(spec, sandbox, totals, interrupt, step_log) {
        Ok(switcher) => switcher,
        Err(error) => {
            return match (remove_own(sandbox), interrupt.stop_reason()) {
                (Ok(()), Some(reason)) => outcome.stopped(reason),
                (removed, _) => outcome.fail(Stage::SetUp, error.and_then(removed)),
            };
        }
    };
    let outcome = Outcome { switcher: Some(switcher.program().to_owned()), ..outcome };
    let outcome = match interrupt.stop_reason() {
        Some(reason) => outcome.stopped(reason),
        None => run_payload(spec, sandbox, &switcher, &interrupt.signals, step_log, outcome),
    };
    let halt = interrupt.halt_at_second_signal(&step_log.urgent);
    match bring_back(spec, sandbox, &switcher, &halt, step_log) {
        Ok(()) => outcome,
        Err(error) => outcome.fail(Stage::CleanUp, error),
    }
}

/// Hands the sandbox over through the first switcher that works.
fn set_up(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    totals: Option<Totals>,
    interrupt: &Arc<Interrupt>,
    step_log: &mut StepLog<'_>,
) -> Result<Switcher> {
    let mut errors = Vec::new();
    for program in candidates::programs(spec.glexec.as_ref())? {
        let switcher = Switcher::new(program.as_os_str(), sandbox.credential(), spec.idle_timeout)?
            .in_separate_groups()
            .with_handover(spec.handover)
            .withholding_credential();
        let halted = switcher.clone().with_halt(interrupt.halt());
        let handed_over = step_log.transfer_step("setup", totals, |report| {
            setup::setup(sandbox, &halted, NO_RETRIES, report)
        });
        match handed_over {
            Ok(()) => return Ok(switcher),
            Err(failure) if interrupt.stop_reason().is_some() => return Err(failure.error),
            Err(failure) => errors.push(failure.error),
        }
    }
    if errors.len() == 1 {
        return Err(errors.remove(0));
    }
    let why = if errors.is_empty() {
        "none is installed here: run condor_glexec_pilot doctor".to_owned()
    } else {
        let errors: Vec<String> = errors.iter().map(Error::to_string).collect();
        format!("none works here: {}", errors.join("; "))
    };
    Err(Error::refused("switcher", why))
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

/// Starts the payload, and waits for its end.
fn run_payload(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    switcher: &Switcher,
    signals: &Signals,
    step_log: &mut StepLog<'_>,
    outcome: Outcome,
) -> Outcome {
    let started_at = Instant::now();
    let reads_terminal = streams::may_read_terminal();
    let result = match payload::start(spec, sandbox, switcher, signals) {
        Ok(Start::Started(payload)) => {
            Supervisor { spec, sandbox, switcher, signals, reads_terminal, step_log }
                .wait_for_end(*payload)
        }
        Ok(Start::Cancelled(reason)) => return outcome.stopped(reason),
        Err(error) => Err(error),
    };
    let (outcome, error) = match result {
        Ok(PayloadResult { not_executed: Some(error), .. }) | Err(error) => (outcome, Some(error)),
        Ok(PayloadResult { status, wait, stop_reason, not_executed: None }) => {
            (Outcome { payload: Some(status), wait, stop_reason, ..outcome }, None)
        }
    };
    let message = error.as_ref().map(Error::to_string);
    step_log.report_step("run", started_at.elapsed(), outcome.payload, message);
    match error {
        Some(error) => outcome.fail(Stage::Start, error),
        None => outcome,
    }
}

/// Brings the files back, and to the output.
fn bring_back(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    switcher: &Switcher,
    halt: &Halt,
    step_log: &mut StepLog<'_>,
) -> Result<()> {
    let with_advice = |error: Error| {
        let why = format!("to try again: {}", output::advice(sandbox));
        error.and_then(Err(Error::refused(sandbox.path(), why)))
    };
    // All processes of the payload have ended. No other user may enter a directory that this
    // process has locked.
    let policy = cleanup::Policy { links: spec.links, kills: KillScope::Nothing, closes_top: true };
    let switcher = switcher.clone().with_halt(halt.clone());
    let other = output::on_other_file_system(sandbox, spec.output.as_deref());
    if let Some(path) = other.map_err(with_advice)? {
        let brought = step_log.step("output", |report| {
            output::bring_to(path, sandbox, &switcher, RETRIES, policy, report)
                .inspect(|()| report_losses(report))
        });
        return brought.map_err(|failure| with_advice(failure.error));
    }
    let (mut returned, mut totals) = (Returned::Files, None);
    let cleaned = step_log.step("cleanup", |report| {
        returned = cleanup::cleanup(sandbox, &switcher, RETRIES, policy, report)?;
        returned.require_files(sandbox)?;
        report_losses(report);
        totals = report.moved.map(|(totals, _)| totals);
        Ok::<_, HelperError>(())
    });
    if let Err(HelperError { error, .. }) = cleaned {
        return Err(match returned {
            Returned::Files => with_advice(error),
            Returned::ProxyOnly => error.and_then(make::remove(sandbox)),
        });
    }
    match &spec.output {
        Some(path) => {
            let deliver = |report: &mut Report<'_>| {
                output::deliver(sandbox, path, Some(halt.clone()), report)
            };
            step_log.transfer_step("output", totals, deliver).map_err(with_advice)
        }
        None if spec.keeps_sandbox => make::remove_credentials(sandbox),
        None => make::remove(sandbox),
    }
}

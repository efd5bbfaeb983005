//! The way of a payload: a sandbox is made and handed over, the payload runs, and its files come
//! back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use error::{Context as _, Error, Result};
use sys::signal::Signals;
use wire::{Halt, Totals};

use super::interrupt::Interrupt;
use super::order::Order;
use super::payload::{self, Start};
use super::step_log::StepLog;
use super::supervise::{PayloadResult, SIGNALS, StopReason, Supervisor};
use super::{candidates, input, losses, place, supervise};
use crate::batch::sandbox::{Found, Retained, Sandbox};
use crate::batch::switcher::Switcher;
use crate::batch::{Failure, Patience, Report, cleanup, setup};

/// A switcher that is not fit says so with the same status as one that will be: another one is
/// tried instead.
const NO_RETRY: Patience = Patience { max_retries: 0, min_delay: 0 };

/// For the files to come back everything is worth another try.
const RETRIES: Patience = Patience { max_retries: 3, min_delay: 1 };

/// Which part of the way failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was done: the order makes no sense.
    Order,
    /// The sandbox was not made, or not handed over.
    SetUp,
    /// The payload was not started.
    Switch,
    /// The files are not back, or not where they were to come to.
    CleanUp,
}

/// What came of an order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The switcher that was used.
    pub switcher: Option<PathBuf>,
    /// What the payload ended with, if it ran: 128 + N for signal N.
    pub payload: Option<i32>,
    /// The same in words that tell the two apart, if its end was seen.
    pub wait: Option<String>,
    /// Why it ended before it did by itself, or was not started.
    pub asked: Option<StopReason>,
    /// The parts that failed.
    pub failures: Vec<(Stage, String)>,
}

impl Outcome {
    fn fail(mut self, stage: Stage, error: impl std::fmt::Display) -> Self {
        self.failures.push((stage, error.to_string()));
        self
    }
}

/// Carries out an order. The process has one thread.
pub fn run(order: &Order, step_log: &mut StepLog<'_>) -> Outcome {
    let outcome = Outcome::default();
    let sandbox = match place::examine(order) {
        Ok(sandbox) => sandbox,
        Err(error) => return outcome.fail(Stage::Order, error),
    };
    let surveyed =
        order.input.as_ref().map(|input| input::survey(input, &order.sandbox)).transpose();
    let survey = match surveyed {
        Ok(survey) => survey.unwrap_or_default(),
        Err(error) => return outcome.fail(Stage::Order, error),
    };
    step_log.request = sandbox.request();
    // From here on a signal waits until there is something to hand it to, or nothing to undo.
    let signals = match Signals::block(&SIGNALS).at("wait for signals for", sandbox.path()) {
        Ok(signals) => signals,
        Err(error) => return outcome.fail(Stage::SetUp, error),
    };
    let interrupt = Interrupt::new(signals);
    let totals = order.input.is_some().then_some(survey.totals);
    let halt = Some(interrupt.halt());
    let made = step_log
        .step_of("input", totals, |report| place::make(&sandbox, order, &survey, halt, report));
    if let Err(error) = made {
        return match interrupt.asked() {
            // All of it has been removed, or the error says what has not.
            Some(asked) if matches!(sandbox.found(), Ok(Found::Nothing)) && is_removed(&error) => {
                Outcome { asked: Some(asked), ..outcome }
            }
            _ => outcome.fail(Stage::SetUp, error),
        };
    }
    // As long as this process lives no other is to work on the sandbox. It is one directory all the
    // time, whatever its name.
    let lock = sandbox.lock();
    let cancelled = interrupt.asked();
    if lock.is_err() || cancelled.is_some() {
        let outcome = Outcome { asked: cancelled, ..outcome };
        return match lock.and_then(|_| place::remove(&sandbox)) {
            Ok(()) => outcome,
            Err(error) => outcome.fail(Stage::SetUp, error),
        };
    }
    let switcher = match set_up(order, &sandbox, totals, &interrupt, step_log) {
        Ok(switcher) => switcher,
        Err(error) => {
            let removed = give_up(&sandbox);
            if let Some(asked) = interrupt.asked().filter(|_| removed.is_ok()) {
                return Outcome { asked: Some(asked), ..outcome };
            }
            return outcome.fail(Stage::SetUp, error.and_then(removed));
        }
    };
    let outcome = Outcome { switcher: Some(switcher.program().to_owned()), ..outcome };
    let outcome = match interrupt.asked() {
        Some(asked) => Outcome { asked: Some(asked), ..outcome },
        None => run_payload(order, &sandbox, &switcher, &interrupt.signals, step_log, outcome),
    };
    let halt = Interrupt::halt_at_the_second(&interrupt, &step_log.urgent);
    match bring_back(order, &sandbox, &switcher, &halt, step_log) {
        Ok(()) => outcome,
        Err(error) => outcome.fail(Stage::CleanUp, error),
    }
}

/// Whether an error is one alone: a copy that could not be removed either says so in another.
fn is_removed(error: &Error) -> bool {
    !matches!(error, Error::Both { .. })
}

/// Hands the sandbox over through the first switcher that works.
fn set_up(
    order: &Order,
    sandbox: &Sandbox,
    totals: Option<Totals>,
    interrupt: &Arc<Interrupt>,
    step_log: &mut StepLog<'_>,
) -> Result<Switcher> {
    let mut errors = Vec::new();
    for program in candidates::those(order.glexec.as_ref())? {
        let switcher = Switcher::new(program.as_os_str(), sandbox.credential(), order.limit)?
            .apart()
            .keeping_credential();
        let halted = switcher.clone().halted_by(interrupt.halt());
        match step_log
            .step_of("setup", totals, |report| setup::setup(sandbox, &halted, NO_RETRY, report))
        {
            Ok(()) => return Ok(switcher),
            Err(error) if interrupt.asked().is_some() => return Err(error.error()),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let why = match &errors[..] {
        [] => "none is installed here: condor_glexec_pilot doctor tells more".to_owned(),
        [error] => error.clone(),
        errors => format!("none works here: {}", errors.join("; ")),
    };
    Err(Error::refused("switcher", why))
}

/// Removes a sandbox that was not handed over, if it is whole.
fn give_up(sandbox: &Sandbox) -> Result<()> {
    match (sandbox.found()?, sandbox.retained()?) {
        (Found::Mine, Retained::Absent) => place::remove(sandbox),
        (Found::Mine, Retained::Proxy) => {
            sandbox.remove_retained().and_then(|()| place::remove(sandbox))
        }
        _ => Err(Error::refused(
            sandbox.path(),
            format!("it was not put back; {}", place::advice(sandbox)),
        )),
    }
}

fn run_payload(
    order: &Order,
    sandbox: &Sandbox,
    switcher: &Switcher,
    signals: &Signals,
    step_log: &mut StepLog<'_>,
    outcome: Outcome,
) -> Outcome {
    let begun = Instant::now();
    let has_terminal = supervise::has_terminal();
    let lived = match payload::start(order, sandbox, switcher, signals) {
        Ok(Start::Started(started)) => {
            Supervisor { order, sandbox, switcher, signals, has_terminal, step_log }
                .until_end(started)
        }
        Ok(Start::Cancelled(asked)) => return Outcome { asked: Some(asked), ..outcome },
        Err(error) => Err(error),
    };
    let (outcome, error) = match lived {
        Ok(PayloadResult { refusal: Some(refusal), .. }) => (outcome, Some(refusal)),
        Ok(PayloadResult { status, wait, asked, refusal: None }) => {
            (Outcome { payload: Some(status), wait, asked, ..outcome }, None)
        }
        Err(error) => (outcome, Some(error)),
    };
    let error = error.map(|error| error.to_string());
    step_log.tell("run", begun.elapsed(), outcome.payload, error.clone());
    match error {
        Some(error) => outcome.fail(Stage::Switch, error),
        None => outcome,
    }
}

/// Says what has not come back with the files.
pub fn tell_losses(report: &mut Report<'_>) {
    let links = ("link that leads out of the sandbox", "links that lead out of the sandbox");
    let line = report.moved.and_then(|(_, dropped)| {
        losses::line("of the payload's files has not come back, or not as it was", &dropped, links)
    });
    if let Some(line) = line {
        report.notice(&line);
    }
}

/// Brings the files back, and to where they are wanted.
fn bring_back(
    order: &Order,
    sandbox: &Sandbox,
    switcher: &Switcher,
    halt: &Halt,
    step_log: &mut StepLog<'_>,
) -> Result<()> {
    let again = |error: Error| {
        let why = format!("to try again: {}", place::advice(sandbox));
        error.and_then(Err(Error::refused(sandbox.path(), why)))
    };
    // The payload's family has ended by now. What this process locks no other user is to open.
    let policy =
        cleanup::Policy { links: order.links, ends: cleanup::Ends::Nothing, closes_top: true };
    let (halted, mut totals) = (switcher.clone().halted_by(halt.clone()), None);
    if let Some(output) = place::elsewhere(sandbox, order.output.as_deref()).map_err(again)? {
        let brought = step_log.step("output", |report| {
            place::bring_elsewhere(sandbox, (&halted, RETRIES), policy, output, report)
                .inspect(|()| tell_losses(report))
        });
        return brought.map_err(Failure::error).map_err(again);
    }
    let cleaned = step_log.step("cleanup", |report| {
        cleanup::cleanup(sandbox, &halted, RETRIES, policy, report)?;
        tell_losses(report);
        totals = report.moved.map(|(totals, _)| totals);
        Ok::<_, Failure>(())
    });
    if let Err(failure) = cleaned {
        return Err(match failure {
            Failure::Gone(error) => error.and_then(place::remove(sandbox)),
            failure => again(failure.error()),
        });
    }
    match &order.output {
        Some(output) => {
            let deliver = |report: &mut Report<'_>| {
                place::deliver(sandbox, output, Some(halt.clone()), report)
            };
            step_log.step_of("output", totals, deliver).map_err(again)
        }
        None if order.keeps_sandbox => place::remove_credential(sandbox),
        None => place::remove(sandbox),
    }
}

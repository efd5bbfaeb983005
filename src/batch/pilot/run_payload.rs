//! The payload, from its start to its end.

use std::time::Instant;

use error::{Error, Result};
use sys::signal::Signals;

use super::error::Stage;
use super::limits::plan::Plan;
use super::limits::watches::Watches;
use super::one_call::OneCall;
use super::payload::{self, Start};
use super::run::Outcome;
use super::spec::PayloadSpec;
use super::step_log::StepLog;
use super::streams::{self, Streams};
use super::supervise::{PayloadResult, Supervisor};
use crate::batch::agent::Agent;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// A payload that is to run in a sandbox that was handed over.
pub(in crate::batch) struct PayloadRun<'a> {
    pub(in crate::batch) spec: &'a PayloadSpec,
    pub(in crate::batch) sandbox: &'a Sandbox,
    pub(in crate::batch) switcher: &'a Switcher,
    pub(in crate::batch) plan: &'a Plan,
    pub(in crate::batch) signals: &'a Signals,
}

impl PayloadRun<'_> {
    /// Starts the payload, and waits for its end. `one_call` is the call that has handed the
    /// sandbox over, if it also runs the payload; `kept` is the agent that has done it, which
    /// watches meanwhile.
    pub(in crate::batch) fn run(
        &self,
        one_call: Option<&mut OneCall>,
        kept: &mut Option<Agent>,
        step_log: &mut StepLog<'_>,
        mut outcome: Outcome,
    ) -> Outcome {
        let started_at = Instant::now();
        let reads_terminal = streams::may_read_terminal();
        let PayloadRun { spec, sandbox, switcher, plan, signals } = *self;
        let supervisor = |kept, step_log| Supervisor {
            spec,
            sandbox,
            switcher,
            signals,
            reads_terminal,
            kept,
            step_log,
        };
        let result = match one_call {
            Some(one_call) => {
                self.run_in(one_call, &mut supervisor(kept, step_log), &mut outcome.has_begun)
            }
            None => match payload::start(spec, sandbox, switcher, plan, signals, kept) {
                Ok(Start::Started(payload)) => {
                    outcome.has_begun = true;
                    supervisor(kept, step_log).wait_for_end(*payload)
                }
                Ok(Start::Cancelled(reason)) => return outcome.stopped(reason),
                Err(error) => Err(error),
            },
        };
        let (outcome, error) = match result {
            Ok(PayloadResult { not_executed: Some(error), .. }) => {
                (Outcome { has_begun: false, ..outcome }, Some(error))
            }
            Err(error) => (outcome, Some(error)),
            Ok(PayloadResult { status, wait, end, stop_reason, used, not_executed: None }) => {
                (Outcome { payload: Some(status), wait, end, stop_reason, used, ..outcome }, None)
            }
        };
        let message = error.as_ref().map(Error::to_string);
        step_log.report_step("run", started_at.elapsed(), outcome.payload, message);
        match error {
            Some(error) => outcome.fail(Stage::Start, error),
            None => outcome,
        }
    }

    /// Lets the wrapper of a call become the payload, and waits for its end.
    fn run_in(
        &self,
        one_call: &mut OneCall,
        supervisor: &mut Supervisor<'_, '_>,
        has_begun: &mut bool,
    ) -> Result<PayloadResult> {
        let OneCall { call, wrapper, sender, reports, .. } = one_call;
        let Some(wrapper) = wrapper.take() else {
            return Err(Error::refused("the job wrapper", "it has ended"));
        };
        let PayloadRun { spec, sandbox, switcher, plan, .. } = *self;
        let streams = Streams::of_caller(spec.is_below_starter)?;
        let watches = Watches::begin(&spec.limits, plan, sandbox, switcher, (call.pid(), *sender))?;
        let (errors, relays) = payload::send_job(spec, wrapper, streams)?;
        *has_begun = true;
        supervisor.wait_in_call(call, reports, errors, relays, watches)
    }
}

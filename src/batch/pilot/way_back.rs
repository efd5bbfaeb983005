//! The way of the files back, and to the output.

use std::cell::Cell;

use error::{Error, Result};
use sys::wait::Usage;
use wire::{Halt, Totals};

use super::losses::report_losses;
use super::one_call::{self, Back, OneCall};
use super::spec::PayloadSpec;
use super::step_log::StepLog;
use super::{make, output};
use crate::batch::agent::Agent;
use crate::batch::cleanup::{self, KillScope, Returned};
use crate::batch::error::HelperError;
use crate::batch::handover::{Handover, Way};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, Retries};

/// For bringing the files back.
const RETRIES: Retries = Retries { max: 3, min_delay: 1 };

/// A sandbox whose payload has ended, with all its processes.
pub(in crate::batch) struct WayBack<'a> {
    pub(in crate::batch) spec: &'a PayloadSpec,
    pub(in crate::batch) sandbox: &'a Sandbox,
    pub(in crate::batch) switcher: &'a Switcher,
    pub(in crate::batch) halt: &'a Halt,
    /// Gets what a call has used that ends when the sandbox is back.
    pub(in crate::batch) usage: &'a Cell<Option<Usage>>,
}

impl WayBack<'_> {
    /// Brings the files back, and to the output. `one_call` is the call that takes the sandbox
    /// back, if it does; `kept` is the agent that has handed it over, if it still serves it.
    pub(in crate::batch) fn bring_back(
        &self,
        one_call: Option<OneCall>,
        mut kept: Option<Agent>,
        step_log: &mut StepLog<'_>,
    ) -> Result<()> {
        let WayBack { spec, sandbox, switcher, halt, .. } = *self;
        // No other user may enter a directory that this process has locked.
        let policy =
            cleanup::Policy { links: spec.links, kills: KillScope::Nothing, closes_top: true };
        let copying = switcher.clone().with_halt(halt.clone()).with_handover(Handover::Copy);
        let (mut returned, mut totals) = (Returned::Files, None);
        let is_copied = one_call.is_none();
        let other = || output::on_other_file_system(sandbox, spec.output.as_deref());
        let mut directly = None;
        if is_copied {
            directly = other().map_err(|error| self.with_advice(error))?;
        }
        if directly.is_none() {
            let cleaned = step_log.step("cleanup", |report| {
                let reason = match one_call {
                    Some(one_call) => match self.take_back(one_call, report)? {
                        None => {
                            totals = report.moved.map(|(totals, _)| totals);
                            return Ok(());
                        }
                        reason => reason,
                    },
                    None => None,
                };
                directly = if is_copied { None } else { other()? };
                if directly.is_none() {
                    returned =
                        cleanup::cleanup(kept.take(), sandbox, &copying, RETRIES, policy, report)?;
                    returned.require_files(sandbox)?;
                    report_losses(report);
                    totals = report.moved.map(|(totals, _)| totals);
                }
                report.way = Some(Way::Copy { reason });
                Ok::<_, HelperError>(())
            });
            if let Err(HelperError { error, .. }) = cleaned {
                return Err(match returned {
                    Returned::Files => self.with_advice(error),
                    Returned::ProxyOnly => error.and_then(make::remove(sandbox)),
                });
            }
        }
        if let Some(path) = directly {
            let brought = step_log.step("output", |report| {
                output::bring_to(path, kept.take(), sandbox, &copying, RETRIES, policy, report)
                    .inspect(|()| report_losses(report))
            });
            return brought.map_err(|failure| self.with_advice(failure.error));
        }
        self.deliver(totals, step_log)
    }

    /// Takes the sandbox back. Returns why it has to be copied, if it has to be.
    fn take_back(&self, one_call: OneCall, report: &mut Report<'_>) -> Result<Option<String>> {
        let WayBack { spec, sandbox, switcher, halt, usage } = *self;
        match one_call::take_back(one_call, sandbox, switcher, spec.links, halt, usage)? {
            Back::Taken(changed) => {
                report.moved = Some((changed.totals, changed.dropped));
                report.left = changed.removed_links;
                report.way = Some(Way::Own { copied: changed.copied });
                report_losses(report);
                Ok(None)
            }
            Back::Left(reason) => Ok(Some(reason)),
        }
    }

    /// Brings the files of a sandbox that is back to the output.
    fn deliver(&self, totals: Option<Totals>, step_log: &mut StepLog<'_>) -> Result<()> {
        let WayBack { spec, sandbox, halt, .. } = *self;
        match &spec.output {
            Some(path) => {
                let deliver = |report: &mut Report<'_>| {
                    output::deliver(sandbox, path, Some(halt.clone()), report)
                };
                let delivered = step_log.transfer_step("output", totals, deliver);
                delivered.map_err(|error| self.with_advice(error))
            }
            None if spec.keeps_sandbox => make::remove_credentials(sandbox),
            None => make::remove(sandbox),
        }
    }

    fn with_advice(&self, error: Error) -> Error {
        let why = format!("to try again: {}", output::advice(self.sandbox));
        error.and_then(Err(Error::refused(self.sandbox.path(), why)))
    }
}

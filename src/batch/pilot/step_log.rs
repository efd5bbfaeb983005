//! What is reported about the steps of a pilot's operation: their progress, and their end.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::Totals;

use crate::batch::Report;

/// Prints a line while a step is under way.
pub type UrgentNotice = Arc<dyn Fn(&str) + Send + Sync>;

/// AgentCall with what a transfer has copied until then.
pub type ProgressCallback = Box<dyn FnMut(&Totals)>;

/// AgentCall with a step that has ended: its name, its report, its duration, and its error.
pub type StepCallback<'a> = dyn FnMut(&'static str, &Report<'_>, Duration, Option<String>) + 'a;

/// Where the steps of an operation are reported.
pub struct StepLog<'a> {
    /// The sandbox.
    pub sandbox: PathBuf,
    /// The id of the sandbox in the log, once it has one.
    pub log_id: Option<String>,
    /// Gets each line for the caller that is not an error.
    pub notice: &'a mut dyn FnMut(&str),
    /// Gets a line for the caller while a step is under way.
    pub urgent: UrgentNotice,
    /// Makes the progress callback for the step of this name, which copies so much, if that is
    /// known.
    pub progress: &'a mut dyn FnMut(&'static str, Option<Totals>) -> ProgressCallback,
    /// Gets each step that has ended.
    pub step_ended: &'a mut StepCallback<'a>,
}

impl StepLog<'_> {
    /// Does a step, and reports it.
    pub fn step<T, E: Display>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Report<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transfer_step(name, None, work)
    }

    /// As [`StepLog::step`], for a transfer of so much.
    pub fn transfer_step<T, E: Display>(
        &mut self,
        name: &'static str,
        totals: Option<Totals>,
        work: impl FnOnce(&mut Report<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let mut report = Report::new(self.notice);
        report.about.clone_from(&self.sandbox);
        report.log_id.clone_from(&self.log_id);
        report.progress = (self.progress)(name, totals);
        let done = work(&mut report);
        // The end of the callback removes its line from the terminal.
        report.progress = Box::new(|_| ());
        self.log_id = self.log_id.take().or_else(|| report.log_id.take());
        report.log_id.clone_from(&self.log_id);
        let error = done.as_ref().err().map(ToString::to_string);
        (self.step_ended)(name, &report, started.elapsed(), error);
        done
    }

    /// Reports a step that contained other steps: its duration, the payload's exit status if it
    /// ran, and the error.
    pub fn report_step(
        &mut self,
        name: &'static str,
        took: Duration,
        payload: Option<i32>,
        error: Option<String>,
    ) {
        let mut report = Report::new(self.notice);
        report.about.clone_from(&self.sandbox);
        report.log_id.clone_from(&self.log_id);
        report.payload = payload;
        (self.step_ended)(name, &report, took, error);
    }
}

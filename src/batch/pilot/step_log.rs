//! What a pilot's steps tell: of their progress, and of their end.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wire::Totals;

use super::interrupt::Urgent;
use crate::batch::Report;

/// Who is called with what a transfer has moved so far.
pub type Progress = Box<dyn FnMut(&Totals)>;

/// Who is told of a step that has ended: its name, what it has done, how long it took, and why it
/// failed.
pub type Note<'a> = dyn FnMut(&'static str, &Report<'_>, Duration, Option<String>) + 'a;

/// Where it is told.
pub struct StepLog<'a> {
    /// The sandbox.
    pub sandbox: PathBuf,
    /// The name under which the log follows it, once it has one.
    pub request: Option<String>,
    /// Gets each line for the caller that is no failure.
    pub notice: &'a mut dyn FnMut(&str),
    /// Gets a line for the caller while a step is under way.
    pub urgent: Urgent,
    /// Gives who is told of the progress of the step of this name, that moves so much in all if
    /// that is known.
    pub progress: &'a mut dyn FnMut(&'static str, Option<Totals>) -> Progress,
    /// Gets each step that has ended.
    pub note: &'a mut Note<'a>,
}

impl StepLog<'_> {
    /// Takes a step, and tells of it.
    pub fn step<T, E: Display>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Report<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.step_of(name, None, work)
    }

    /// As [`StepLog::step`], for a transfer of so much.
    pub fn step_of<T, E: Display>(
        &mut self,
        name: &'static str,
        totals: Option<Totals>,
        work: impl FnOnce(&mut Report<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let mut report = Report::new(self.notice);
        report.about.clone_from(&self.sandbox);
        report.request.clone_from(&self.request);
        report.progress = (self.progress)(name, totals);
        let done = work(&mut report);
        report.progress = Box::new(|_| ());
        self.request = report.request.take().or_else(|| self.request.take());
        report.request.clone_from(&self.request);
        (self.note)(name, &report, started.elapsed(), done.as_ref().err().map(ToString::to_string));
        done
    }

    /// Tells of a step that had others within: how long it took, what the payload ended with if it
    /// ran, and why it failed.
    pub fn tell(
        &mut self,
        name: &'static str,
        took: Duration,
        payload: Option<i32>,
        error: Option<String>,
    ) {
        let mut report = Report::new(self.notice);
        report.about.clone_from(&self.sandbox);
        report.request.clone_from(&self.request);
        report.payload = payload;
        (self.note)(name, &report, took, error);
    }
}

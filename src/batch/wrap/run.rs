//! The sequence of one call of the wrapper.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use ::world::Spec;
use error::{Context as _, Error, Result};
use sys::signal::{self, Signals};
use sys::spawn::Inherited;
use sys::wait::End;
use wire::Halt;

use super::environment::{self, Paths};
use super::scratch::{Scratch, directory_for};
use super::settings::Settings;
use super::slot::{self, Locked, Slot};
use super::streams::Opened;
use super::{entries, marker, sweep, world};
use crate::batch::credential::{DUMMY_CREDENTIAL, read_private_credential_at};
use crate::batch::pilot::CREDENTIAL;
use crate::batch::pilot::interrupt::Interrupt;
use crate::batch::pilot::limits::{Exceeded, Limits};
use crate::batch::pilot::run::Outcome;
use crate::batch::pilot::run_payload::PayloadRun;
use crate::batch::pilot::set_up::{HandedOver, set_up};
use crate::batch::pilot::signals::StopReason;
use crate::batch::pilot::spec::PayloadSpec;
use crate::batch::pilot::step_log::StepLog;
use crate::batch::pilot::way_back::WayBack;
use crate::batch::sandbox::Sandbox;

/// The signals that are forwarded to a job: all that a job's ClassAd can ask for (KillSig,
/// RemoveKillSig, HoldKillSig) and a process can catch.
const SIGNALS: [i32; 20] =
    [1, 2, 3, 10, 12, 14, 15, 16, 18, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31];

/// A call of the wrapper.
#[derive(Debug)]
pub struct Order {
    /// The settings.
    pub settings: Settings,
    /// The scratch directory.
    pub scratch: Scratch,
    /// The job's environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The job's program and arguments.
    pub command: Vec<OsString>,
    /// What the job inherits from the starter.
    pub inherited: Inherited,
}

/// How a call has ended.
#[derive(Debug)]
pub enum Ended {
    /// The job has ended so; its files are in the scratch directory.
    Job(End),
    /// The job could not be executed, by its own fault. The files are as before.
    NotExecuted(Error),
    /// The job of this scratch directory runs already. Nothing was done.
    Refused(Error),
    /// A signal came before the job began. The files are as before.
    Stopped(i32),
    /// The node failed before the job began.
    NotBegun(Error),
    /// The job has ended, and not all its files are in the scratch directory.
    FilesMissing(Error),
}

impl Order {
    /// The directory of the slot directories.
    pub fn directory(&self) -> Result<PathBuf> {
        directory(&self.settings, &self.scratch)
    }
}

/// The directory of the slot directories.
pub fn directory(settings: &Settings, scratch: &Scratch) -> Result<PathBuf> {
    match &settings.directory {
        Some(directory) => Ok(directory.clone()),
        None => directory_for(scratch.execute()?),
    }
}

/// Runs a job. This process must have one thread.
pub fn run(order: &Order, step_log: &mut StepLog<'_>) -> Ended {
    let signals = match Signals::block(&SIGNALS).at("wait for signals for", &order.scratch.path) {
        Ok(signals) => signals,
        Err(error) => return Ended::NotBegun(error),
    };
    let interrupt = Interrupt::new(signals);
    let mut job = match Job::prepare(order, &interrupt, step_log) {
        Ok(Prepared::Ready(job)) => job,
        Ok(Prepared::Runs(error)) => return Ended::Refused(error),
        Err(error) => return stopped(&interrupt).unwrap_or(Ended::NotBegun(error)),
    };
    let ended = job.run(&interrupt, step_log);
    let back = job.finish();
    match (ended, back) {
        (ended, Ok(())) => ended,
        (Ended::NotBegun(error), Err(other)) => Ended::NotBegun(error.and_then(Err(other))),
        (Ended::FilesMissing(error), Err(_)) => Ended::FilesMissing(error),
        (Ended::Job(_), Err(error)) => Ended::FilesMissing(error),
        (Ended::NotExecuted(_) | Ended::Refused(_) | Ended::Stopped(_), Err(error)) => {
            Ended::NotBegun(error)
        }
    }
}

/// The end of a call that a signal has asked for, if one has.
fn stopped(interrupt: &Interrupt) -> Option<Ended> {
    match interrupt.stop_reason()? {
        StopReason::Signal(number) => Some(Ended::Stopped(number)),
        StopReason::Timeout | StopReason::Limit(_) => Some(Ended::Stopped(signal::SIGTERM)),
    }
}

/// What the preparation of a job has found.
enum Prepared<'a> {
    /// It can run.
    Ready(Box<Job<'a>>),
    /// It runs already, and why it is not run again.
    Runs(Error),
}

/// A job whose files are in the sandbox.
struct Job<'a> {
    order: &'a Order,
    directory: PathBuf,
    slot: Slot,
    sandbox: Sandbox,
    spec: PayloadSpec,
}

impl<'a> Job<'a> {
    /// Locks the slot, makes the sandbox, and moves the job's files there. After an error they are
    /// in the scratch directory.
    fn prepare(
        order: &'a Order,
        interrupt: &Arc<Interrupt>,
        step_log: &mut StepLog<'_>,
    ) -> Result<Prepared<'a>> {
        let Order { settings, scratch, variables, command, inherited } = order;
        let directory = order.directory()?;
        let name = slot::name_of(scratch, environment::value(variables, "_CONDOR_SLOT"))?;
        let note = slot::note_of(scratch)?;
        let mut slot = match Slot::lock(&directory, &name)? {
            Locked::Here(slot) => slot,
            Locked::Elsewhere(other) if other == note => {
                let why = "its job runs already: a second call for it, as that of \
                           condor_ssh_to_job, is not possible";
                return Ok(Prepared::Runs(Error::refused(&scratch.path, why)));
            }
            Locked::Elsewhere(_) => {
                let why = "another job runs in this slot: startds that share a directory need \
                           different 'directory' settings";
                return Err(Error::refused(directory.join(name), why));
            }
        };
        sweep::clear(settings, &mut slot, Some(scratch), step_log)?;
        slot.set_foreign_aside()?;
        slot.set_note(&note)?;
        let path = slot.sandbox();
        let world = world::of(settings, scratch, &path)?;
        let paths = match &world {
            // The paths are as they were.
            Some(_) => Paths { from: &[], to: scratch.named() },
            None => Paths { from: &scratch.names, to: &path },
        };
        let chained = settings.wrapper.iter().map(|wrapper| wrapper.clone().into_os_string());
        let spec = PayloadSpec {
            glexec: world.as_ref().map_or_else(
                || settings.glexec.clone(),
                |world| Some(world.program.clone().into_os_string()),
            ),
            idle_timeout: settings.idle_timeout,
            sandbox: path.clone(),
            credential: match &settings.credential {
                Some(path) => read_private_credential_at(path)?,
                None => DUMMY_CREDENTIAL.to_vec(),
            },
            proxy: None,
            input: None,
            output: None,
            keeps_sandbox: true,
            handover: world.as_ref().map_or(settings.handover, |world| world.handover),
            links: settings.links,
            environment: environment::variables(&scratch.with_chirp(variables), &paths),
            inherited: *inherited,
            session_scripts: None,
            renewed: Some(scratch.renewed()?),
            is_below_starter: true,
            sandbox_at: world.is_some().then(|| scratch.path.clone()),
            world: Some(world.map_or(Spec::Shared, |world| world.spec)),
            timeout: None,
            limits: Limits {
                disk: settings.disk.and_then(|limit| scratch.disk_limit(limit)),
                ..Limits::default()
            },
            grace: 0,
            command: chained.chain(environment::arguments(command, &paths)).collect(),
        };
        let sandbox = Sandbox::find(&path, CREDENTIAL.as_ref())?;
        let job = Job { order, directory, slot, sandbox, spec };
        match job.fill(interrupt) {
            Ok(()) => Ok(Prepared::Ready(Box::new(job))),
            Err(error) => Err(error.and_then(job.finish())),
        }
    }

    fn fill(&self, interrupt: &Arc<Interrupt>) -> Result<()> {
        let Job { order, sandbox, spec, .. } = self;
        entries::to_sandbox(&order.scratch, sandbox, &spec.credential, interrupt.halt())
    }

    /// Hands the sandbox over, runs the job, and takes the sandbox back.
    fn run(&mut self, interrupt: &Arc<Interrupt>, step_log: &mut StepLog<'_>) -> Ended {
        let Job { order, directory, slot, sandbox, spec } = self;
        step_log.log_id = sandbox.log_id();
        let _lock = match sandbox.lock() {
            Ok(lock) => lock,
            Err(error) => return Ended::NotBegun(error),
        };
        if let Some(stopped) = stopped(interrupt) {
            return stopped;
        }
        let HandedOver { switcher, mut one_call, mut kept, plan } =
            match set_up(spec, sandbox, None, interrupt, step_log) {
                Ok(handed_over) => handed_over,
                Err(error) => return stopped(interrupt).unwrap_or(Ended::NotBegun(error)),
            };
        let outcome = match stopped(interrupt) {
            Some(_) => Outcome::default(),
            None => {
                let streams = Opened::to_owner_of(sandbox, slot);
                let run = PayloadRun {
                    spec,
                    sandbox,
                    switcher: &switcher,
                    plan: &plan,
                    signals: &interrupt.signals,
                };
                let outcome = run.run(one_call.as_mut(), &mut kept, step_log, Outcome::default());
                streams.close();
                outcome
            }
        };
        if let Some(StopReason::Limit(Exceeded { value, .. })) = outcome.stop_reason {
            // This stream is the job's.
            command::say(
                super::NAME,
                format_args!("the job is ended: its files exceed {value} bytes ('disk')"),
            );
        }
        let ended = match (outcome.end, outcome.failures.into_iter().next()) {
            (Some(end), None) => Ended::Job(end),
            (_, Some(failure)) if outcome.has_begun => Ended::FilesMissing(failure.error),
            (_, Some(failure)) if matches!(failure.error, Error::Told { .. }) => {
                Ended::NotExecuted(failure.error)
            }
            (_, Some(failure)) => Ended::NotBegun(failure.error),
            (None, None) if outcome.payload.is_some() => Ended::Job(End::Killed(signal::SIGKILL)),
            (None, None) => stopped(interrupt).unwrap_or(Ended::Stopped(signal::SIGTERM)),
        };
        if matches!(ended, Ended::Job(_)) {
            let _ = marker::clear(directory);
        }
        if order.settings.has_account_per_slot && one_call.is_none() {
            // The agent that stayed would be ended as well.
            if let Some(agent) = kept.take() {
                agent.close();
            }
            sweep::end_account(&switcher, sandbox, step_log);
        }
        // A starter that cannot wait kills this process; then a sweep goes on.
        let halt = Halt::when(|| false);
        // HTCondor measures its job itself.
        let usage = Cell::new(None);
        let way_back = WayBack { spec, sandbox, switcher: &switcher, halt: &halt, usage: &usage };
        match (way_back.bring_back(one_call, kept, step_log), ended) {
            (Ok(()), ended) => ended,
            (Err(error), Ended::NotBegun(first)) => Ended::NotBegun(first.and_then(Err(error))),
            (Err(error), _) => Ended::FilesMissing(error),
        }
    }

    /// Moves the files back to the scratch directory, and removes the sandbox. If it is not this
    /// user's, it stays.
    fn finish(mut self) -> Result<()> {
        entries::to_scratch(&self.order.scratch, &self.sandbox)?;
        self.slot.set_note(b"")
    }
}

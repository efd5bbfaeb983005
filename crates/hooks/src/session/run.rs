//! The scripts of one event.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::time::Duration;

use error::Shown;
use sys::wait::End;

use super::changes::Changes;
use super::name::Mode;
use super::plan::{self, Of, Planned};
use super::registry::Entry;
use super::{Event, Facts, Outcome, Setup, background};
use crate::report::{self, Report};
use crate::script::Script;
use crate::trust::Owners;

/// How much a script may print.
const LONGEST_OUTPUT: usize = 64 << 10;

/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// What the scripts of an event need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) facts: &'a Facts,
    pub(crate) entry: &'a Entry,
    /// Scripts in the background end at the end of this pipe; none: after the timeout.
    pub(crate) stop: Option<BorrowedFd<'a>>,
    /// Where those in the background write lines for the log.
    pub(crate) told: &'a File,
}

/// A script with all that it is told.
#[derive(Debug)]
pub(crate) struct Ready {
    planned: Planned,
    event: Event,
    outcome: Option<Outcome>,
}

impl Run<'_> {
    fn owners(&self) -> Owners<'_> {
        Owners { users: &self.setup.trusted, groups: &[] }
    }

    fn plan(&self, event: Event) -> plan::Plan {
        plan::read(&self.setup.directories, event, &self.owners())
    }

    /// The scripts of the begin: those that are waited for have ended when this returns, and the
    /// list was started. The error is one line: a script failed that counts.
    pub(crate) fn added(&self, notes: &mut Vec<String>) -> Result<Changes, String> {
        let plan = self.plan(Event::Added);
        notes.extend(plan.passed_over);
        let mut changes = Changes::default();
        if plan.scripts.is_empty() {
            return Ok(changes);
        }
        let keys: Vec<String> = plan.scripts.iter().map(key).collect();
        self.entry.append("planned", &keys).map_err(|error| error.to_string())?;
        self.make_info();
        let mut list = Vec::new();
        for planned in plan.scripts {
            let ready = Ready { planned, event: Event::Added, outcome: None };
            match ready.planned.kind {
                Of::Own(Mode::Listed) => list.push(ready),
                Of::Own(Mode::Detached) => self.detach(ready, notes),
                _ => {
                    if let Some(why) = self.wait_for(&ready, &mut changes, notes) {
                        if self.setup.refuses && ready.planned.kind != Of::ConsoleKit {
                            return Err(why);
                        }
                        notes.push(why);
                    }
                }
            }
        }
        let mut info = Vec::new();
        if let Ok(file) = File::open(self.entry.info()) {
            let _ = file.take(LONGEST_OUTPUT as u64).read_to_end(&mut info);
        }
        changes.read_info(&info);
        if !list.is_empty() {
            if let Err(cause) = self.in_background(|| self.one_by_one(&list)) {
                notes.push(cannot_start(&cause));
            }
        }
        Ok(changes)
    }

    /// The scripts of the end: those that are waited for have ended when this returns. Returns the
    /// list of those that are to run one by one, and whether others run in the background.
    ///
    /// A script whose counterpart for the begin was there, and did not run, does not run.
    pub(crate) fn removed(&self, outcome: Outcome, notes: &mut Vec<String>) -> (Vec<Ready>, bool) {
        let (planned, started) = (self.entry.lines("planned"), self.entry.lines("started"));
        let plan = self.plan(Event::Removed);
        notes.extend(plan.passed_over);
        let (mut list, mut is_detached) = (Vec::new(), false);
        let has_to_run = |script: &Planned| {
            let key = key(script);
            !planned.contains(&key) || started.contains(&key)
        };
        for planned in plan.scripts.into_iter().filter(has_to_run) {
            let ready = Ready { planned, event: Event::Removed, outcome: Some(outcome) };
            match ready.planned.kind {
                Of::Own(Mode::Listed) => list.push(ready),
                Of::Own(Mode::Detached) => {
                    is_detached = true;
                    self.detach(ready, notes);
                }
                _ => {
                    let why = self.wait_for(&ready, &mut Changes::default(), notes);
                    notes.extend(why);
                }
            }
        }
        (list, is_detached)
    }

    /// The scripts of a change, one after the other, in the background, after those of the change
    /// that tells `before`. Returns whether there are any.
    pub(crate) fn changed(&self, is_active: bool, before: Option<&File>) -> bool {
        let event = Event::Changed { is_active };
        let ready = |planned| Ready { planned, event, outcome: None };
        let list: Vec<Ready> = self.plan(event).scripts.into_iter().map(ready).collect();
        if list.is_empty() {
            return false;
        }
        let mut keep = vec![self.entry.lock.as_fd(), self.told.as_fd()];
        keep.extend(before.map(File::as_fd));
        let started = background::start(&keep, || {
            for line in before.map(super::lines).unwrap_or_default() {
                self.tell(Some(line));
            }
            self.one_by_one(&list);
        });
        started.is_ok()
    }

    /// In the background: runs a list, waits for the other processes there, and removes the session
    /// from the registry.
    pub(crate) fn last(&self, list: &[Ready], others: &File) -> sys::Result<()> {
        let keep = [self.entry.lock.as_fd(), others.as_fd()];
        background::start(&keep, || {
            self.one_by_one(list);
            super::lines(others);
            self.entry.remove();
        })
    }

    /// Runs scripts one after the other.
    pub(crate) fn one_by_one(&self, list: &[Ready]) {
        for ready in list {
            if self.stop.is_some_and(background::is_over) {
                break;
            }
            self.tell(self.run(ready));
        }
    }

    /// Starts a script that is not waited for.
    fn detach(&self, ready: Ready, notes: &mut Vec<String>) {
        let started = self.in_background(|| self.tell(self.run(&ready)));
        notes.extend(started.err().map(|cause| cannot_start(&cause)));
    }

    fn in_background(&self, work: impl FnOnce()) -> sys::Result<()> {
        let mut keep = vec![self.entry.lock.as_fd(), self.told.as_fd()];
        keep.extend(self.stop);
        background::start(&keep, work)
    }

    /// Runs a script in the background; the line says what went wrong.
    fn run(&self, ready: &Ready) -> Option<String> {
        let limit = if self.stop.is_some() { Duration::MAX } else { self.setup.timeout };
        let (report, was_stopped) = match self.execute(ready, limit, self.stop, None) {
            Ok(report) => (report, self.stop.is_some_and(background::is_over)),
            Err(why) => return Some(line(ready, &why)),
        };
        why_failed(ready, &report, limit).filter(|_| !was_stopped).map(|why| line(ready, &why))
    }

    /// Writes a line for the log. A reader that is slow does not hold up the scripts for long: the
    /// lines are few, and a pipe has room for them.
    fn tell(&self, line: Option<String>) {
        if let Some(line) = line {
            let mut told = self.told;
            let _ = told.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Runs a script, and waits for it. Returns why it has failed.
    fn wait_for(
        &self,
        ready: &Ready,
        changes: &mut Changes,
        notes: &mut Vec<String>,
    ) -> Option<String> {
        let reads = matches!(ready.planned.kind, Of::Own(_)) && ready.event == Event::Added;
        let output = reads.then_some(LONGEST_OUTPUT);
        let report = match self.execute(ready, self.setup.timeout, None, output) {
            Ok(report) => report,
            Err(why) => return Some(line(ready, &why)),
        };
        let why = why_failed(ready, &report, self.setup.timeout);
        if why.is_none() {
            notes.extend(changes.read(&report.output).iter().map(|why| line(ready, why)));
        }
        why.map(|why| line(ready, &why))
    }

    fn execute(
        &self,
        ready: &Ready,
        limit: Duration,
        stop: Option<BorrowedFd<'_>>,
        output: Option<usize>,
    ) -> Result<Report, String> {
        let Ready { planned, event, outcome } = ready;
        if *event == Event::Added {
            let key = [key(planned)];
            self.entry.append("started", &key).map_err(|error| error.to_string())?;
        }
        let info = self.entry.info();
        let environment = self.facts.environment(*event, *outcome, planned.kind, info.as_os_str());
        let argument = [event.argument().to_owned()];
        let arguments: &[CString] = if planned.kind == Of::PamScript { &[] } else { &argument };
        let script = Script {
            path: &planned.path,
            arguments,
            owners: self.owners(),
            identity: self.setup.identity,
            environment: &environment,
            short_environment: &environment,
            limit,
            grace: GRACE,
            output,
            stop,
            held: Some(self.entry.lock.as_fd()),
        };
        script.run().map_err(|error| error.to_string())
    }

    /// Makes the file that pam_script's scripts can write to. Without it, they still run.
    fn make_info(&self) {
        let path = self.entry.info();
        let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
        if let (Ok(_), Some((user, group))) = (made, self.setup.identity) {
            let _ = chown(&path, Some(user.as_raw()), Some(group.as_raw()));
        }
    }
}

/// What the scripts of one purpose have in common: conventions and name.
fn key(script: &Planned) -> String {
    let convention = match script.kind {
        Of::Own(_) => "own",
        Of::ConsoleKit => "ConsoleKit",
        Of::PamScript => "pam_script",
    };
    format!("{convention} {}", script.key)
}

fn line(ready: &Ready, why: &str) -> String {
    let path = Shown::os(&ready.planned.shown).to_string();
    match why.starts_with(&path) {
        true => format!("session script {why}"),
        false => format!("session script {path}: {why}"),
    }
}

fn cannot_start(cause: &sys::Errno) -> String {
    format!("session scripts: cannot start a process for a script: {cause}")
}

/// Why a script has failed; none if it has not. The status of ConsoleKit's is ignored.
fn why_failed(ready: &Ready, report: &Report, limit: Duration) -> Option<String> {
    match &report.outcome {
        report::Outcome::Ended(End::Exited(0)) if report.is_cut => Some(format!(
            "it has printed more than {} KiB: nothing of that is used",
            LONGEST_OUTPUT >> 10
        )),
        report::Outcome::Ended(End::Exited(0)) => None,
        report::Outcome::Ended(End::Exited(_)) if ready.planned.kind == Of::ConsoleKit => None,
        report::Outcome::Ended(End::Exited(status)) => Some(format!("it exited {status}")),
        report::Outcome::Ended(End::Killed(number)) => {
            Some(format!("signal {} killed it", sys::signal::name(*number)))
        }
        report::Outcome::TimedOut => Some(format!(
            "it was ended after {} s (session_script_timeout): make it quicker, or raise the limit",
            limit.as_secs_f64()
        )),
        report::Outcome::NotRun(why) => Some(format!("it did not run: {why}")),
    }
}

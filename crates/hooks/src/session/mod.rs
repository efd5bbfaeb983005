//! Session scripts: directories of scripts that run when a payload begins and when it ends.
//!
//! - `plan`: which scripts there are, by `name` and trust, and in which order;
//! - `facts`: what they are told;
//! - [`changes`]: what they say about the payload's environment;
//! - `run`: one script, and what its failure means;
//! - `background`: processes that are not waited for;
//! - `registry`: what sessions there are, and what a killed call has left.
//!
//! [`Session::begin`] and [`Session::end`] are around a payload, [`sweep`] is before it.

mod background;
pub mod changes;
mod facts;
mod name;
mod plan;
mod registry;
mod run;

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use error::{Context as _, Result};
use sys::{Gid, Uid, fd};

use self::changes::Changes;
pub use self::facts::{Facts, Outcome, command_line, new_id, now};
pub use self::registry::list;
use self::registry::{Entry, Registry};
use self::run::Run;
use crate::trust::Owners;

/// What scripts run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A payload begins.
    Added,
    /// A payload is suspended, or continued.
    Changed {
        /// Whether it runs now.
        is_active: bool,
    },
    /// A payload has ended.
    Removed,
}

impl Event {
    /// One of each kind.
    pub const ALL: [Event; 3] = [Event::Added, Event::Changed { is_active: true }, Event::Removed];

    /// The name of the directory of its scripts.
    pub fn directory(self) -> &'static str {
        match self {
            Event::Added => "added",
            Event::Changed { .. } => "changed",
            Event::Removed => "removed",
        }
    }

    /// The argument of its scripts, which is ConsoleKit's.
    fn argument(self) -> &'static std::ffi::CStr {
        match self {
            Event::Added => c"session_added",
            Event::Changed { .. } => c"session_active_changed",
            Event::Removed => c"session_removed",
        }
    }

    /// The name of pam_script's script.
    pub(crate) fn pam_script(self) -> Option<&'static str> {
        match self {
            Event::Added => Some("onsessionopen"),
            Event::Changed { .. } => None,
            Event::Removed => Some("onsessionclose"),
        }
    }

    /// Whether the payload runs afterwards (CK_SESSION_IS_ACTIVE).
    fn is_active(self) -> bool {
        match self {
            Event::Added => true,
            Event::Changed { is_active } => is_active,
            Event::Removed => false,
        }
    }
}

/// Which scripts run, and how.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The directories; a script of an earlier one hides those with its name in later ones.
    pub directories: Vec<PathBuf>,
    /// The users who may own and change scripts, beside root.
    pub trusted: Vec<Uid>,
    /// The user and group that they run as; none: as this process.
    pub identity: Option<(Uid, Gid)>,
    /// How long a script that is waited for may run, and one after the payload.
    pub timeout: Duration,
    /// Whether the payload is not started if a script fails that is waited for before it.
    pub refuses: bool,
    /// The directory of the registry. Only root, or the user of this process, may write to it.
    pub registry: PathBuf,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Session {
    setup: Setup,
    facts: Facts,
    entry: Entry,
    /// When it is closed, the processes in the background end.
    stop: Option<File>,
    /// What these tell; it ends when they have ended.
    told: File,
    /// What the scripts of the last change tell.
    changing: Option<File>,
}

/// A script before the payload has failed: the payload is not to be started.
#[derive(Debug)]
pub struct Failed {
    /// One line.
    pub why: String,
}

/// Runs the scripts `removed` of sessions whose calls were killed, and removes their entries.
/// Returns lines for the log. To be called before each payload; it waits for all these scripts.
pub fn sweep(setup: &Setup) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (entry, facts) in Registry::new(&setup.registry).claim()? {
        notes.push(format!(
            "session {} of {} was interrupted: its scripts run again",
            facts.id,
            error::Shown(&facts.user)
        ));
        let setup = Setup { directories: entry.directories(), ..setup.clone() };
        let (told, writer) = fd::pipe().at("make a pipe for", &setup.registry)?;
        let run = Run { setup: &setup, facts: &facts, entry: &entry, stop: None, told: &writer };
        let (list, _) = run.removed(Outcome::Again, &mut notes);
        run.one_by_one(&list);
        drop(writer);
        notes.extend(lines(told));
        entry.remove();
    }
    Ok(notes)
}

/// What would run for an event now: the paths of the scripts in their order, and a line for each
/// entry that is passed over. `trusted` are the users who may own scripts, beside root.
pub fn examine(
    directories: &[PathBuf],
    trusted: &[Uid],
    event: Event,
) -> (Vec<PathBuf>, Vec<String>) {
    let plan = plan::read(directories, event, &Owners { users: trusted, groups: &[] });
    (plan.scripts.into_iter().map(|script| script.shown).collect(), plan.passed_over)
}

/// Whether there is anything in these directories that could be a script. If there is not, a
/// payload needs no session: none is registered, and no process is made.
pub fn has_scripts(directories: &[PathBuf]) -> bool {
    plan::has_entries(directories)
}

impl Session {
    /// Registers the session, and runs the scripts of its begin. Adds lines for the log to `notes`.
    ///
    /// If one fails that counts, those for the end have run when this returns. What runs in the
    /// background goes on until [`Session::end`], or until this process has ended in any way.
    ///
    /// This process must have one thread, and not ignore SIGCHLD. A session that ends by a signal
    /// is one that [`sweep`] finds: signals should be blocked.
    pub fn begin(
        setup: Setup,
        facts: Facts,
        notes: &mut Vec<String>,
    ) -> Result<std::result::Result<(Session, Changes), Failed>> {
        let entry = Registry::new(&setup.registry).create(&facts, &setup.directories)?;
        let step = "make a pipe for the scripts of";
        let (stop_end, stop) = fd::pipe().at(step, &setup.registry)?;
        let (told, writer) = fd::pipe().at(step, &setup.registry)?;
        let run = Run {
            setup: &setup,
            facts: &facts,
            entry: &entry,
            stop: Some(stop_end.as_fd()),
            told: &writer,
        };
        let begun = run.added(notes);
        drop(writer);
        let session = Session { setup, facts, entry, stop: Some(stop), told, changing: None };
        match begun {
            Ok(changes) => Ok(Ok((session, changes))),
            Err(why) => {
                const INTERNAL: u8 = 202;
                session.end(Outcome::Refused(INTERNAL), notes);
                Ok(Err(Failed { why }))
            }
        }
    }

    /// Descriptors that this process must keep open until the end.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let optional = self.stop.iter().chain(&self.changing);
        [&self.entry.lock, &self.told].into_iter().chain(optional).map(File::as_fd).collect()
    }

    /// Runs the scripts of a payload that was suspended or continued, in the background, after
    /// those of the changes before.
    pub fn changed(&mut self, is_active: bool) {
        let Ok((told, writer)) = fd::pipe() else { return };
        if self.run(&writer).changed(is_active, self.changing.as_ref()) {
            self.changing = Some(told);
        }
    }

    /// Ends what runs in the background of the payload, and waits for that. [`Session::end`] does
    /// it too.
    pub fn payload_ended(&mut self, notes: &mut Vec<String>) {
        self.stop = None;
        notes.extend(lines(&self.told));
        notes.extend(self.changing.take().map(lines).unwrap_or_default());
    }

    /// Ends what runs in the background, and runs the scripts of the session's end. Those that are
    /// waited for have ended when this returns; the others go on, and the last of them removes the
    /// session from the registry. Adds lines for the log to `notes`.
    pub fn end(mut self, outcome: Outcome, notes: &mut Vec<String>) {
        self.payload_ended(notes);
        let Ok((told, writer)) = fd::pipe() else {
            return notes
                .push("session scripts: cannot make a pipe: the next call runs them".into());
        };
        let (list, is_detached) = self.run(&writer).removed(outcome, notes);
        if list.is_empty() && !is_detached {
            self.entry.remove();
        } else if let Err(cause) = self.run(&writer).last(&list, &told) {
            notes.push(format!("session scripts: cannot start a process: {cause}"));
        }
    }

    fn run<'a>(&'a self, told: &'a File) -> Run<'a> {
        Run { setup: &self.setup, facts: &self.facts, entry: &self.entry, stop: None, told }
    }
}

/// The lines that come from a pipe until its end.
fn lines(mut pipe: impl std::io::Read) -> Vec<String> {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

//! gLExec's epilogue: a program of the administrator's that runs after a payload.

use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::wait::End;
use sys::{Gid, Uid};

use crate::facts::Facts;
use crate::report;
use crate::script::Script;
use crate::trust::Owners;

/// The time between SIGTERM and SIGKILL. gLExec's page does not name one.
const GRACE: Duration = Duration::from_secs(5);

/// The exit statuses of a switcher itself: an epilogue that returns one of these could be mistaken
/// for it.
const OF_SWITCHER: std::ops::RangeInclusive<i32> = 201..=204;

/// gLExec's status for an internal error, and for a program whose status is one of the switcher's.
const INTERNAL: u8 = 202;
const AMBIGUOUS: u8 = 204;

/// An epilogue, as the configuration says (`epilogue`, `epilogue_user`, `epilogue_group`,
/// `epilogue_timeout`).
#[derive(Clone, Debug)]
pub struct Epilogue {
    /// Its canonical path.
    pub path: PathBuf,
    /// The user that it runs as, who may also own it and the directories of its path; root may in
    /// any case.
    pub user: Uid,
    /// The group that it runs as, whose members may also write to it; without one, it runs as group
    /// 0, and no group may.
    pub group: Option<Gid>,
    /// How long it may run.
    pub timeout: Duration,
}

/// What became of an epilogue. `Display` gives one line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    path: PathBuf,
    timeout: Duration,
    ended: report::Outcome,
    /// How many of the payload's arguments it was not told; none if it was told all.
    omitted: Option<usize>,
}

impl Epilogue {
    /// Whether it is trusted, as the user that it runs as sees it ([`Script::check`]). For the time
    /// before a payload, which is better not started if its epilogue cannot run.
    pub fn check(&self) -> error::Result<()> {
        self.script(&[], &[]).check()
    }

    /// Runs it after a payload, and waits until it, and all that it has started, has ended
    /// ([`Script::run`] says what this process must be for that).
    ///
    /// It has the payload's environment without what a loader or an interpreter obeys
    /// ([`crate::environment`]), and the variables of `facts`. If these are longer than the kernel
    /// takes, it has the variables of `facts` with the first arguments only. A payload's arguments
    /// must not keep it from running.
    pub fn run(&self, facts: &Facts) -> Outcome {
        let environment = facts.environment();
        let (short_environment, omitted) = facts.short_environment();
        let script = self.script(&environment, &short_environment);
        let report = script.run().unwrap_or_else(report::Report::not_run);
        Outcome {
            path: self.path.clone(),
            timeout: self.timeout,
            ended: report.outcome,
            omitted: report.is_short.then_some(omitted),
        }
    }

    fn script<'a>(
        &'a self,
        environment: &'a [CString],
        short_environment: &'a [CString],
    ) -> Script<'a> {
        Script {
            path: &self.path,
            arguments: &[],
            owners: Owners {
                users: std::slice::from_ref(&self.user),
                groups: self.group.as_slice(),
            },
            identity: Some((self.user, self.group.unwrap_or(Gid::from_raw(0)))),
            environment,
            short_environment,
            limit: self.timeout,
            grace: GRACE,
            output: None,
            stop: None,
            held: None,
        }
    }
}

impl Outcome {
    /// The status that the switcher ends with, in place of the payload's: 204 if the epilogue
    /// exited with 201 to 204; 202 if it failed in another way, timed out, or did not run. None if
    /// it succeeded.
    pub fn status(&self) -> Option<u8> {
        match self.ended {
            report::Outcome::Ended(End::Exited(0)) => None,
            report::Outcome::Ended(End::Exited(status)) if OF_SWITCHER.contains(&status) => {
                Some(AMBIGUOUS)
            }
            _ => Some(INTERNAL),
        }
    }

    /// Whether there is something to log: it failed, or was not told all arguments.
    pub fn is_noteworthy(&self) -> bool {
        self.status().is_some() || self.omitted.is_some()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = error::Shown::os(Path::new(&self.path));
        match &self.ended {
            report::Outcome::Ended(End::Exited(0)) => write!(f, "epilogue {path}: it succeeded")?,
            report::Outcome::Ended(End::Exited(status)) => {
                write!(f, "epilogue {path}: it exited {status}: see what it has logged")?;
            }
            report::Outcome::Ended(End::Killed(signal)) => {
                let name = sys::signal::name(*signal);
                write!(f, "epilogue {path}: signal {name} killed it: see what it has logged")?;
            }
            report::Outcome::TimedOut => write!(
                f,
                "epilogue {path}: it was ended after {} s (epilogue_timeout): make it quicker, or \
                 raise the limit",
                self.timeout.as_secs()
            )?,
            report::Outcome::NotRun(why) => write!(f, "epilogue {path}: it did not run: {why}")?,
        }
        match self.omitted {
            None => Ok(()),
            Some(count) => write!(
                f,
                "; its variables were longer than the kernel takes (E2BIG): it got none of the \
                 payload's environment, and {count} arguments were left out"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, End, Outcome, PathBuf, report};

    #[test]
    fn the_status_is_204_for_those_of_a_switcher_and_202_for_any_other_failure() {
        let status = |ended| {
            let path = PathBuf::from("/x");
            Outcome { path, timeout: Duration::ZERO, ended, omitted: None }.status()
        };
        let exited = |number| status(report::Outcome::Ended(End::Exited(number)));
        assert_eq!(exited(0), None);
        assert_eq!(
            [200, 201, 202, 203, 204, 205, 1].map(exited),
            [Some(202), Some(204), Some(204), Some(204), Some(204), Some(202), Some(202),]
        );
        assert_eq!(status(report::Outcome::Ended(End::Killed(9))), Some(202));
        assert_eq!(status(report::Outcome::TimedOut), Some(202));
        assert_eq!(status(report::Outcome::NotRun("why".into())), Some(202));
    }
}

//! A directory that a payload has while it runs: the guard gives it before the payload begins, and
//! takes it back when all processes of the payload have ended.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use command::program::Options;
use command::refusal::{Refusal, Result};
use sys::wait::End;
use sys::{Owner, inherited, signal};
use tree::Place;
use wire::Links;

use super::give::Giving;
use super::target::{Holder, Target};
use super::users::Users;
use super::{AGAIN, order, report, take, undo};

/// What to do when a tree is left half given: the payload has not begun. The same call would refuse
/// it if the top is the payload user's.
const UNDO: &str = "glexec --undo finishes it";

/// What a call with `--hand-over` asks for.
#[derive(Debug)]
pub struct HandOver {
    place: Place,
    links: Links,
    /// Gets the reports, a line each.
    report: File,
}

/// A directory that was given.
pub struct Given {
    users: Users,
    /// The mode that it had.
    mode: u32,
}

impl HandOver {
    /// The descriptor for the reports, which the caller has passed. To be called before other
    /// descriptors are opened.
    pub fn report(options: &Options) -> Result<File> {
        let Some(text) = options.get("report") else {
            return Err(Refusal::client("--hand-over needs --report, the number of a descriptor"));
        };
        let number = text.to_str().and_then(|text| text.parse().ok());
        number.and_then(|number| inherited::adopt(number).ok()).ok_or_else(|| {
            let shown = error::Shown::os(text);
            Refusal::client(format!("--report is not the number of an open descriptor: {shown}"))
        })
    }

    /// Reads the options. They are a usage error if they do not belong together.
    pub fn read(options: &Options, report: File) -> Result<HandOver> {
        order::operation(&options.given().collect::<Vec<_>>())?;
        Ok(HandOver {
            place: order::place("hand-over", options.get("hand-over").unwrap_or_default())?,
            links: options.get("links").map_or(Ok(Links::Copy), order::links)?,
            report,
        })
    }

    /// A usage error if this file is in the directory.
    pub fn check_outside(&self, file: &Path) -> Result<()> {
        order::check_outside(&self.place, file)
    }

    /// The descriptors that the guard needs.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.place.parent.as_fd(), self.report.as_fd()]
    }

    /// Gives the directory to the payload user, whose ids these are in the namespace of its lease,
    /// which this process is in. If that fails, it is as it was.
    pub fn give(&self, payload: Owner) -> Result<Given> {
        signal::ignore_sigxfsz();
        let users = Users::here(payload)?;
        // The lock of the lease excludes another call that changes this user's directories.
        tree::owner::sweep(&self.place, &users.ids);
        let target = Target::existing(&self.place, users)?;
        if target.holder()? != Holder::Caller {
            let why = "it is the payload user's already: take it back first (--take)";
            return Err(Refusal::client(format!("{}: {why}", target.shown())));
        }
        let giving = Giving {
            place: &self.place,
            to: None,
            mode: None,
            fill_from: None,
            confirm: false,
            top_limit: None,
            // The payload is what reaches it, or fails.
            has_to_be_reached: false,
            finished_by: UNDO,
            users,
        };
        let mode = giving.mode_before(&target)?;
        let line = giving.run(None)?;
        self.write(&line);
        Ok(Given { users, mode })
    }

    /// Takes the directory back as it was, since the payload could not be executed. Returns why,
    /// with the result.
    pub fn undo(&self, given: &Given, why: Refusal) -> Refusal {
        let undone = Target::existing(&self.place, given.users)
            .and_then(|target| undo::undo(&target, given.users, given.mode));
        match undone {
            Ok(_) => why,
            Err(then) => {
                let text = format!("{why}; and then: {then}; {UNDO}");
                Refusal::new(why.status, text)
            }
        }
    }

    /// Reports how the payload has ended, and how many processes it left, which were killed.
    pub fn report_end(&self, given: &Given, end: End, killed: usize) {
        self.write(&report::ended(&self.place, given.users, end, killed));
    }

    /// Takes the directory back, and reports it.
    pub fn take(&self, given: &Given) {
        let taken = take::take(&self.place, None, self.links, None, given.users);
        self.write(&taken.unwrap_or_else(|why| report::not_taken(&self.place, given.users, &why)));
    }

    /// Reports that the directory is not taken back, since processes of the payload's user are
    /// left.
    pub fn leave(&self, given: &Given) {
        let why = Refusal::internal(format!(
            "processes of the payload's user do not end; end them, and then {AGAIN} (--take)"
        ));
        self.write(&report::not_taken(&self.place, given.users, &why));
    }

    /// A reader that is gone changes nothing.
    fn write(&self, line: &str) {
        let _ = (&self.report).write_all(format!("{line}\n").as_bytes());
    }
}

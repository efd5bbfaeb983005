//! Giving a directory to the payload's user.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use command::refusal::{Refusal, Result};
use sys::signal::{self, SIGHUP, SIGINT, SIGTERM, Signals};
use sys::{Errno, Rename, fd};
use tree::Place;
use tree::owner::{self, Direction, Scan};

use super::target::{BEING_GIVEN, Holder, Target, check_free, check_top, path_of, unfit};
use super::worker::Users;
use super::{report, undo};

/// What is given.
pub(super) struct Giving<'a> {
    pub(super) place: &'a Place,
    pub(super) to: Option<&'a Place>,
    pub(super) mode: Option<u32>,
    pub(super) top_limit: Option<u64>,
    pub(super) users: Users,
}

impl Giving<'_> {
    /// Gives the directory. `confirm` asks the caller before the last step. A signal before the
    /// last step undoes all.
    pub(super) fn run(&self, confirm: bool, signals: Option<&Signals>) -> Result<String> {
        let Some(target) = Target::open(self.place, self.users)? else { return self.renamed() };
        if target.holder()? == Holder::Payload {
            return self.finish(&target);
        }
        if let Some(to) = self.to {
            check_free(to, &target)?;
        }
        let path = target.path();
        owner::check_leases(self.place, &self.users.ids).map_err(unfit)?;
        let before = self.mode_before(&target)?;
        let scan =
            owner::scan(target.again()?, &path, &self.users.ids, Direction::Give, &mut || ())
                .map_err(unfit)?;
        check_top(&target, &scan, self.top_limit)?;
        let given = self.give(&target, &scan, confirm, signals, self.mode.unwrap_or(before));
        match given {
            Ok(()) => Ok(report::given(self.new_place(), self.users, &scan)),
            Err(why) => Err(self.undo(&target, before, why)),
        }
    }

    /// The mode that the directory has. A directory that an earlier call was giving has lost it.
    fn mode_before(&self, target: &Target<'_>) -> Result<u32> {
        match target.stat()?.mode() {
            BEING_GIVEN => Ok(0o700),
            mode if mode & 0o7000 == 0 => Ok(mode),
            _ => {
                let why = "it is set-user-ID, set-group-ID or sticky";
                Err(Refusal::copy(format!("{}: {why}", target.shown())))
            }
        }
    }

    /// All steps that are undone if one of them fails.
    fn give(
        &self,
        target: &Target<'_>,
        scan: &Scan,
        confirm: bool,
        signals: Option<&Signals>,
        mode: u32,
    ) -> Result<()> {
        let (path, ids) = (target.path(), &self.users.ids);
        let failed = |error: error::Error| Refusal::internal(error.to_string());
        target.set(self.users.caller, BEING_GIVEN)?;
        owner::give(target.again()?, &path, ids, &mut || ()).map_err(failed)?;
        if confirm && !is_confirmed(scan, signals) {
            return Err(Refusal::internal("it was not confirmed"));
        }
        if signals.is_some() && [SIGHUP, SIGINT, SIGTERM].into_iter().any(signal::is_pending) {
            return Err(Refusal::internal("a signal arrived"));
        }
        owner::commit(&target.dir, &path, ids, mode).map_err(failed)?;
        match self.to {
            Some(to) => target.rename(to, Rename::NoReplace),
            None => Ok(()),
        }
    }

    /// Takes back what was given. Returns why, with the result.
    fn undo(&self, target: &Target<'_>, mode: u32, why: Refusal) -> Refusal {
        let undone = undo::undo(target, self.users, mode);
        let shown = target.shown();
        Refusal::internal(match undone {
            Ok(_) => format!("{shown}: {why}; it is as it was before"),
            Err(then) => format!("{shown}: {why}; and then: {then}; {}", super::AGAIN),
        })
    }

    /// An earlier call has given it, and may have been killed before its last steps.
    fn finish(&self, target: &Target<'_>) -> Result<String> {
        let is_committed = target.stat()?.mode() != BEING_GIVEN;
        if let Some(mode) = self.mode.or(if is_committed { None } else { Some(0o700) }) {
            target.set(self.users.payload, mode)?;
        }
        if let Some(to) = self.to {
            check_free(to, target)?;
            target.rename(to, Rename::NoReplace)?;
        }
        Ok(report::given(self.new_place(), self.users, &Scan::default()))
    }

    /// Nothing has the name: an earlier call may have renamed the directory.
    fn renamed(&self) -> Result<String> {
        let given = match self.to {
            Some(to) => Target::open(to, self.users)?,
            None => None,
        };
        match given.map(|given| given.holder()).transpose()? {
            Some(Holder::Payload) => {
                Ok(report::given(self.new_place(), self.users, &Scan::default()))
            }
            _ => Err(Refusal::client(format!("{}: it does not exist", path_of(self.place)))),
        }
    }

    /// Where the directory is in the end.
    fn new_place(&self) -> &Place {
        self.to.unwrap_or(self.place)
    }
}

/// Tells the caller that only the last step is left, and waits for its decision.
fn is_confirmed(scan: &Scan, signals: Option<&Signals>) -> bool {
    let (files, directories) = (scan.totals.files, scan.totals.directories);
    let line = format!("given {files} files and {directories} directories\n");
    let mut stdout = std::io::stdout();
    if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        return false;
    }
    // Without a buffer: only this byte is taken from it.
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else { return false };
    let mut input = File::from(input);
    let wake = signals.map_or(input.as_fd(), |signals| signals.as_fd());
    loop {
        match fd::poll_readable([input.as_fd(), wake], None) {
            Ok([true, _]) => {
                let mut byte = [0];
                return input.read(&mut byte).is_ok_and(|read| read == 1) && byte == *b"c";
            }
            Err(Errno::EINTR) | Ok([false, false]) => {}
            Ok([false, true]) | Err(_) => return false,
        }
    }
}

//! Giving a directory to the payload's user.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use command::refusal::{Refusal, Result};
use error::Shown;
use error::access::why_unsearchable;
use sys::signal::{self, SIGHUP, SIGINT, SIGTERM, Signals};
use sys::{Errno, Rename, access, fd};
use tree::Place;
use tree::owner::{self, Direction, Scan};

use super::target::{
    BEING_GIVEN, Holder, Target, check_device, check_free, check_top, failed, path_of, unfit,
};
use super::users::Users;
use super::{as_payload_user, report, undo};

/// What is given.
pub(super) struct Giving<'a> {
    pub(super) place: &'a Place,
    pub(super) to: Option<&'a Place>,
    pub(super) mode: Option<u32>,
    pub(super) fill_from: Option<&'a Place>,
    pub(super) confirm: bool,
    pub(super) top_limit: Option<u64>,
    /// Whether it matters here that the payload's user can reach the directory.
    pub(super) has_to_be_reached: bool,
    /// What finishes it if it fails and cannot be undone, for the message.
    pub(super) finished_by: &'static str,
    pub(super) users: Users,
}

impl Giving<'_> {
    /// Gives the directory. A signal before the last step undoes all.
    pub(super) fn run(&self, signals: Option<&Signals>) -> Result<String> {
        let examined = match self.fill_from {
            Some(from) => {
                let from = Target::existing(from, self.users)?;
                let scan = self.examine(&from)?;
                if !is_confirmed("examined", &scan, b'm', signals) {
                    return Err(Refusal::internal("it was not confirmed that all was moved"));
                }
                Some(scan)
            }
            None => None,
        };
        let Some(target) = Target::open(self.place, self.users)? else { return self.renamed() };
        if target.holder()? == Holder::Payload {
            return self.finish(&target);
        }
        let before = self.mode_before(&target)?;
        let scan = examined.map_or_else(|| self.examine(&target), Ok)?;
        refuse_signal()?;
        let given = self.give(&target, &scan, signals, self.mode.unwrap_or(before));
        match given {
            Ok(()) => Ok(report::given(self.new_place(), self.users, &scan)),
            Err(why) => Err(self.undo(&target, before, why)),
        }
    }

    /// Everything that can be found against it before anything is changed.
    fn examine(&self, target: &Target<'_>) -> Result<Scan> {
        if let Some(to) = self.to {
            check_device(to, target)?;
            // A caller that is asked can free the name until then.
            if !self.confirm {
                check_free(to)?;
            }
        }
        if self.has_to_be_reached {
            self.check_reachable()?;
        }
        owner::check_leases(self.new_place(), &self.users.ids).map_err(unfit)?;
        let (path, ids) = (target.path(), &self.users.ids);
        let scan =
            owner::scan(target.again()?, &path, ids, Direction::Give, &mut || ()).map_err(unfit)?;
        check_top(target, &scan, self.top_limit)?;
        Ok(scan)
    }

    /// A usage error if the payload's user cannot reach the directory in its new place, or cannot
    /// move a sandbox away there: it has to, if the sandbox comes back as a copy.
    fn check_reachable(&self) -> Result<()> {
        let place = self.new_place();
        let path = place.path_of(place.name.name());
        let is_sandbox = self.fill_from.is_some();
        let reached = as_payload_user::run(self.users, &[], || {
            let refused = |why: String| Err(Refusal::client(format!("{}: {why}", path_of(place))));
            if let Some(closed) = access::first_unsearchable(&path) {
                return refused(why_unsearchable("the payload's user", &closed));
            }
            if is_sandbox && !access::may_write_directory(&place.path) {
                let parent = Shown::os(&place.path);
                return refused(format!(
                    "the payload's user cannot create anything in {parent}, and both users must \
                     be able to: chmod 1777 {parent}, or better a separate directory of that mode"
                ));
            }
            Ok(())
        })?;
        reached.unwrap_or_else(|| Err(failed("examine the path of", place, Errno::EINTR)))
    }

    /// The mode that the directory has, unless it has to be copied. A directory that an earlier
    /// call was giving has lost it.
    pub(super) fn mode_before(&self, target: &Target<'_>) -> Result<u32> {
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
        signals: Option<&Signals>,
        mode: u32,
    ) -> Result<()> {
        let (path, ids) = (target.path(), &self.users.ids);
        let refused = |error: error::Error| Refusal::internal(error.to_string());
        target.set(self.users.caller, BEING_GIVEN)?;
        owner::give(target.again()?, &path, ids, &mut || ()).map_err(refused)?;
        if self.confirm && !is_confirmed("given", scan, b'c', signals) {
            return Err(Refusal::internal("it was not confirmed"));
        }
        refuse_signal()?;
        owner::commit(&target.dir, &path, ids, mode).map_err(refused)?;
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
            Err(then) => format!("{shown}: {why}; and then: {then}; {}", self.finished_by),
        })
    }

    /// An earlier call has given it, and may have been killed before its last steps.
    fn finish(&self, target: &Target<'_>) -> Result<String> {
        let is_committed = target.stat()?.mode() != BEING_GIVEN;
        if let Some(mode) = self.mode.or(if is_committed { None } else { Some(0o700) }) {
            target.set(self.users.payload, mode)?;
        }
        if let Some(to) = self.to {
            check_device(to, target)?;
            check_free(to)?;
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

/// An error if a signal asks for the end of the call. They are blocked.
fn refuse_signal() -> Result<()> {
    match [SIGHUP, SIGINT, SIGTERM].into_iter().any(signal::is_pending) {
        true => Err(Refusal::internal("a signal arrived")),
        false => Ok(()),
    }
}

/// Tells the caller what is done, and waits for its decision: this byte to go on.
fn is_confirmed(done: &str, scan: &Scan, go_on: u8, signals: Option<&Signals>) -> bool {
    let (files, directories) = (scan.totals.files, scan.totals.directories);
    let line = format!("{done} {files} files and {directories} directories\n");
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
                return input.read(&mut byte).is_ok_and(|read| read == 1) && byte == [go_on];
            }
            Err(Errno::EINTR) | Ok([false, false]) => {}
            Ok([false, true]) | Err(_) => return false,
        }
    }
}

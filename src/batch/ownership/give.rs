//! Before a job: gives the sandbox to the job user.
//!
//! R is the directory with a copy of the proxy, which has the retained name:
//!
//! 1. the switcher examines O;
//! 2. make H in O, and move all entries of O into it, but not the proxy; H gets a copy of that. The
//!    switcher gives everything below H to the job user, and waits for the last step;
//! 3. give R its temporary name back; rename `<sandbox>` (O) to `.condor`; mark O; replace O's
//!    proxy by a new file with mode 0600;
//! 4. the switcher gives H itself, and renames it to `<sandbox>`: the commit.
//!
//! A failure restores the state from before; after the death of this helper
//! [`finish()`](super::finish()) does.

use std::path::PathBuf;

use error::{Context as _, Error, Result};
use sys::{Dir, OwnedName, Stat, Uid, file, xattr};

use super::call::{Answer, OwnerCall, Report as CallReport};
use super::inner::{Inner, Phase};
use super::{Attempt, UNLISTED, top_limit};
use crate::batch::error::HelperError;
use crate::batch::report::Report;
use crate::batch::retry::{Retries, retrying};
use crate::batch::sandbox::{Found, MARK, Sandbox};
use crate::batch::switcher::Switcher;

/// Gives the sandbox, whose open directory is `dir` and whose proxy has this content. `retained` is
/// the temporary name of R, which is removed unless the result is [`Attempt::Copy`].
pub fn give(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    (dir, proxy, retained): (&Dir, &[u8], &OwnedName),
    report: &mut Report<'_>,
) -> Result<Attempt<()>, HelperError> {
    let prepared = prepare(sandbox, switcher, dir, retained);
    // Nothing is changed yet but the retained name.
    let mut giving = match prepared.map_err(|error| error.and_then(sandbox.remove_retained()))? {
        Attempt::Done(giving) => giving,
        Attempt::Copy(why) => return Ok(Attempt::Copy(why)),
    };
    let called = retrying(retries, report, |_| {
        let (path, mode) = (sandbox.path(), giving.before.mode() & 0o777);
        OwnerCall::give(switcher, &giving.inner.path(), (&path, mode), top_limit(switcher))
    });
    let call = match called {
        Ok(Answer::Done(call)) => call,
        Ok(Answer::Copy(why)) => return Ok(Attempt::Copy(why)),
        Err(failure) => return Err(failure.and_then(sandbox.remove_retained())),
    };
    let call = match giving.fill(proxy) {
        Ok(()) => call.go_on(),
        Err(error) => {
            call.give_up();
            giving.empty().map_err(|failure| failure.and_then(Err(interrupted(sandbox))))?;
            return Ok(Attempt::Copy(error.to_string()));
        }
    };
    match call.and_then(|call| giving.hand_over(call, proxy)) {
        Ok(given) => {
            given.add_to(report);
            sandbox.remove_leftover(retained);
            Ok(Attempt::Done(()))
        }
        Err(error) => Err(error.and_then(giving.undo()).into()),
    }
}

/// What has to be known before: how O and its proxy are, and the name of H.
fn prepare<'a>(
    sandbox: &'a Sandbox,
    switcher: &'a Switcher,
    dir: &'a Dir,
    retained: &'a OwnedName,
) -> Result<Attempt<Giving<'a>>> {
    let before = dir.stat_self().at("examine", sandbox.path())?;
    let with_proxy = sandbox.place.parent.stat(sandbox.retained_name());
    let with_proxy = with_proxy.at("examine", sandbox.retained_path())?;
    let inner = Inner::of(dir, sandbox.path(), &with_proxy, Phase::Give)?;
    if let Some(why) = unfit(sandbox, &inner, top_limit(switcher))? {
        return Ok(Attempt::Copy(why));
    }
    let of_proxy = dir.stat(sandbox.proxy.name()).at("examine the proxy in", sandbox.path())?;
    let giving = Giving { sandbox, switcher, inner, before, of_proxy, with_proxy, retained };
    Ok(Attempt::Done(giving))
}

/// Why the sandbox has to be copied, as far as its top tells.
fn unfit(sandbox: &Sandbox, inner: &Inner<'_>, limit: Option<u64>) -> Result<Option<String>> {
    let path = sandbox.path();
    if inner.exists() {
        return Ok(Some("it contains a name that the hand-over needs".to_owned()));
    }
    if sandbox.place.parent.for_each_entry(|_, _| Err(())).is_err() {
        return Ok(Some(UNLISTED.to_owned()));
    }
    let mut attributes = Vec::new();
    xattr::list(inner.outer, &mut attributes).at("list the attributes of", &path)?;
    if tree::has_attributes(&attributes) {
        return Ok(Some("its directory has extended attributes or an access list".to_owned()));
    }
    let Some(limit) = limit else { return Ok(None) };
    let mut entries = 0;
    let listed = inner.outer.for_each_entry(|_, _| {
        entries += 1;
        // The proxy stays.
        if entries > limit + 1 { Err(()) } else { Ok(()) }
    });
    Ok(match listed.at("read the directory", &path)? {
        Ok(()) => None,
        Err(()) => Some(format!("its top has more than {limit} entries")),
    })
}

/// A sandbox that is being given.
struct Giving<'a> {
    sandbox: &'a Sandbox,
    switcher: &'a Switcher,
    inner: Inner<'a>,
    /// O before.
    before: Stat,
    /// Its proxy before.
    of_proxy: Stat,
    /// R.
    with_proxy: Stat,
    /// The temporary name of R.
    retained: &'a OwnedName,
}

impl Giving<'_> {
    /// Step 2, but for what the switcher does.
    fn fill(&self, proxy: &[u8]) -> Result<()> {
        let (dir, name) = (self.inner.create()?, self.sandbox.proxy.name());
        self.inner.fill(&dir, name)?;
        self.sandbox.write_proxy(&dir, &self.inner.path(), proxy)?;
        self.restore_proxy(&dir)?;
        // If this helper is killed, O gets its time back from here.
        let path = self.inner.path();
        dir.set_modified(self.before.modified()).at("set the time of", &path)?;
        // From here on the switcher can have given a part of it, also when this helper is killed.
        dir.set_mode(MARK).at("set the mode of", &path)
    }

    /// Gives the proxy in a directory the mode and the time that the sandbox's had before.
    fn restore_proxy(&self, dir: &Dir) -> Result<()> {
        let proxy =
            dir.open_file(self.sandbox.proxy.name()).at("open the proxy in", self.path())?;
        file::set_mode(&proxy, self.of_proxy.mode() & 0o777)
            .and_then(|()| file::set_modified(&proxy, self.of_proxy.modified()))
            .at("set the mode and the time of the proxy in", self.path())
    }

    /// Steps 3 and 4.
    fn hand_over(&mut self, call: OwnerCall, proxy: &[u8]) -> Result<CallReport> {
        let sandbox = self.sandbox;
        let ready = sandbox
            .unretain(self.retained)
            .and_then(|()| sandbox.unmark(self.inner.outer))
            .and_then(|_| sandbox.sandbox_to_retained())
            .and_then(|()| {
                self.inner.outer_path = sandbox.retained_path();
                sandbox.mark(self.inner.outer)?;
                sandbox.replace_proxy(self.inner.outer, &sandbox.retained_path(), proxy)
            });
        let given = match ready {
            Ok(()) => call.confirm(),
            Err(error) => {
                call.give_up();
                Err(error)
            }
        };
        match given {
            Ok(report) => self.check_given(report.uid).map(|()| report),
            // The switcher may have been killed after the last step.
            Err(_) if self.check_given(None).is_ok() => Ok(CallReport::default()),
            Err(error) => Err(error),
        }
    }

    /// Checks that the sandbox has the name, as this user's.
    fn check_given(&self, uid: Option<Uid>) -> Result<()> {
        match self.sandbox.found()? {
            Found::Theirs(owner) if uid.is_none_or(|uid| uid == owner) && !self.inner.exists() => {
                Ok(())
            }
            _ => Err(Error::refused(self.path(), "the switcher has not given it to the job user")),
        }
    }

    fn path(&self) -> PathBuf {
        self.sandbox.path()
    }

    fn restore_time(&self) -> Result<()> {
        self.inner.outer.set_modified(self.before.modified()).at("set the time of", self.path())
    }

    /// Undoes all steps, and removes R.
    fn undo(&self) -> Result<()> {
        let undone = if self.sandbox.is_retained(self.inner.outer) {
            self.undo_as_retained()
        } else {
            self.undo_as_sandbox()
        };
        undone
            .and_then(|()| self.restore_proxy(self.inner.outer))
            .map_err(|error| error.and_then(Err(interrupted(self.sandbox))))?;
        self.sandbox.remove_leftover(self.retained);
        Ok(())
    }

    /// While O has the sandbox's name.
    fn undo_as_sandbox(&self) -> Result<()> {
        let sandbox = self.sandbox;
        let named = || sandbox.place.parent.stat(sandbox.retained_name());
        if named().is_err() {
            // The switcher needs the credential.
            sandbox.retain(self.retained)?;
        }
        self.empty()?;
        // Another process could have taken the name between two steps.
        if named().is_ok_and(|found| found.identity() == self.with_proxy.identity()) {
            sandbox.unretain(self.retained)?;
        }
        Ok(())
    }

    /// Undoes step 2.
    fn empty(&self) -> Result<()> {
        if !self.inner.exists() {
            return Ok(());
        }
        self.take_back()?;
        self.inner.remove()?;
        self.restore_time()
    }

    /// While O has the retained name. The mark stays until all entries are in O again: without it,
    /// O is the data.
    fn undo_as_retained(&self) -> Result<()> {
        let (sandbox, outer, mode) = (self.sandbox, self.inner.outer, self.before.mode());
        let set_mode = |mode| outer.set_mode(mode).at("set the mode of", self.path());
        sandbox.secure_proxy(outer)?;
        self.take_back()?;
        set_mode(if mode == MARK { mode & 0o700 } else { mode })?;
        self.inner.remove()?;
        self.restore_time()?;
        sandbox.retained_to_sandbox()?;
        set_mode(mode)
    }

    fn take_back(&self) -> Result<()> {
        if self.inner.may_be_given(self.sandbox.user())? {
            OwnerCall::undo(self.switcher, &self.inner.path())?;
        }
        self.inner.empty(&self.inner.open()?, self.sandbox.proxy.name())
    }
}

fn interrupted(sandbox: &Sandbox) -> Error {
    let why = "its files are complete, in it or one level below; run condor_glexec_cleanup";
    Error::refused(sandbox.path(), why)
}

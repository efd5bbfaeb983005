//! Bringing back, or removing, a sandbox whose pilot or starter was killed.

use std::path::Path;

use error::{Error, Result};
use sys::signal::{SIGKILL, SIGTERM};
use sys::{Dir, Name, Uid, process};
use wire::Links;

use super::abandoned::AbandonedSandbox;
use super::limits;
use super::losses::report_losses;
use super::step_log::StepLog;
use super::{CREDENTIAL, make, output};
use crate::batch::Retries;
use crate::batch::cleanup::{self, KillScope};
use crate::batch::credential::DUMMY_CREDENTIAL;
use crate::batch::error::HelperError;
use crate::batch::kill::{self, Scope};
use crate::batch::ownership;
use crate::batch::sandbox::{Found, Retained};
use crate::batch::switcher::Switcher;

/// A switcher may fail for a moment.
const RETRIES: Retries = Retries { max: 3, min_delay: 1 };

impl AbandonedSandbox {
    /// Kills what is left of the payload and brings its files back: to the sandbox, or to an
    /// output.
    pub fn recover(
        &self,
        links: Links,
        output: Option<&Path>,
        step_log: &mut StepLog<'_>,
    ) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        let _lock = sandbox.lock()?;
        limits::group::sweep();
        sandbox.settle()?;
        if let Some(output) = output {
            if self.finish_delivery(output)? {
                return Ok(());
            }
        }
        self.refuse_missing()?;
        let is_own = (sandbox.retained()?, sandbox.found()?) == (Retained::Absent, Found::Mine);
        if !self.is_sandbox()? && (!is_own || output.is_some()) {
            return Err(self.ordinary_directory());
        }
        self.finish_call(links, step_log)?;
        // Until the sandbox has changed hands, no agent is called.
        let switcher = match (sandbox.retained()?, sandbox.found()?) {
            (Retained::Proxy | Retained::Data, Found::Theirs(owner) | Found::Other(owner)) => {
                let switcher = self.switcher_to(owner)?;
                self.kill_family(&switcher, step_log)?;
                switcher
            }
            _ if ownership::is_unfinished(sandbox)? => self.switcher_for_owners()?,
            _ => self.first_switcher()?,
        };
        // No other user may enter a directory that a pilot has locked. A starter expects the mode
        // of the job's directory.
        let policy =
            cleanup::Policy { links, kills: KillScope::Nothing, closes_top: self.is_pilots() };
        if let Some(output) = output::on_other_file_system(sandbox, output)? {
            let brought = step_log.step("output", |report| {
                output::bring_to(output, None, sandbox, &switcher, RETRIES, policy, report)
                    .inspect(|()| report_losses(report))
            });
            return Ok(brought?);
        }
        step_log.step("cleanup", |report| {
            cleanup::cleanup(None, sandbox, &switcher, RETRIES, policy, report)?
                .require_files(sandbox)?;
            report_losses(report);
            Ok::<_, HelperError>(())
        })?;
        match output {
            Some(output) => {
                step_log.step("output", |report| output::deliver(sandbox, output, None, report))
            }
            // A starter expects its proxy in the sandbox.
            None if !self.is_pilots() => Ok(()),
            None => make::remove_credentials(sandbox),
        }
    }

    /// Removes the sandbox, and everything that helpers and agents left beside it.
    pub fn discard(&self, step_log: &mut StepLog<'_>) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        let _lock = sandbox.lock()?;
        limits::group::sweep();
        sandbox.settle()?;
        if sandbox.owners_of_leftovers().is_empty() {
            self.refuse_missing()?;
        }
        if !self.is_sandbox()? {
            return Err(self.ordinary_directory());
        }
        self.finish_call(Links::Drop, step_log)?;
        self.finish_change_of_owner(step_log)?;
        // A call needs a credential; where it is gone, any file serves.
        let has_none = sandbox.retained()? == Retained::Absent;
        if has_none {
            let name = sandbox.make_retained(DUMMY_CREDENTIAL)?;
            sandbox.retain(&name).inspect_err(|_| sandbox.remove_leftover(&name))?;
        }
        if let Found::Theirs(owner) | Found::Other(owner) = sandbox.found()? {
            if let Err(error) = self.discard_of(owner, step_log) {
                return Err(match has_none {
                    true => error.and_then(sandbox.remove_retained()),
                    false => error,
                });
            }
        }
        // A user that no switcher leads to may have nothing to do with the sandbox.
        for owner in sandbox.owners_of_leftovers() {
            if let Err(error) = self.discard_of(owner, step_log) {
                (step_log.notice)(&format!(
                    "condor_glexec_pilot: what uid {owner} left beside the sandbox stays: {error}"
                ));
            }
        }
        if sandbox.found()? == Found::Mine {
            make::remove(sandbox)?;
        }
        if sandbox.retained()? != Retained::Absent {
            sandbox.remove_retained()?;
        }
        sandbox.sweep(None);
        Ok(())
    }

    /// Finishes a change of owner whose helper was killed.
    fn finish_change_of_owner(&self, step_log: &mut StepLog<'_>) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        if !ownership::is_unfinished(sandbox)? {
            return Ok(());
        }
        sandbox.secure_proxy(&sandbox.open_retained()?)?;
        let switcher = self.switcher_for_owners()?;
        let policy = cleanup::Policy {
            links: Links::Drop,
            kills: KillScope::Nothing,
            closes_top: self.is_pilots(),
        };
        step_log.step("cleanup", |report| {
            ownership::finish(sandbox, &switcher, RETRIES, policy, report)
        })?;
        Ok(())
    }

    /// Has an agent of this user remove what the user has beside the sandbox, and the sandbox, if
    /// that is the user's.
    fn discard_of(&self, owner: Uid, step_log: &mut StepLog<'_>) -> Result<()> {
        let switcher = self.switcher_to(owner)?;
        self.kill_family(&switcher, step_log)?;
        let mut agent = self.call_agent(&switcher)?;
        let removed = agent.sweep().and_then(|()| match self.sandbox.found()? {
            Found::Theirs(_) | Found::Other(_) => agent.retire().and_then(|()| agent.delete()),
            Found::Mine | Found::Placeholder | Found::Nothing => Ok(()),
        });
        agent.close();
        removed
    }

    /// Whether something besides the name tells that this is a sandbox: any directory of this user
    /// could have the name. A pilot's sandbox contains its credential, and a retained directory has
    /// its mark.
    fn is_sandbox(&self) -> Result<bool> {
        let AbandonedSandbox { sandbox, .. } = self;
        let of_pilot = Name::new(CREDENTIAL.as_bytes());
        let contains = |dir: Result<Dir>, name: Option<Name<'_>>| {
            dir.is_ok_and(|dir| name.is_some_and(|name| dir.stat(name).is_ok()))
        };
        Ok(match (sandbox.retained()?, sandbox.found()?) {
            // A setup that was killed has copied the credential, or a pilot has moved it.
            (Retained::Proxy, Found::Mine) => {
                contains(sandbox.open(), Some(sandbox.proxy.name()))
                    || contains(sandbox.open_retained(), of_pilot)
            }
            (Retained::Aside | Retained::Proxy, _)
            | (Retained::Absent | Retained::Data, Found::Theirs(_)) => true,
            // A helper that was killed has left its copy of the proxy.
            (Retained::Data, _) => {
                contains(sandbox.open_retained(), of_pilot) || !sandbox.marked_aside().is_empty()
            }
            (Retained::Absent, Found::Mine | Found::Placeholder) => {
                contains(sandbox.open(), of_pilot)
            }
            (Retained::Absent, Found::Other(owner)) => owner != process::geteuid(),
            (Retained::Absent, Found::Nothing) => !sandbox.owners_of_leftovers().is_empty(),
        })
    }

    /// Does the last step of a pilot that was killed after its sandbox had become the output: the
    /// credentials are removed from there. Returns whether there was such an output.
    fn finish_delivery(&self, output: &Path) -> Result<bool> {
        let is_gone =
            (self.sandbox.retained()?, self.sandbox.found()?) == (Retained::Absent, Found::Nothing);
        let (Some(name), Ok(dir)) = (Name::new(CREDENTIAL.as_bytes()), Dir::open(output)) else {
            return Ok(false);
        };
        if !is_gone || dir.stat(name).is_err() {
            return Ok(false);
        }
        make::remove_proxy_from(&dir, output)?;
        Ok(dir.remove_file(name).is_ok())
    }

    /// An error if there is no sandbox. What a pilot that was killed had begun to make of its input
    /// is removed.
    fn refuse_missing(&self) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        if (sandbox.retained()?, sandbox.found()?) != (Retained::Absent, Found::Nothing) {
            return Ok(());
        }
        let _locks = sandbox.lock_leftovers()?;
        sandbox.sweep(None);
        let why = "there is no such sandbox, and there was no complete one";
        Err(Error::refused(sandbox.path(), why))
    }

    fn ordinary_directory(&self) -> Error {
        let why = "it is an ordinary directory: nothing in it or beside it shows that it is a \
                   sandbox; it was not changed";
        Error::refused(self.sandbox.path(), why)
    }

    fn kill_family(&self, switcher: &Switcher, step_log: &mut StepLog<'_>) -> Result<()> {
        let request = kill::KillRequest {
            scope: Scope::Sandbox,
            signal: SIGKILL,
            grace: 0,
            soft_kill_signal: SIGTERM,
            clean: false,
        };
        let credential = self.sandbox.credential();
        let killed = step_log
            .step("kill", |report| kill::kill(switcher, &credential, request, RETRIES, report));
        Ok(killed?)
    }
}

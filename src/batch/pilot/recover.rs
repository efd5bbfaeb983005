//! What to do when a pilot was killed, or a starter.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Error, Result};
use sys::signal::{SIGKILL, SIGTERM};
use sys::{Dir, Name, Uid, process};
use wire::Links;

use super::step_log::StepLog;
use super::{CREDENTIAL, candidates, place, run};
use crate::batch::agent::{Agent, AgentCall};
use crate::batch::kill::{self, Scope};
use crate::batch::retry::Attempt;
use crate::batch::sandbox::{Found, Retained, Sandbox};
use crate::batch::switcher::Switcher;
use crate::batch::{Failure, Patience, cleanup};

/// A switcher may be busy.
const PATIENCE: Patience = Patience { max_retries: 3, min_delay: 1 };

/// A sandbox that somebody has left, and how it is reached.
#[derive(Debug)]
pub struct AbandonedSandbox {
    pub(super) sandbox: Sandbox,
    glexec: Option<OsString>,
    limit: Duration,
}

impl AbandonedSandbox {
    /// Finds it. The name of the credential is that of the only file in its retained directory,
    /// else that of a pilot's.
    pub fn find(
        path: &Path,
        glexec: Option<OsString>,
        limit: Duration,
    ) -> Result<AbandonedSandbox> {
        let sandbox = Sandbox::find(path, CREDENTIAL.as_ref())?;
        // As long as the proxy is not alone in the retained directory, a marked one beside it holds
        // it alone. One that is being removed may be empty by now.
        let aside =
            sandbox.marked_aside().into_iter().map(|name| sandbox.place.path_of(name.name()));
        let sandbox =
            match aside.chain([sandbox.retained_path()]).find_map(|holder| only_entry(&holder)) {
                Some(name) => Sandbox::find(path, &name)?,
                None => sandbox,
            };
        Ok(AbandonedSandbox { sandbox, glexec, limit })
    }

    /// Ends what is left of the payload and brings its files back: to the sandbox, or to `output`.
    pub fn recover(
        &self,
        links: Links,
        output: Option<&Path>,
        step_log: &mut StepLog<'_>,
    ) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        let _lock = sandbox.lock()?;
        sandbox.settle()?;
        if let Some(output) = output {
            if self.is_delivered(output)? {
                return Ok(());
            }
        }
        self.refuse_nothing()?;
        let is_sandbox = self.is_sandbox()?;
        if !is_sandbox
            && ((sandbox.retained()?, sandbox.found()?) != (Retained::Absent, Found::Mine)
                || output.is_some())
        {
            return Err(self.ordinary());
        }
        // Before it changes hands nobody has to be called.
        let switcher = match (sandbox.retained()?, sandbox.found()?) {
            (Retained::Proxy | Retained::Data, Found::Theirs(owner) | Found::Other(owner)) => {
                let switcher = self.switcher_to(Some(owner))?;
                self.end_family(&switcher, step_log)?;
                switcher
            }
            _ => self.switcher_to(None)?,
        };
        // What a pilot locks no other user is to open; a starter expects the mode of the job's
        // directory.
        let closes_top = sandbox.proxy.name().bytes() == CREDENTIAL.as_bytes();
        let policy = cleanup::Policy { links, ends: cleanup::Ends::Nothing, closes_top };
        if let Some(output) = place::elsewhere(sandbox, output)? {
            let brought = step_log.step("output", |report| {
                let brought =
                    place::bring_elsewhere(sandbox, (&switcher, PATIENCE), policy, output, report);
                brought.inspect(|()| run::tell_losses(report))
            });
            return brought.map_err(Failure::error);
        }
        let cleaned = step_log.step("cleanup", |report| {
            cleanup::cleanup(sandbox, &switcher, PATIENCE, policy, report)?;
            run::tell_losses(report);
            Ok::<_, Failure>(())
        });
        cleaned.map_err(Failure::error)?;
        match output {
            Some(output) => {
                step_log.step("output", |report| place::deliver(sandbox, output, None, report))
            }
            // A starter expects its proxy where it was.
            None if sandbox.proxy.name().bytes() != CREDENTIAL.as_bytes() => Ok(()),
            None => place::remove_credential(sandbox),
        }
    }

    /// Removes the sandbox, and everything beside it that a helper or an agent has left.
    pub fn discard(&self, step_log: &mut StepLog<'_>) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        let _lock = sandbox.lock()?;
        sandbox.settle()?;
        if sandbox.owners_of_leftovers().is_empty() {
            self.refuse_nothing()?;
        }
        if !self.is_sandbox()? {
            return Err(self.ordinary());
        }
        // A call needs a credential; where that is gone, any file is one.
        let has_none = sandbox.retained()? == Retained::Absent;
        if has_none {
            let name = sandbox.make_retained(b"a placeholder\n")?;
            sandbox.retain(&name).inspect_err(|_| sandbox.forget(&name))?;
        }
        if let Found::Theirs(owner) | Found::Other(owner) = sandbox.found()? {
            if let Err(error) = self.discard_theirs(owner, step_log) {
                return Err(if has_none {
                    error.and_then(sandbox.remove_retained())
                } else {
                    error
                });
            }
        }
        // Whoever can't be reached may be a bystander, and is no reason to stop.
        for owner in sandbox.owners_of_leftovers() {
            if let Err(error) = self.discard_theirs(owner, step_log) {
                (step_log.notice)(&format!(
                    "condor_glexec_pilot: what uid {owner} has left beside it stays: {error}"
                ));
            }
        }
        if sandbox.found()? == Found::Mine {
            place::remove(sandbox)?;
        }
        if sandbox.retained()? != Retained::Absent {
            sandbox.remove_retained()?;
        }
        sandbox.sweep_all();
        Ok(())
    }

    /// Has that user's agent remove the sandbox, if it is that user's, and what is beside it.
    fn discard_theirs(&self, owner: Uid, step_log: &mut StepLog<'_>) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        let switcher = self.switcher_to(Some(owner))?;
        self.end_family(&switcher, step_log)?;
        let mut agent = greeted(&switcher, sandbox)?;
        let removed = agent.sweep().and_then(|()| match sandbox.found()? {
            Found::Theirs(_) | Found::Other(_) => agent.retire().and_then(|()| agent.delete()),
            Found::Mine | Found::Nothing => Ok(()),
        });
        agent.close();
        removed
    }

    /// Whether there is more than a name: a directory of this user's could be anything. A pilot's
    /// sandbox has its credential in it, and what is retained has its mark.
    fn is_sandbox(&self) -> Result<bool> {
        let AbandonedSandbox { sandbox, .. } = self;
        let pilots = Name::new(CREDENTIAL.as_bytes());
        let holds = |dir: Result<Dir>, name: Option<Name<'_>>| {
            dir.is_ok_and(|dir| name.is_some_and(|name| dir.stat(name).is_ok()))
        };
        Ok(match (sandbox.retained()?, sandbox.found()?) {
            // A set-up that was killed has copied the credential.
            (Retained::Proxy, Found::Mine) => holds(sandbox.open(), Some(sandbox.proxy.name())),
            (Retained::Aside | Retained::Proxy, _)
            | (Retained::Absent | Retained::Data, Found::Theirs(_)) => true,
            (Retained::Data, _) => holds(sandbox.open_retained(), pilots),
            (Retained::Absent, Found::Mine) => holds(sandbox.open(), pilots),
            (Retained::Absent, Found::Other(owner)) => owner != process::geteuid(),
            (Retained::Absent, Found::Nothing) => !sandbox.owners_of_leftovers().is_empty(),
        })
    }

    /// Whether a pilot was killed when its sandbox had become the output already; the credential is
    /// removed from there, the last step.
    fn is_delivered(&self, output: &Path) -> Result<bool> {
        let is_gone =
            (self.sandbox.retained()?, self.sandbox.found()?) == (Retained::Absent, Found::Nothing);
        let (Some(name), Ok(dir)) = (Name::new(CREDENTIAL.as_bytes()), Dir::open(output)) else {
            return Ok(false);
        };
        if !is_gone || dir.stat(name).is_err() {
            return Ok(false);
        }
        place::remove_proxy_from(&dir, output)?;
        Ok(dir.remove_file(name).is_ok())
    }

    /// An error if there is no sandbox. What a pilot that was killed had begun to make of its input
    /// is of no use, and goes.
    fn refuse_nothing(&self) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        if (sandbox.retained()?, sandbox.found()?) != (Retained::Absent, Found::Nothing) {
            return Ok(());
        }
        let _locks = sandbox.lock_leftovers()?;
        sandbox.sweep_all();
        Err(Error::refused(
            sandbox.path(),
            "there is no such sandbox, and there was none that was complete",
        ))
    }

    fn ordinary(&self) -> Error {
        let why = "it is an ordinary directory, and nothing in it or beside it says that it is a sandbox; it was left alone";
        Error::refused(self.sandbox.path(), why)
    }

    /// The switcher that leads to this user; any, if nobody is to be reached.
    pub(super) fn switcher_to(&self, owner: Option<Uid>) -> Result<Switcher> {
        let mut why = Vec::new();
        for program in candidates::those(self.glexec.as_ref())? {
            let switcher =
                Switcher::new(program.as_os_str(), self.sandbox.credential(), self.limit)?.apart();
            let Some(owner) = owner else { return Ok(switcher) };
            let switcher = switcher.for_user(owner);
            match greeted(&switcher, &self.sandbox) {
                Ok(agent) if agent.uid == owner => {
                    agent.close();
                    return Ok(switcher);
                }
                Ok(agent) => {
                    why.push(format!("{} leads to uid {}", program.display(), agent.uid));
                    agent.close();
                }
                Err(error) => why.push(error.to_string()),
            }
        }
        let whose =
            owner.map_or(String::new(), |owner| format!(" that leads to uid {owner}, whose it is"));
        Err(Error::refused(
            self.sandbox.path(),
            format!("there is no switcher{whose}: {}", why.join("; ")),
        ))
    }

    fn end_family(&self, switcher: &Switcher, step_log: &mut StepLog<'_>) -> Result<()> {
        let order = kill::KillRequest {
            scope: Scope::Sandbox,
            signal: SIGKILL,
            grace: 0,
            soft_kill_signal: SIGTERM,
            clean: false,
        };
        let credential = self.sandbox.credential();
        step_log
            .step("kill", |report| kill::kill(switcher, &credential, order, PATIENCE, report))
            .map_err(Failure::error)
    }

    /// The sandbox's path.
    pub fn path(&self) -> PathBuf {
        self.sandbox.path()
    }

    /// The name under which the log follows it.
    pub fn request(&self) -> Option<String> {
        self.sandbox.request()
    }
}

/// An agent behind this switcher.
pub(super) fn greeted(switcher: &Switcher, sandbox: &Sandbox) -> Result<Agent> {
    AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello().map_err(Attempt::error)
}

/// The name of the only entry of a directory.
fn only_entry(directory: &Path) -> Option<OsString> {
    let mut entries = std::fs::read_dir(directory).ok()?;
    let first = entries.next()?.ok()?.file_name();
    entries.next().is_none().then_some(first).filter(|name| name != OsStr::new(""))
}

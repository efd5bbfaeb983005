//! A sandbox whose pilot or starter was killed, and the switcher that leads to its owner.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Error, Result, Shown};
use sys::Uid;

use super::{CREDENTIAL, candidates};
use crate::batch::agent::{Agent, AgentCall};
use crate::batch::handover::Handover;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// The sandbox, and how its owner is reached.
#[derive(Debug)]
pub struct AbandonedSandbox {
    pub(super) sandbox: Sandbox,
    glexec: Option<OsString>,
    handover: Handover,
    idle_timeout: Duration,
}

impl AbandonedSandbox {
    /// The sandbox at this path. The name of its credential is that of the only file in its
    /// retained directory, or else that of a pilot's.
    pub fn find(
        path: &Path,
        glexec: Option<OsString>,
        (handover, idle_timeout): (Handover, Duration),
    ) -> Result<AbandonedSandbox> {
        let sandbox = Sandbox::find(path, CREDENTIAL.as_ref())?;
        // While the proxy is not alone in the retained directory, it is alone in a marked directory
        // beside it. One that is being removed may be empty.
        let aside =
            sandbox.marked_aside().into_iter().map(|name| sandbox.place.path_of(name.name()));
        let name = aside.chain([sandbox.retained_path()]).find_map(|path| only_entry(&path));
        let sandbox = match name {
            Some(name) => Sandbox::find(path, &name)?,
            None => sandbox,
        };
        Ok(AbandonedSandbox { sandbox, glexec, handover, idle_timeout })
    }

    /// The sandbox's path.
    pub fn path(&self) -> PathBuf {
        self.sandbox.path()
    }

    /// The id of the sandbox in the log.
    pub fn log_id(&self) -> Option<String> {
        self.sandbox.log_id()
    }

    /// Whether the sandbox is a pilot's, not a starter's.
    pub(super) fn is_pilots(&self) -> bool {
        self.sandbox.proxy.name().bytes() == CREDENTIAL.as_bytes()
    }

    /// The first switcher, for a sandbox for which no agent is called.
    pub(super) fn first_switcher(&self) -> Result<Switcher> {
        match candidates::programs(self.glexec.as_ref())?.first() {
            Some(program) => self.switcher(program),
            None => Err(Error::refused(self.sandbox.path(), "there is no switcher")),
        }
    }

    /// The first switcher that changes owners, for a change that was not finished.
    pub(super) fn switcher_for_owners(&self) -> Result<Switcher> {
        for program in candidates::programs(self.glexec.as_ref())? {
            // Whatever the caller asks for: a copy cannot finish it.
            let switcher = self.switcher(&program)?.with_handover(Handover::Auto);
            if switcher.changes_owners() {
                return Ok(switcher);
            }
        }
        self.first_switcher()
    }

    /// The switcher that leads to this user.
    pub(in crate::batch) fn switcher_to(&self, user: Uid) -> Result<Switcher> {
        let mut reasons = Vec::new();
        for program in candidates::programs(self.glexec.as_ref())? {
            let switcher = self.switcher(&program)?.with_lease_for(user);
            match self.call_agent(&switcher) {
                Ok(agent) if agent.uid == user => {
                    agent.close();
                    return Ok(switcher);
                }
                Ok(agent) => {
                    reasons.push(format!("{} leads to uid {}", Shown::os(&program), agent.uid));
                    agent.close();
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        let why = format!(
            "there is no switcher that leads to uid {user}, its owner: {}",
            reasons.join("; ")
        );
        Err(Error::refused(self.sandbox.path(), why))
    }

    fn switcher(&self, program: &Path) -> Result<Switcher> {
        let credential = self.sandbox.credential();
        let switcher = Switcher::new(program.as_os_str(), credential, self.idle_timeout)?;
        Ok(switcher.in_separate_groups().with_handover(self.handover))
    }

    /// An agent behind this switcher.
    pub(super) fn call_agent(&self, switcher: &Switcher) -> Result<Agent> {
        AgentCall::serve(switcher, &self.sandbox.path())?.wait_for_hello()
    }
}

/// The name of the only entry of a directory.
fn only_entry(directory: &Path) -> Option<OsString> {
    let mut entries = std::fs::read_dir(directory).ok()?;
    let first = entries.next()?.ok()?.file_name();
    entries.next().is_none().then_some(first).filter(|name| name != OsStr::new(""))
}

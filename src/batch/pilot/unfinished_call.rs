//! A pilot's sandbox whose call of `glexec` was killed while it changed the owner (see
//! [`super::one_call`]).

use error::{Context as _, Result};
use wire::Links;

use super::abandoned::AbandonedSandbox;
use super::one_call::{is_being_given, take, undo};
use super::step_log::StepLog;
use crate::batch::handover::Way;
use crate::batch::ownership;
use crate::batch::sandbox::{Found, Retained};

impl AbandonedSandbox {
    /// Finishes the change of owner, in the direction that the top tells. Afterwards the sandbox is
    /// whole, and has the credential again.
    pub(super) fn finish_call(&self, links: Links, step_log: &mut StepLog<'_>) -> Result<()> {
        let AbandonedSandbox { sandbox, .. } = self;
        let state = (sandbox.retained()?, sandbox.found()?);
        if !self.is_pilots()
            || state != (Retained::Proxy, Found::Mine)
            || ownership::is_being_taken(sandbox)?
        {
            return Ok(());
        }
        let (top, path) = (sandbox.open()?, sandbox.path());
        let again = top.try_clone().at("open", &path)?;
        let is_given = is_being_given(sandbox)?;
        if let Some(owner) = tree::foreign_owner(again, path.as_os_str(), sandbox.user())? {
            let switcher = self.switcher_for_owners()?.with_lease_for(owner);
            step_log.step("cleanup", |report| {
                report.way = Some(Way::Own { copied: Vec::new() });
                if is_given { undo(sandbox, &switcher) } else { take(sandbox, &switcher, links) }
            })?;
        } else if is_given {
            top.set_mode(0o700).at("set the mode of", &path)?;
        }
        if top.stat(sandbox.proxy.name()).is_ok() {
            return Ok(());
        }
        let credential = sandbox.read_proxy(&sandbox.open_retained()?, &sandbox.retained_path())?;
        sandbox.write_proxy(&top, &path, &credential)
    }
}

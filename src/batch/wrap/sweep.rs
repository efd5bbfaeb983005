//! What a wrapper that was killed has left in a slot's directory: the job's processes are ended,
//! and its files go back to the scratch directory, if that still exists; else they are removed.

use std::path::Path;

use error::{Context as _, Result};
use sys::{Uid, signal};
use wire::Links;

use super::entries;
use super::scratch::Scratch;
use super::settings::Settings;
use super::slot::{self, Locked, Slot};
use super::streams;
use super::trials;
use crate::batch::Retries;
use crate::batch::kill::{self, Scope};
use crate::batch::pilot::step_log::StepLog;
use crate::batch::pilot::{AbandonedSandbox, CREDENTIAL};
use crate::batch::sandbox::{Found, Retained, Sandbox};
use crate::batch::switcher::Switcher;

/// A switcher may fail for a moment.
const RETRIES: Retries = Retries { max: 2, min_delay: 1 };

/// Sweeps each slot's directory below `directory`. `scratch` is the scratch directory of a job that
/// has ended: its files go back to it, and no other slot is touched. Without it, all slots are
/// cleared that have no running job, and no scratch directory, and so is what examinations of the
/// node that were killed have left. Returns how many slots were.
pub fn sweep(
    settings: &Settings,
    directory: &Path,
    scratch: Option<&Scratch>,
    step_log: &mut StepLog<'_>,
) -> Result<u32> {
    let note = scratch.map(slot::note_of).transpose()?;
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.at("read the directory", directory)?,
    };
    if scratch.is_none() {
        trials::sweep(settings, directory, step_log)?;
    }
    let (mut swept, mut failure) = (0, None);
    for entry in entries.filter_map(std::result::Result::ok) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(Locked::Here(mut slot)) = Slot::lock_existing(entry.path(), false) else { continue };
        let found = slot.note()?;
        let is_wanted = match &note {
            Some(note) => *note == found,
            // The starter of a job whose scratch directory is there can still ask for its files.
            None => !found.is_empty() && !slot::has_scratch(&found),
        };
        if !is_wanted {
            continue;
        }
        match clear(settings, &mut slot, scratch, step_log) {
            Ok(()) => swept += 1,
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(swept), Err)
}

/// Clears a slot that this process has locked. The files go to the scratch directory if the note is
/// its.
pub fn clear(
    settings: &Settings,
    slot: &mut Slot,
    scratch: Option<&Scratch>,
    step_log: &mut StepLog<'_>,
) -> Result<()> {
    streams::end_recorded(slot)?;
    let note = slot.note()?;
    if note.is_empty() {
        return Ok(());
    }
    let scratch = match scratch {
        Some(scratch) if slot::note_of(scratch)? == note => Some(scratch),
        _ => None,
    };
    let path = slot.sandbox();
    let found = abandoned(settings, &path)?;
    let sandbox = Sandbox::find(&path, CREDENTIAL.as_ref())?;
    if settings.has_account_per_slot {
        if let Ok(Some(owner)) = owner_of(&sandbox) {
            if let Ok(switcher) = found.switcher_to(owner) {
                end_account(&switcher, &sandbox, step_log);
            }
        }
    }
    match scratch {
        Some(scratch) => {
            if exists(&sandbox)? {
                found.recover(Links::Copy, None, step_log)?;
            }
            entries::to_scratch(scratch, &sandbox)?;
        }
        None => remove(settings, &path, step_log)?,
    }
    slot.set_note(b"")
}

/// Removes the sandbox at a path, and everything beside it that is left of it.
pub(super) fn remove(settings: &Settings, path: &Path, step_log: &mut StepLog<'_>) -> Result<()> {
    let sandbox = Sandbox::find(path, CREDENTIAL.as_ref())?;
    if exists(&sandbox)? || !sandbox.owners_of_leftovers().is_empty() {
        return abandoned(settings, path)?.discard(step_log);
    }
    sandbox.sweep(None);
    Ok(())
}

fn abandoned(settings: &Settings, path: &Path) -> Result<AbandonedSandbox> {
    let means = (settings.handover, settings.idle_timeout);
    AbandonedSandbox::find(path, settings.glexec.clone(), means)
}

fn exists(sandbox: &Sandbox) -> Result<bool> {
    Ok((sandbox.retained()?, sandbox.found()?) != (Retained::Absent, Found::Nothing))
}

/// The job's user, if the sandbox belongs to it.
fn owner_of(sandbox: &Sandbox) -> Result<Option<Uid>> {
    Ok(match (sandbox.retained()?, sandbox.found()?) {
        (Retained::Proxy | Retained::Data, Found::Theirs(owner)) => Some(owner),
        _ => None,
    })
}

/// Ends all processes of the job's user, and removes what it left outside of the sandbox. What
/// could not be done is logged.
pub fn end_account(switcher: &Switcher, sandbox: &Sandbox, step_log: &mut StepLog<'_>) {
    let request = kill::KillRequest {
        scope: Scope::Account,
        signal: signal::SIGKILL,
        grace: 0,
        soft_kill_signal: signal::SIGTERM,
        clean: true,
    };
    let (switcher, credential) = (switcher.with_short_idle_timeout(), sandbox.credential());
    let _ = step_log
        .step("account", |report| kill::kill(&switcher, &credential, request, RETRIES, report));
}

//! What a wrapper that was killed has left in a slot's directory: the job's processes are ended,
//! and its files go back to the scratch directory, if that still exists; else they are removed.

use std::path::Path;

use error::{Context as _, Result};
use wire::Links;

use super::entries;
use super::scratch::Scratch;
use super::settings::Settings;
use super::slot::{self, Locked, Slot};
use crate::batch::pilot::step_log::StepLog;
use crate::batch::pilot::{AbandonedSandbox, CREDENTIAL, make};
use crate::batch::sandbox::{Found, Retained, Sandbox};

/// Sweeps each slot's directory below `directory`. `scratch` is the scratch directory of a job that
/// has ended: its files go back to it, and no other slot is touched. Without it, all slots without
/// a running job are cleared. Returns how many were.
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
    let (mut swept, mut failure) = (0, None);
    for entry in entries.filter_map(std::result::Result::ok) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(Locked::Here(mut slot)) = Slot::lock_existing(entry.path(), false) else { continue };
        let found = slot.note()?;
        if found.is_empty() || note.as_ref().is_some_and(|note| *note != found) {
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
    let note = slot.note()?;
    if note.is_empty() {
        return Ok(());
    }
    let scratch = match scratch {
        Some(scratch) if slot::note_of(scratch)? == note => Some(scratch),
        _ => None,
    };
    let path = slot.sandbox();
    let found = AbandonedSandbox::find(
        &path,
        settings.glexec.clone(),
        (settings.handover, settings.idle_timeout),
    )?;
    let sandbox = Sandbox::find(&path, CREDENTIAL.as_ref())?;
    let is_there = (sandbox.retained()?, sandbox.found()?) != (Retained::Absent, Found::Nothing);
    match scratch {
        Some(scratch) => {
            if is_there {
                found.recover(Links::Copy, None, step_log)?;
            }
            give_back(scratch, &sandbox)?;
        }
        None if is_there || !sandbox.owners_of_leftovers().is_empty() => {
            found.discard(step_log)?;
        }
        None => sandbox.sweep(None),
    }
    slot.set_note(b"")
}

/// Moves the files of a sandbox of this user to the scratch directory, and removes the sandbox.
pub fn give_back(scratch: &Scratch, sandbox: &Sandbox) -> Result<()> {
    if sandbox.found()? == Found::Nothing {
        sandbox.sweep(None);
        return Ok(());
    }
    let (top, path) = (sandbox.open()?, sandbox.path());
    entries::to_scratch(scratch, &top, &path)?;
    make::remove(sandbox)
}

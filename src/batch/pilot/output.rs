//! The way of a payload's files to the output.

use std::path::Path;

use error::{Context as _, Error, Result, Shown};
use sys::space::Space;
use sys::{Dir, Errno, Kind, Rename, process};
use tree::{self, Place, Transfer};
use wire::Halt;

use super::make::{remove, remove_credentials_from, remove_proxy_from};
use crate::batch::agent::Agent;
use crate::batch::error::HelperError;
use crate::batch::sandbox::{Found, Retained, Sandbox};
use crate::batch::switcher::Switcher;
use crate::batch::{Report, Retries, cleanup};

/// Renames a sandbox that is back to the output, or copies it there and removes it; without the
/// credentials. An empty directory with the output's name is replaced. Until then the credential
/// tells that the directory is a sandbox. `halt` ends the copying early.
pub fn deliver(
    sandbox: &Sandbox,
    output: &Path,
    halt: Option<Halt>,
    report: &mut Report<'_>,
) -> Result<()> {
    let (from, to) = (&sandbox.place, Place::find(output)?);
    require_free(&to)?;
    let top = sandbox.open()?;
    // Files that the payload made accessible to all users are below a directory that no other user
    // can enter, whatever the mode of the directory that is replaced.
    top.set_mode(0o700).at("set the mode of", sandbox.path())?;
    match from.parent.rename_into(from.name.name(), &to.parent, to.name.name(), Rename::Replace) {
        Ok(()) => remove_credentials_from(&top, sandbox, output),
        Err(Errno::EXDEV) => copy(sandbox, &to, output, halt, report),
        Err(Errno::EBUSY) => Err(mounted(output)),
        Err(cause) => Err(cause).at("rename the sandbox to", output),
    }
}

/// Copies the sandbox to the output on another file system, and removes it. The copy gets the
/// output's name when it is complete.
fn copy(
    sandbox: &Sandbox,
    to: &Place,
    output: &Path,
    halt: Option<Halt>,
    report: &mut Report<'_>,
) -> Result<()> {
    to.sweep(process::geteuid(), &mut || ());
    let complete = |top: &Dir, path: &Path| remove_credentials_from(top, sandbox, path);
    let (name, moved) =
        tree::copy((&sandbox.path(), Transfer::Give), to, halt, &mut report.progress, complete)?;
    report.moved = Some(moved);
    let renamed =
        to.parent.rename(name.name(), to.name.name(), Rename::Replace).at("put in place", output);
    match renamed {
        Ok(()) => remove(sandbox),
        Err(error) => Err(error.and_then(tree::remove(&to.parent, name.name(), &to.path))),
    }
}

/// The output, if it is on another file system than a sandbox that a payload has. Then the files
/// are brought there directly, and the sandbox's file system needs no room for them.
pub fn on_other_file_system<'a>(
    sandbox: &Sandbox,
    output: Option<&'a Path>,
) -> Result<Option<&'a Path>> {
    let has_payload =
        matches!((sandbox.retained()?, sandbox.found()?), (Retained::Proxy, Found::Theirs(_)));
    let Some(output) = output.filter(|_| has_payload) else { return Ok(None) };
    let is_other = Place::find(output)?.device()? != sandbox.place.device()?;
    Ok(is_other.then_some(output))
}

/// Brings the files of a sandbox with a payload to an output on another file system, where they get
/// the output's name when all are there, and removes the sandbox. If the sandbox cannot be removed,
/// that is reported, and is no failure. `agent` is one that was kept.
pub fn bring_to(
    output: &Path,
    agent: Option<Agent>,
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: cleanup::Policy,
    report: &mut Report<'_>,
) -> Result<(), HelperError> {
    let to = Place::find(output)?;
    require_free(&to)?;
    to.sweep(process::geteuid(), &mut || ());
    let copy = cleanup::copy_elsewhere(agent, sandbox, switcher, retries, policy, &to, report)?;
    let (name, path) = (copy.name.name(), to.path_of(copy.name.name()));
    let opened = to.parent.open_dir(name).at("open", &path);
    let renamed = opened.and_then(|top| remove_proxy_from(&top, &path)).and_then(|()| {
        to.parent.rename(name, to.name.name(), Rename::Replace).at("put in place", output)
    });
    if let Err(error) = renamed {
        return Err(error.and_then(tree::remove(&to.parent, name, &to.path)).into());
    }
    if let Err(error) = copy.remove_sandbox(sandbox) {
        let path = sandbox.path();
        let path = Shown::os(&path);
        report.notice(&format!(
            "condor_glexec_pilot: the files are at the output, but the sandbox is not removed: \
             {error}; run condor_glexec_pilot recover --discard {path}"
        ));
    }
    Ok(())
}

/// The output must be an empty directory, or not exist.
pub(super) fn require_free(output: &Place) -> Result<()> {
    let path = output.path_of(output.name.name());
    match output.parent.stat(output.name.name()) {
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EXDEV) => return Err(mounted(&path)),
        Ok(found) if found.kind() != Kind::Directory => {
            return Err(Error::refused(&path, "the output is no directory, or a link to one"));
        }
        found => found.at("examine the output directory", &path).map(drop)?,
    }
    let dir = output.parent.open_dir(output.name.name()).at("open the output directory", &path)?;
    let mut is_empty = true;
    let listed = dir.for_each_entry(|_, _| {
        is_empty = false;
        Ok::<_, Error>(())
    });
    listed.at("read the output directory", &path)??;
    if !is_empty {
        return Err(Error::refused(&path, "the output directory is not empty"));
    }
    Ok(())
}

fn mounted(output: &Path) -> Error {
    Error::refused(
        output,
        "something is mounted on it: name a directory in it that does not exist yet",
    )
}

/// What to do about a sandbox that is not back.
pub fn advice(sandbox: &Sandbox) -> String {
    let recover = format!("condor_glexec_pilot recover {}", Shown::os(&sandbox.path()));
    let is_full = Space::of(&sandbox.place.parent)
        .ok()
        .flatten()
        .is_some_and(|space| space.free < space.used / 2);
    if is_full {
        return format!(
            "{recover}, with --output DIRECTORY on another file system if this one has no room"
        );
    }
    recover
}

//! Making and removing a pilot's sandbox.

use std::path::Path;

use error::{Context as _, Result};
use sys::{Dir, Errno, Name, Rename};
use tree::{self, Transfer};
use wire::{Dropped, Halt};

use super::input::Survey;
use super::spec::PayloadSpec;
use super::{CREDENTIAL, PROXY, losses};
use crate::batch::Report;
use crate::batch::sandbox::Sandbox;

/// Makes the sandbox, with a copy of the input, the switcher's credential, and the payload's proxy
/// if it has one. `halt` ends the copying early.
pub fn make(
    sandbox: &Sandbox,
    spec: &PayloadSpec,
    survey: &Survey,
    halt: Option<Halt>,
    report: &mut Report<'_>,
) -> Result<()> {
    let place = &sandbox.place;
    let complete = |top: &Dir, path: &Path| {
        sandbox.write_proxy(top, path, &spec.credential)?;
        match (&spec.proxy, Name::new(PROXY.as_bytes())) {
            (Some(proxy), Some(name)) => tree::replace(place, top, path, name, proxy),
            _ => Ok(()),
        }
    };
    let name = match &spec.input {
        Some(input) => {
            let from = (input.as_path(), Transfer::Copy);
            let (name, (totals, dropped)) =
                tree::copy(from, place, halt, &mut report.progress, complete)?;
            let dropped = Dropped { links: survey.dangling, ..dropped };
            (report.moved, report.left) = (Some((totals, dropped)), survey.named.clone());
            let links =
                ("link that leads out of it to nothing", "links that lead out of it to nothing");
            let subject = "of the input there is not in the sandbox, or not as it was";
            if let Some(line) = losses::line(subject, &dropped, links) {
                report.notice(&line);
            }
            name
        }
        None => {
            let (name, top) = place.create_dir()?;
            complete(&top, &place.path_of(name.name()))
                .inspect_err(|_| sandbox.remove_leftover(&name))?;
            name
        }
    };
    let renamed = place.parent.rename(name.name(), place.name.name(), Rename::NoReplace);
    renamed.at("make the sandbox", sandbox.path()).inspect_err(|_| sandbox.remove_leftover(&name))
}

/// Removes a sandbox of the batch user, and all leftovers of that user beside it. If this process
/// is killed meanwhile, the rest has a temporary name, and the next sweep finds it.
pub fn remove(sandbox: &Sandbox) -> Result<()> {
    let (place, aside) = (&sandbox.place, sandbox.place.temporary_name());
    place
        .parent
        .rename(place.name.name(), aside.name(), Rename::NoReplace)
        .at("remove", sandbox.path())?;
    tree::remove(&place.parent, aside.name(), &place.path)?;
    sandbox.sweep(None);
    Ok(())
}

/// Removes the credentials from a sandbox that is back.
pub fn remove_credentials(sandbox: &Sandbox) -> Result<()> {
    remove_credentials_from(&sandbox.open()?, sandbox, &sandbox.path())
}

/// The same from a directory that was the sandbox, and has this path now.
pub(super) fn remove_credentials_from(top: &Dir, sandbox: &Sandbox, path: &Path) -> Result<()> {
    // The switcher's credential goes last: while it is there, this is a pilot's sandbox.
    if sandbox.proxy.name().bytes() == CREDENTIAL.as_bytes() {
        remove_proxy_from(top, path)?;
    }
    match top.remove_file(sandbox.proxy.name()) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(cause) => Err(cause).at("remove the credential", path.join(sandbox.proxy.name().os())),
    }
}

/// Removes the entry with the name of the payload's proxy, whatever the payload has put there.
pub(super) fn remove_proxy_from(top: &Dir, path: &Path) -> Result<()> {
    Name::new(PROXY.as_bytes()).map_or(Ok(()), |name| tree::remove(top, name, path))
}

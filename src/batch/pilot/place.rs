//! A pilot's sandbox before it changes hands, and its files when they are back.

use std::path::Path;

use error::{Context as _, Error, Result, Shown};
use sys::space::Space;
use sys::{Dir, Errno, Kind, Name, Rename, access, dir, process};
use tree::beside::Place;
use tree::{self, Way};
use wire::{Dropped, Halt};

use super::input::Survey;
use super::order::Order;
use super::{CREDENTIAL, PROXY, candidates, losses};
use crate::batch::sandbox::{Found, Retained, Sandbox};
use crate::batch::switcher::Switcher;
use crate::batch::{Failure, Patience, Report, cleanup};

/// Checks what can be checked before anything is done.
pub fn examine(order: &Order) -> Result<Sandbox> {
    let sandbox = Sandbox::find(&order.sandbox, CREDENTIAL.as_ref())?;
    for program in candidates::those(order.glexec.as_ref())? {
        if !access::may_execute(&program) {
            return Err(Error::refused(
                program,
                "there is no such program, or you may not execute it",
            ));
        }
    }
    if sandbox.found()? != Found::Nothing || sandbox.retained()? != Retained::Absent {
        return Err(Error::refused(&order.sandbox, "there is one of this name already"));
    }
    if let Some(input) = &order.input {
        let dir = Dir::open(input).at("open the input", input)?;
        if holds(input, &sandbox.place.path) {
            return Err(Error::refused(
                input,
                "the sandboxes are made in it: they can't be copied into themselves",
            ));
        }
        for own in [CREDENTIAL, PROXY] {
            if Name::new(own.as_bytes()).is_some_and(|name| dir.stat(name).is_ok()) {
                return Err(Error::refused(
                    input.join(own),
                    "a credential gets this name in the sandbox",
                ));
            }
        }
    }
    refuse_missing_command(order)?;
    if let Some(output) = &order.output {
        let place = Place::find(output)?;
        free(&place)?;
        if [sandbox.path(), sandbox.retained_path()].contains(output) {
            return Err(Error::refused(
                output,
                "the output can't be the sandbox itself: see --keep-sandbox",
            ));
        }
        if !access::may_write_directory(&place.path) {
            let why = "you may not make or rename anything here, where the output is to be";
            return Err(Error::refused(&place.path, why));
        }
    }
    Ok(sandbox)
}

/// A relative path of a command starts in the sandbox, in which there is what the input has, and
/// nothing else.
fn refuse_missing_command(order: &Order) -> Result<()> {
    let Some(program) =
        order.command.first().map(Path::new).filter(|program| program.is_relative())
    else {
        return Ok(());
    };
    let is_there = |input: &Path| std::fs::symlink_metadata(input.join(program)).is_ok();
    if order.input.as_deref().is_some_and(is_there) {
        return Ok(());
    }
    let missing =
        if order.input.is_some() { "the input has no such file" } else { "there is no --input" };
    let why = format!(
        "a command's relative path starts in the sandbox, and {missing}; name an absolute one, or --input"
    );
    Err(Error::refused(program, why))
}

/// Whether a directory is, or is above, another one.
fn holds(directory: &Path, other: &Path) -> bool {
    let identity = |path: &Path| dir::lstat(path).map(|found| found.identity()).ok();
    let other = other.canonicalize().unwrap_or_else(|_| other.to_path_buf());
    let directory = directory.canonicalize().ok().and_then(|directory| identity(&directory));
    directory.is_some() && other.ancestors().any(|above| identity(above) == directory)
}

/// Makes the sandbox: with a copy of the input, until `halt` wants it to end, the switcher's
/// credential, and the payload's proxy if it has one.
pub fn make(
    sandbox: &Sandbox,
    order: &Order,
    survey: &Survey,
    halt: Option<Halt>,
    report: &mut Report<'_>,
) -> Result<()> {
    let place = &sandbox.place;
    let complete = |top: &Dir, path: &Path| {
        sandbox.write_proxy(top, path, &order.credential)?;
        match (&order.proxy, Name::new(PROXY.as_bytes())) {
            (Some(proxy), Some(name)) => place.replace(top, path, name, proxy),
            _ => Ok(()),
        }
    };
    let name = match &order.input {
        Some(input) => {
            let from = (input.as_path(), Way::Copy);
            let (name, (totals, dropped)) =
                tree::copy(from, place, halt, &mut report.progress, complete)?;
            let dropped = Dropped { links: survey.dangling, ..dropped };
            (report.moved, report.left) = (Some((totals, dropped)), survey.named.clone());
            let links =
                ("link that leads out of it to nothing", "links that lead out of it to nothing");
            if let Some(line) = losses::line(
                "of the input there is not in the sandbox, or not as it was",
                &dropped,
                links,
            ) {
                report.notice(&line);
            }
            name
        }
        None => {
            let (name, top) = place.create_dir()?;
            complete(&top, &place.path_of(name.name())).inspect_err(|_| sandbox.forget(&name))?;
            name
        }
    };
    let named = place.parent.rename(name.name(), place.name.name(), Rename::NoReplace);
    named.at("make the sandbox", sandbox.path()).inspect_err(|_| sandbox.forget(&name))
}

/// Removes a sandbox of this user's with all that this user has beside it. If this process is
/// killed meanwhile, what is left has a name that the next sweep finds.
pub fn remove(sandbox: &Sandbox) -> Result<()> {
    let (place, aside) = (&sandbox.place, sandbox.place.free_name());
    place
        .parent
        .rename(place.name.name(), aside.name(), Rename::NoReplace)
        .at("remove", sandbox.path())?;
    tree::remove(&place.parent, aside.name(), &place.path)?;
    sandbox.sweep_all();
    Ok(())
}

/// Removes the credentials from a sandbox that is back.
pub fn remove_credential(sandbox: &Sandbox) -> Result<()> {
    remove_credential_from(&sandbox.open()?, sandbox, &sandbox.path())
}

fn remove_credential_from(top: &Dir, sandbox: &Sandbox, path: &Path) -> Result<()> {
    // The other one goes last: as long as it is there this is a pilot's sandbox.
    if sandbox.proxy.name().bytes() == CREDENTIAL.as_bytes() {
        remove_proxy_from(top, path)?;
    }
    match top.remove_file(sandbox.proxy.name()) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(cause) => Err(cause).at("remove the credential", path.join(sandbox.proxy.name().os())),
    }
}

/// Removes what has the name of the payload's proxy, whatever the payload has made of it.
pub fn remove_proxy_from(top: &Dir, path: &Path) -> Result<()> {
    Name::new(PROXY.as_bytes()).map_or(Ok(()), |name| tree::remove(top, name, path))
}

/// Gives a sandbox that is back the name of the output, or copies it there and removes it, without
/// the credential. An empty directory that has that name goes. Until then the credential tells that
/// it is a sandbox.
pub fn deliver(
    sandbox: &Sandbox,
    output: &Path,
    halt: Option<Halt>,
    report: &mut Report<'_>,
) -> Result<()> {
    let (from, to) = (&sandbox.place, Place::find(output)?);
    free(&to)?;
    let top = sandbox.open()?;
    // What the payload has opened to everybody stays behind a top that is closed, whatever the mode
    // of the directory that goes.
    top.set_mode(0o700).at("set the mode of", sandbox.path())?;
    match from.parent.rename_into(from.name.name(), &to.parent, to.name.name(), Rename::Replace) {
        Ok(()) => remove_credential_from(&top, sandbox, output),
        Err(Errno::EXDEV) => copy_there(sandbox, &to, output, halt, report),
        Err(Errno::EBUSY) => Err(mounted(output)),
        Err(cause) => Err(cause).at("rename the sandbox to", output),
    }
}

/// The output, if it is on another file system, and the sandbox has a payload: then the files are
/// brought there at once, and the sandbox's own file system needs no room for them.
pub fn elsewhere<'a>(sandbox: &Sandbox, output: Option<&'a Path>) -> Result<Option<&'a Path>> {
    let has_payload =
        matches!((sandbox.retained()?, sandbox.found()?), (Retained::Proxy, Found::Theirs(_)));
    let Some(output) = output.filter(|_| has_payload) else { return Ok(None) };
    let is_elsewhere = Place::find(output)?.device()? != sandbox.place.device()?;
    Ok(is_elsewhere.then_some(output))
}

/// Brings the files of a sandbox with a payload to such an output, where they get its name when all
/// are there, and removes the sandbox. What can't be removed of it is named, and is no failure.
pub fn bring_elsewhere(
    sandbox: &Sandbox,
    (switcher, patience): (&Switcher, Patience),
    policy: cleanup::Policy,
    output: &Path,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let to = Place::find(output)?;
    free(&to)?;
    to.sweep(process::geteuid(), &mut || ());
    let brought = cleanup::bring_elsewhere(sandbox, switcher, patience, policy, &to, report)?;
    let path = to.path_of(brought.name.name());
    let opened = to.parent.open_dir(brought.name.name()).at("open", &path);
    let named = opened.and_then(|top| remove_proxy_from(&top, &path)).and_then(|()| {
        let named = to.parent.rename(brought.name.name(), to.name.name(), Rename::Replace);
        named.at("put in place", output)
    });
    if let Err(error) = named {
        return Err(error.and_then(tree::remove(&to.parent, brought.name.name(), &to.path)).into());
    }
    if let Err(error) = brought.finish(sandbox) {
        let path = sandbox.path();
        let path = Shown::os(&path);
        report.notice(&format!(
            "condor_glexec_pilot: the files are at the output, but the sandbox is not removed: {error}; condor_glexec_pilot recover --discard {path}"
        ));
    }
    Ok(())
}

/// Copies it to another file system, where it gets its name when it is complete, and removes it.
fn copy_there(
    sandbox: &Sandbox,
    to: &Place,
    output: &Path,
    halt: Option<Halt>,
    report: &mut Report<'_>,
) -> Result<()> {
    to.sweep(process::geteuid(), &mut || ());
    let complete = |top: &Dir, path: &Path| remove_credential_from(top, sandbox, path);
    let (name, moved) =
        tree::copy((&sandbox.path(), Way::HandOver), to, halt, &mut report.progress, complete)?;
    report.moved = Some(moved);
    let named =
        to.parent.rename(name.name(), to.name.name(), Rename::Replace).at("put in place", output);
    match named {
        Ok(()) => remove(sandbox),
        Err(error) => Err(error.and_then(tree::remove(&to.parent, name.name(), &to.path))),
    }
}

fn mounted(output: &Path) -> Error {
    Error::refused(
        output,
        "something is mounted on it: name a directory in it that does not exist yet",
    )
}

/// The output is an empty directory, or nothing yet; anything else is refused.
fn free(output: &Place) -> Result<()> {
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

/// What to do about a sandbox that is not back.
pub fn advice(sandbox: &Sandbox) -> String {
    let again = format!("condor_glexec_pilot recover {}", Shown::os(&sandbox.path()));
    let is_full = Space::of(&sandbox.place.parent)
        .ok()
        .flatten()
        .is_some_and(|space| space.free < space.used / 2);
    if is_full {
        return format!(
            "{again}, with --output DIRECTORY on another file system if this one has no room"
        );
    }
    again
}

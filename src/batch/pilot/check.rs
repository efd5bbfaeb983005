//! The checks before a run changes anything.

use std::os::fd::AsFd as _;
use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, Name, access, dir, file, process};
use tree::Place;
use world::Spec;

use super::output::require_free;
use super::spec::PayloadSpec;
use super::{CREDENTIAL, PROXY, set_up};
use crate::batch::sandbox::{Found, Retained, Sandbox};

/// Checks the switcher, the sandbox's name, the input, the command and the output.
pub fn check(spec: &PayloadSpec) -> Result<Sandbox> {
    let sandbox = Sandbox::find(&spec.sandbox, CREDENTIAL.as_ref())?;
    if let Some(scripts) = &spec.session_scripts {
        Dir::open(scripts).at("open the directory of session scripts", scripts)?;
    }
    for program in set_up::programs(spec)? {
        if !access::may_execute(&program) {
            return Err(Error::refused(program, "it does not exist, or you may not execute it"));
        }
    }
    if spec.world != Some(Spec::Shared) {
        refuse_directories()?;
    }
    if let Some(world) = &spec.world {
        let resolved = world.clone().resolve(process::geteuid());
        resolved.map_err(|refusal| Error::Usage { text: refusal.text })?;
    }
    if sandbox.found()? != Found::Nothing || sandbox.retained()? != Retained::Absent {
        return Err(Error::refused(&spec.sandbox, "a sandbox of this name exists already"));
    }
    if let Some(input) = &spec.input {
        check_input(input, &sandbox)?;
    }
    check_command(spec)?;
    if let Some(output) = &spec.output {
        check_output(output, &sandbox)?;
    }
    Ok(sandbox)
}

/// A directory that a payload has open leads out of its world.
fn refuse_directories() -> Result<()> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for (name, fd) in [
        ("standard input", stdin.as_fd()),
        ("standard output", stdout.as_fd()),
        ("standard error", stderr.as_fd()),
    ] {
        if file::stat(&fd).is_ok_and(|found| found.kind() == Kind::Directory) {
            return Err(Error::refused(name, "it is a directory, which a payload cannot have"));
        }
    }
    Ok(())
}

fn check_input(input: &Path, sandbox: &Sandbox) -> Result<()> {
    let dir = Dir::open(input).at("open the input", input)?;
    if contains(input, &sandbox.place.path) {
        let why = "it contains the directory of the sandboxes, which cannot be copied into itself";
        return Err(Error::refused(input, why));
    }
    for own in [CREDENTIAL, PROXY] {
        if Name::new(own.as_bytes()).is_some_and(|name| dir.stat(name).is_ok()) {
            let why = "this name is reserved for a credential in the sandbox";
            return Err(Error::refused(input.join(own), why));
        }
    }
    Ok(())
}

/// A relative path of a command starts in the sandbox, which contains what the input contains, and
/// nothing else.
fn check_command(spec: &PayloadSpec) -> Result<()> {
    let Some(program) = spec.command.first().map(Path::new).filter(|program| program.is_relative())
    else {
        return Ok(());
    };
    let missing = match &spec.input {
        Some(input) if std::fs::symlink_metadata(input.join(program)).is_ok() => return Ok(()),
        Some(_) => "the input has no such file",
        None => "there is no --input",
    };
    let why = format!(
        "a command's relative path starts in the sandbox, and {missing}; name an absolute path, or \
         --input"
    );
    Err(Error::refused(program, why))
}

fn check_output(output: &Path, sandbox: &Sandbox) -> Result<()> {
    let place = Place::find(output)?;
    require_free(&place)?;
    if [sandbox.path(), sandbox.retained_path()].iter().any(|path| path == output) {
        let why = "the output cannot be the sandbox itself: see --keep-sandbox";
        return Err(Error::refused(output, why));
    }
    if !access::may_write_directory(&place.path) {
        let why = "you may not create or rename anything here, where the output is to be";
        return Err(Error::refused(&place.path, why));
    }
    Ok(())
}

/// Whether a directory is another one, or above it.
fn contains(directory: &Path, other: &Path) -> bool {
    let identity = |path: &Path| dir::lstat(path).map(|found| found.identity()).ok();
    let other = other.canonicalize().unwrap_or_else(|_| other.to_path_buf());
    let directory = directory.canonicalize().ok().and_then(|directory| identity(&directory));
    directory.is_some() && other.ancestors().any(|above| identity(above) == directory)
}

//! The options of `run` about the payload's world.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches};
use error::Shown;
use world::{Bind, Spec};

use super::options;
use crate::cli::definition::{flag, option};

/// The options whose values go to the switcher, as [`Spec::parse`] knows them.
const PASSED: [&str; 9] =
    ["world", "writable", "read-only", "bind", "hide", "root", "network", "device", "tmp-size"];

/// Those of them whose value begins with a path.
const PATHS: [&str; 6] = ["writable", "read-only", "bind", "hide", "root", "device"];

/// The options.
pub fn arguments() -> Vec<Arg> {
    let repeated = |name, value, help| option(name, value, help).action(ArgAction::Append);
    vec![
        option(
            "world",
            "WORLD",
            "closed: the payload can write to its sandbox and to a private /tmp,\n\
             /var/tmp and /dev/shm, and all else is read-only; it sees no homes and\n\
             no other sandboxes. shared: it sees the machine as its user does\n\
             [default: closed, if the switcher is the project's glexec]",
        ),
        repeated("writable", "DIR", "A directory that the payload can write to; can be repeated"),
        repeated(
            "read-only",
            "DIR[:AT]",
            "A directory that the payload sees at AT, or at its own path also where\n\
             that is hidden; can be repeated",
        ),
        repeated("bind", "DIR:AT", "The same, and it can write to it; can be repeated"),
        repeated("hide", "DIR", "A directory that is empty for the payload; can be repeated"),
        option("cwd", "DIR", "The payload's working directory [default: its sandbox]"),
        option(
            "root",
            "DIR",
            "The payload's root directory, read-only: a directory with the files of\n\
             a system, such as an unpacked image",
        ),
        option(
            "network",
            "NETWORK",
            "machine: the payload has the machine's network. none: it has loopback\n\
             alone [default: machine]",
        ),
        repeated(
            "device",
            "PATH",
            "A device in /dev that the payload gets, such as that of a GPU; can be\n\
             repeated",
        ),
        option(
            "tmp-size",
            "SIZE",
            "How much /tmp, /var/tmp and /dev/shm hold together, in memory: bytes,\n\
             or a number with K, M or G [default: 1G]",
        ),
        flag("nested", "The payload may make namespaces and mounts of its own"),
        option(
            "input-mode",
            "MODE",
            "copy: the input is copied into the sandbox. bind: it is not copied;\n\
             the payload sees it at its own path, read-only [default: copy]",
        ),
    ]
}

/// What the options ask for; without any of them, what the switcher can do.
pub fn from_arguments(matches: &ArgMatches) -> anyhow::Result<Option<Spec>> {
    let mut given: Vec<(&str, OsString)> = Vec::new();
    for name in PASSED {
        for value in options::values(matches, name) {
            given.push((name, if PATHS.contains(&name) { absolute(value)? } else { value.into() }));
        }
    }
    if matches.get_flag("nested") {
        given.push(("nested", OsString::new()));
    }
    let bound = bound_input(matches)?;
    if given.is_empty() && bound.is_none() {
        return Ok(None);
    }
    let parsed = Spec::parse(given.iter().map(|(name, value)| (*name, value.as_os_str())));
    let spec = parsed.map_err(|refusal| anyhow!("{refusal}"))?;
    let Some(input) = bound else { return Ok(Some(spec)) };
    match spec {
        Spec::Closed(mut closed) => {
            closed.read_only.push(Bind { from: input.clone(), at: input });
            Ok(Some(Spec::Closed(closed)))
        }
        Spec::Shared if given.is_empty() => {
            let read_only = vec![Bind { from: input.clone(), at: input }];
            Ok(Some(Spec::Closed(world::Closed { read_only, ..Default::default() })))
        }
        Spec::Shared => bail!("--input-mode bind needs the closed world"),
    }
}

/// The input, if it is not copied.
fn bound_input(matches: &ArgMatches) -> anyhow::Result<Option<PathBuf>> {
    match options::value(matches, "input-mode").map(|mode| mode.as_bytes()) {
        None | Some(b"copy") => Ok(None),
        Some(b"bind") => match options::path(matches, "input")? {
            Some(input) => Ok(Some(input)),
            None => bail!("--input-mode bind needs --input"),
        },
        Some(mode) => bail!("--input-mode must be copy or bind: '{}'", Shown(mode)),
    }
}

/// The input that is copied into the sandbox.
pub fn copied_input(matches: &ArgMatches) -> anyhow::Result<Option<PathBuf>> {
    match bound_input(matches)? {
        Some(_) => Ok(None),
        None => options::path(matches, "input"),
    }
}

/// A value that begins with a path, with that made absolute.
fn absolute(value: &OsStr) -> anyhow::Result<OsString> {
    if value.is_empty() || value.as_bytes().starts_with(b"/") {
        return Ok(value.to_owned());
    }
    let path = std::path::absolute(Path::new(value));
    Ok(path.with_context(|| format!("'{}'", Shown::os(value)))?.into_os_string())
}

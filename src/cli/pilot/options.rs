//! The options that several subcommands have, and reading options.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches};
use error::Shown;

use crate::batch::pilot::AbandonedSandbox;
use crate::cli::definition::option;
use crate::cli::environment;

/// The directory of sandboxes, if `--execute` is not given.
const EXECUTE: &str = "/var/tmp";

/// The switcher.
pub fn glexec() -> Arg {
    option(
        "glexec",
        "PROGRAM",
        "The identity switcher: a path, or a name that is searched for in PATH\n\
         [default: the first that works here; doctor prints it]",
    )
}

/// The directory of sandboxes.
pub fn execute() -> Arg {
    option(
        "execute",
        "DIR",
        "The directory in which the sandbox is created; its mode must be 1777\n\
         [default: /var/tmp]",
    )
}

/// The switcher's credential.
pub fn credential() -> Arg {
    option(
        "credential",
        "FILE",
        "The switcher's credential, mode 0600; the payload does not get it\n\
         [default: the file that X509_USER_PROXY names, or a dummy credential]",
    )
}

/// The payload's proxy.
pub fn proxy() -> Arg {
    option(
        "proxy",
        "FILE",
        "The payload's credential, mode 0600. The payload gets a copy, and its\n\
         X509_USER_PROXY names it [default: none, X509_USER_PROXY is unset]",
    )
}

/// A sandbox that exists.
pub fn sandbox() -> Arg {
    let sandbox = Arg::new("sandbox").value_name("sandbox").value_parser(ValueParser::os_string());
    sandbox.required(true).help("The absolute path of the sandbox, as in an error or a log line")
}

/// The value of an option.
pub fn value<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a OsString> {
    matches.get_one(name)
}

/// The values of an option that can be given more than once.
pub fn values<'a>(matches: &'a ArgMatches, name: &str) -> impl Iterator<Item = &'a OsString> {
    matches.get_many(name).into_iter().flatten()
}

/// The value of an option as an absolute path.
pub fn path(matches: &ArgMatches, name: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = value(matches, name).map(|path| {
        std::path::absolute(path).with_context(|| format!("--{name} '{}'", Shown::os(path)))
    });
    path.transpose()
}

/// The directory of sandboxes, as [`execute`] defines it.
pub fn execute_path(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    Ok(path(matches, "execute")?.unwrap_or_else(|| PathBuf::from(EXECUTE)))
}

/// The path of the switcher's credential, as [`credential`] defines it; none for a dummy one.
pub fn credential_path(matches: &ArgMatches) -> anyhow::Result<Option<PathBuf>> {
    let named_by_variable =
        || std::env::var_os("X509_USER_PROXY").filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(path(matches, "credential")?.or_else(named_by_variable))
}

/// The sandbox that [`sandbox`] names, reached through the switcher that [`glexec()`] names.
pub fn abandoned_sandbox(matches: &ArgMatches) -> anyhow::Result<AbandonedSandbox> {
    let path = value(matches, "sandbox").ok_or_else(|| anyhow!("there is no sandbox"))?;
    let glexec = value(matches, "glexec").cloned();
    let settings = (environment::handover()?, environment::idle_timeout()?);
    Ok(AbandonedSandbox::find(Path::new(path), glexec, settings)?)
}

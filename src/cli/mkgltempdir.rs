//! `mkgltempdir`

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::ArgMatches;
use error::{Context as _, Shown};

use super::definition::{self, LOG, POSITIONAL, flag, option};
use super::helper::{self, HelperCall};
use super::{arguments, notice};
use crate::batch::Report;
use crate::batch::error::HelperError;
use crate::batch::temporary_directory::{self, Modes};

/// The command's definition.
pub fn definition() -> clap::Command {
    definition::helper(
        "mkgltempdir",
        "Makes or removes a temporary directory of the payload's user.",
        format!(
            "\
mkgltempdir has the command line of gLExec's program of this name. It makes a
directory of its own, and through the switcher in it one that belongs to the
user that the credential maps to (the payload's user). It prints the path of the
second one. Other users can pass the first one, but cannot make or rename files
in it. With -r it removes both.

Arguments:
  <directory>  where the directories are made [default: TMPDIR, or /tmp];
               with -r: the path that mkgltempdir has printed

The switcher is GLEXEC_LOCATION/sbin/glexec, if there is such a program; else
glexec in PATH; else the glexec that is installed with mkgltempdir. It gets the
variables of the caller, such as GLEXEC_CLIENT_CERT. Remove the directory before
the credential: the path of the credential determines the user.

Exit status:
  0  done
  1  usage error or bad input; nothing was changed
  2  failed; after a failure to make a directory, nothing is left of it

Environment:
  GLEXEC_LOCATION
          the directory that contains sbin/glexec
  TMPDIR  where the directories are made
{LOG}
Example:
  directory=$(mkgltempdir)
  glexec /bin/cp /etc/hostname \"$directory\"
  mkgltempdir -r -f \"$directory\"
"
        ),
        &["directory"],
    )
    .override_usage(
        "mkgltempdir [-t <mode>] [-m <mode>] [<directory>]\n       mkgltempdir -r [-f] <directory>",
    )
    .mut_arg(POSITIONAL, |directory| directory.required(false).num_args(0..=1))
    .arg(option("mode", "MODE", "Octal mode of the directory [default: 0700]").short('t'))
    .arg(option("parent-mode", "MODE", "Octal mode of its parent [default: 0755]").short('m'))
    .arg(
        flag("remove", "Removes the directory, which must be empty")
            .short('r')
            .conflicts_with_all(["mode", "parent-mode"]),
    )
    .arg(flag("force", "With -r: also removes what is in it").short('f').requires("remove"))
}

/// Runs the command.
pub fn main() -> ExitCode {
    helper::prepare_to_create_files();
    let call = match HelperCall::start(definition()) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let mut print = notice::print;
    let mut report = Report::new(&mut print);
    let result = if call.matches.get_flag("remove") {
        remove(&call.matches, &mut report)
    } else {
        make(&call.matches, &mut report)
    };
    call.end(&report, result)
}

fn make(matches: &ArgMatches, report: &mut Report<'_>) -> Result<(), HelperError> {
    let modes =
        Modes { inner: mode(matches, "mode", 0o700)?, outer: mode(matches, "parent-mode", 0o755)? };
    temporary_directory::refuse_modes(modes).map_err(|why| anyhow!(why))?;
    let from_environment = || std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
    let base = directory(matches).or_else(from_environment).unwrap_or_else(|| "/tmp".into());
    let base = absolute(base)?;
    report.about.clone_from(&base);
    let switcher = find_switcher().map_err(HelperError::bad_input)?;
    let made = temporary_directory::make(&base, modes, &switcher)?;
    report.about.clone_from(&made);
    let line = [made.as_os_str().as_bytes(), b"\n"].concat();
    // A caller that does not learn the path cannot remove the directory.
    let printed = std::io::stdout().write_all(&line).at("print the path of", &made);
    printed.map_err(|error| {
        error.and_then(temporary_directory::remove(&made, false, || Ok(switcher))).into()
    })
}

fn remove(matches: &ArgMatches, report: &mut Report<'_>) -> Result<(), HelperError> {
    let directory = directory(matches).ok_or_else(|| anyhow!("-r needs the directory"))?;
    let directory = absolute(directory)?;
    report.about.clone_from(&directory);
    let force = matches.get_flag("force");
    Ok(temporary_directory::remove(&directory, force, find_switcher)?)
}

fn find_switcher() -> error::Result<PathBuf> {
    temporary_directory::find_switcher(std::env::var_os("GLEXEC_LOCATION").as_deref())
}

fn directory(matches: &ArgMatches) -> Option<OsString> {
    arguments::positional(matches).into_iter().next()
}

fn absolute(path: OsString) -> anyhow::Result<PathBuf> {
    std::path::absolute(&path).with_context(|| format!("<directory> '{}'", Shown::os(&path)))
}

/// The octal mode that an option names.
fn mode(matches: &ArgMatches, name: &str, default: u32) -> anyhow::Result<u32> {
    let Some(text): Option<&OsString> = matches.get_one(name) else { return Ok(default) };
    let digits =
        text.to_str().filter(|text| text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)));
    match digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()) {
        Some(mode @ 0..=0o7777) => Ok(mode),
        _ => bail!("--{name} must be an octal mode, at most 7777: '{}'", Shown::os(text)),
    }
}

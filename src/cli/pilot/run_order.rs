//! The arguments of `condor_glexec_pilot run`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::ArgMatches;
use error::Shown;
use sys::spawn::Inherited;
use tree::sandbox_name;

use super::{limits, options, variables, world};
use crate::batch::credential::{DUMMY_CREDENTIAL, read_private_credential_at};
use crate::batch::pilot::PROXY;
use crate::batch::pilot::spec::PayloadSpec;
use crate::batch::switcher::find_in_path;
use crate::cli::environment;

/// The default of `--grace`, in seconds.
const GRACE: u32 = 10;

/// What the arguments ask for; `inherited` is what the payload gets from the caller.
pub fn from_arguments(matches: &ArgMatches, inherited: Inherited) -> anyhow::Result<PayloadSpec> {
    let credential = match options::credential_path(matches)? {
        Some(path) => read_private_credential_at(&path)?,
        None => DUMMY_CREDENTIAL.to_vec(),
    };
    let proxy = options::path(matches, "proxy")?
        .map(|path| read_private_credential_at(&path))
        .transpose()?;
    let sandbox = options::execute_path(matches)?.join(name(matches)?);
    let environment = payload_environment(matches, &sandbox, proxy.is_some())?;
    let command = command(matches)?;
    let time = |name: &str| {
        let text = options::value(matches, name);
        text.map(|text| seconds(&format!("--{name}"), text)).transpose()
    };
    let (timeout, grace) = (time("timeout")?, time("grace")?);
    Ok(PayloadSpec {
        glexec: options::value(matches, "glexec").cloned(),
        idle_timeout: environment::idle_timeout()?,
        sandbox,
        credential,
        proxy,
        input: world::copied_input(matches)?,
        output: options::path(matches, "output")?,
        keeps_sandbox: matches.get_flag("keep-sandbox"),
        handover: environment::handover()?,
        links: environment::links()?,
        environment,
        world: world::from_arguments(matches)?,
        inherited,
        session_scripts: options::path(matches, "session-scripts")?,
        renewed: None,
        is_below_starter: false,
        sandbox_at: None,
        timeout: timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        limits: limits::from_arguments(matches)?,
        grace: grace.map_or(GRACE, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        command,
    })
}

/// The payload's variables. If a name occurs twice, the later one counts: HOME can be given by the
/// caller. By default it is the sandbox, to which the payload can write.
fn payload_environment(
    matches: &ArgMatches,
    sandbox: &Path,
    has_proxy: bool,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut environment = vec![[b"HOME=", sandbox.as_os_str().as_bytes()].concat()];
    if let Some(directory) = options::path(matches, "cwd")? {
        environment.push(wire::launch::working_directory(&directory));
    }
    if has_proxy {
        let path = sandbox.join(PROXY);
        environment.push([b"X509_USER_PROXY=", path.as_os_str().as_bytes()].concat());
    }
    for path in options::values(matches, "env-file") {
        environment.extend(variables::of_file(Path::new(path))?);
    }
    for text in options::values(matches, "env") {
        environment.extend(variables::of_option(text)?);
    }
    Ok(environment)
}

/// The payload's program and arguments. A name without a slash is searched for in PATH.
fn command(matches: &ArgMatches) -> anyhow::Result<Vec<OsString>> {
    let mut command: Vec<OsString> = options::values(matches, "command").cloned().collect();
    let program = command.first_mut().ok_or_else(|| anyhow!("there is no command"))?;
    if !program.as_bytes().contains(&b'/') {
        *program = find_in_path(program)?.into_os_string();
    }
    Ok(command)
}

/// The sandbox's name, which is one component of a path, and no name that is used for something
/// beside a sandbox.
fn name(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    let Some(name) = options::value(matches, "name") else {
        return Ok(format!("pilot_{:08x}", fastrand::u32(..)).into());
    };
    match sys::Name::new(name.as_bytes()) {
        Some(_)
            if !name.as_bytes().ends_with(b".condor")
                && sandbox_name(name.as_bytes()) == name.as_bytes() =>
        {
            Ok(name.into())
        }
        _ => bail!(
            "--name must be a file name, without a slash, and without the reserved .condor and \
             .gh.*: '{}'",
            Shown::os(name)
        ),
    }
}

/// A time in seconds: a number, with a unit or without.
pub(super) fn seconds(option: &str, text: &OsStr) -> anyhow::Result<u64> {
    match text.to_str().and_then(parse_time) {
        Some(seconds) => Ok(seconds),
        None => bail!(
            "{option} must be a number of seconds, or a number with s, m, h or d: '{}'",
            Shown::os(text)
        ),
    }
}

fn parse_time(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_one_with_a_unit() {
        for (text, time) in [
            ("0", 0),
            ("90", 90),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("1d", 86400),
            ("007", 7),
        ] {
            assert_eq!(parse_time(text), Some(time), "{text}");
        }
        for text in [
            "",
            "m",
            "-1",
            "+1",
            "1.5h",
            "5 m",
            "5M",
            "5ms",
            "1h30m",
            " 5",
            "99999999999999999999",
            "999999999999999999d",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}

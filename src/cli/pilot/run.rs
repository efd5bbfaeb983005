//! `condor_glexec_pilot run`

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::ArgMatches;
use error::Shown;
use serde_json::Value;
use sys::process::Inherited;
use tree::beside::sandbox_name;

use super::report::{self, ReportFile};
use super::{NAME, Status, Told, absolute, credential_path, text, values};
use crate::batch::pilot::order::Order;
use crate::batch::pilot::run::{self, Outcome, Stage};
use crate::batch::pilot::supervise::StopReason;
use crate::batch::pilot::{PROXY, credential};
use crate::batch::switcher;

/// What the switcher is called with where the caller has no credential.
const PLACEHOLDER: &[u8] = b"a placeholder\n";

/// Runs the command.
pub fn main(matches: &ArgMatches, inherited: Inherited) -> ExitCode {
    let started = Instant::now();
    let file =
        match absolute(matches, "report").and_then(|path| path.map(ReportFile::open).transpose()) {
            Ok(file) => file,
            Err(error) => return super::refuse(&error),
        };
    let order = match order(matches, inherited) {
        Ok(order) => order,
        Err(error) => {
            let ended = super::refuse(&error);
            deliver(file, &report::of_wrong_call(&format!("{error:#}")));
            return ended;
        }
    };
    let mut told = Told::default();
    let outcome =
        super::with_diary(&order.sandbox, &mut told, |step_log| run::run(&order, step_log));
    let status = status(&outcome);
    for (stage, error) in &outcome.failures {
        super::say(format_args!("{}: {error}", words(*stage, &outcome)));
    }
    if order.keeps_sandbox && outcome.switcher.is_some() {
        let line = format!("{NAME}: the sandbox is {}", Shown::os(&order.sandbox));
        crate::cli::notice(&line);
        told.notices.push(line);
    }
    let report = report::of(&order, &outcome, status, started.elapsed(), told);
    if matches.get_flag("json") {
        super::print_line(&report);
    }
    deliver(file, &report);
    ExitCode::from(status)
}

/// Writes the report, if a file is wanted. What has been done is done: that this fails is only
/// said.
fn deliver(file: Option<ReportFile>, report: &Value) {
    if let Some(Err(error)) = file.map(|file| file.write(report)) {
        super::say(format_args!("{error:#}"));
    }
}

/// What the arguments ask for.
fn order(matches: &ArgMatches, inherited: Inherited) -> anyhow::Result<Order> {
    let credential = match credential_path(matches)? {
        Some(path) => credential::read(&path)?,
        None => PLACEHOLDER.to_vec(),
    };
    let proxy = absolute(matches, "proxy")?.map(|path| credential::read(&path)).transpose()?;
    let sandbox = super::execute_directory(matches)?.join(name(matches)?);
    // A home that it can write to; what is named later wins.
    let mut environment = vec![[b"HOME=", sandbox.as_os_str().as_bytes()].concat()];
    if proxy.is_some() {
        let path = sandbox.join(PROXY);
        environment.push([b"X509_USER_PROXY=", path.as_os_str().as_bytes()].concat());
    }
    for path in values(matches, "env-file") {
        environment.extend(variables_in(Path::new(path))?);
    }
    for text in values(matches, "env") {
        environment.extend(variable(text)?);
    }
    let mut command: Vec<OsString> = values(matches, "command").cloned().collect();
    let program = command.first_mut().ok_or_else(|| anyhow!("there is no command"))?;
    if !program.as_bytes().contains(&b'/') {
        *program = switcher::search(program)?.into_os_string();
    }
    let timeout = text(matches, "timeout").map(|text| seconds("--timeout", text)).transpose()?;
    let grace = text(matches, "grace").map(|text| seconds("--grace", text)).transpose()?;
    Ok(Order {
        glexec: text(matches, "glexec").cloned(),
        limit: crate::cli::idle_limit()?,
        sandbox,
        credential,
        proxy,
        input: absolute(matches, "input")?,
        output: absolute(matches, "output")?,
        keeps_sandbox: matches.get_flag("keep-sandbox"),
        links: crate::cli::cleanup::links()?,
        environment,
        inherited,
        timeout: timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        grace: grace.map_or(10, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        command,
    })
}

/// A time in seconds: a number, with a unit or without.
fn seconds(option: &str, text: &OsStr) -> anyhow::Result<u64> {
    let of_text = |text: &str| {
        let (number, unit) =
            text.split_at(text.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
        let unit = match unit {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => return None,
        };
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit)
    };
    match text.to_str().and_then(of_text) {
        Some(seconds) => Ok(seconds),
        None => {
            bail!(
                "{option} is no time: '{}'; it is a number of seconds, or one with s, m, h or d",
                Shown::os(text)
            )
        }
    }
}

/// The sandbox's name: one component of a path.
fn name(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    let Some(name) = text(matches, "name") else {
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
            "--name is no name of a file, or one of those beside a sandbox (.condor, .gh.*): '{}'",
            Shown::os(name)
        ),
    }
}

/// `NAME=VALUE`, or the name of one of this process's, with a question mark if it need not have
/// one.
fn variable(text: &OsStr) -> anyhow::Result<Option<Vec<u8>>> {
    let bytes = text.as_bytes();
    if let Some(end) = bytes.iter().position(|byte| *byte == b'=') {
        check_name(&bytes[..end]).context("--env")?;
        return Ok(Some(bytes.to_vec()));
    }
    let (name, is_optional) = bytes.strip_suffix(b"?").map_or((bytes, false), |name| (name, true));
    check_name(name).context("--env")?;
    match std::env::var_os(OsStr::from_bytes(name)) {
        Some(value) => Ok(Some([name, b"=", &value.into_vec()].concat())),
        None if is_optional => Ok(None),
        None => {
            let name = Shown(name);
            bail!("--env {name}: you have no such variable (--env '{name}?' then passes none)")
        }
    }
}

/// What no shell can have made a name of is a slip, such as a line for a shell.
fn check_name(name: &[u8]) -> anyhow::Result<()> {
    if name.is_empty() {
        bail!("there is no name of a variable");
    }
    if name.iter().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        bail!("'{}' is no name of a variable: there is white space in it", Shown(name));
    }
    Ok(())
}

fn variables_in(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let shown = || format!("--env-file {}", Shown::os(path));
    let content = std::fs::read(path).with_context(shown)?;
    let mut variables = Vec::new();
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let shown = || format!("{}, line {}", shown(), number + 1);
        if line.ends_with(b"\r") {
            bail!(
                "{}: it ends with a carriage return, which would be part of the value: see dos2unix(1)",
                shown()
            );
        }
        if line.trim_ascii().is_empty() || line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let Some(end) = line.iter().position(|byte| *byte == b'=').filter(|_| !line.contains(&0))
        else {
            bail!("{}: it is not NAME=VALUE", shown());
        };
        check_name(&line[..end]).with_context(shown)?;
        variables.push(line.to_vec());
    }
    Ok(variables)
}

/// The exit status: the part that failed last tells, else the payload.
fn status(outcome: &Outcome) -> u8 {
    let own = outcome.failures.last().map(|(stage, _)| match stage {
        Stage::Order => Status::BadCall,
        Stage::SetUp => Status::NoSetUp,
        Stage::Switch => Status::NoSwitch,
        Stage::CleanUp => Status::NoCleanUp,
    });
    match (own, outcome.payload, outcome.asked) {
        (Some(own), ..) => own as u8,
        (None, Some(240..=244), _) => Status::Ambiguous as u8,
        (None, Some(status), _) => u8::try_from(status).unwrap_or(u8::MAX),
        (None, None, Some(StopReason::Signal(number))) => {
            u8::try_from(128 + number).unwrap_or(u8::MAX)
        }
        (None, None, _) => Status::NoSwitch as u8,
    }
}

fn words(stage: Stage, outcome: &Outcome) -> String {
    match (stage, outcome.payload) {
        (Stage::Order, _) => "nothing was done".to_owned(),
        (Stage::SetUp, _) => "the sandbox could not be handed over".to_owned(),
        (Stage::Switch, _) => "the payload could not be started".to_owned(),
        (Stage::CleanUp, Some(status)) => {
            format!("the payload ended with status {status}, but its files are not back")
        }
        (Stage::CleanUp, None) => "there was no payload, and the files are not back".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_one_with_a_unit() {
        let parsed = |text: &str| seconds("--timeout", OsStr::new(text)).ok();
        for (text, time) in [
            ("0", 0),
            ("90", 90),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("1d", 86400),
            ("007", 7),
        ] {
            assert_eq!(parsed(text), Some(time), "{text}");
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
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}

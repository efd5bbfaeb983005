//! The limits of a payload: options of `condor_glexec_pilot run`, and their part of the report.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Arg, ArgMatches};
use error::Shown;
use serde_json::{Map, Value, json};

use super::options::value;
use super::run_order::seconds;
use crate::batch::pilot::limits::Limits;
use crate::batch::pilot::limits::plan::{Means, Plan};
use crate::batch::pilot::limits::used::Used;
use crate::cli::definition::{flag, option};

/// The options.
pub fn options() -> Vec<Arg> {
    vec![
        option(
            "memory",
            "SIZE",
            "The resident memory of all processes of the payload together: bytes,\n\
             or a number with K, M, G or T (powers of 1024) [default: no limit]",
        ),
        option("pids", "N", "The number of its processes and threads [default: no limit]"),
        option("cpus", "N", "The number of processors that it runs on [default: all]"),
        option(
            "file-size",
            "SIZE",
            "The size of each file that it writes, as for --memory\n\
             [default: no limit]",
        ),
        option(
            "disk",
            "SIZE",
            "What the sandbox uses of its file system, as for --memory\n\
             [default: no limit]",
        ),
        option(
            "cpu-time",
            "TIME",
            "The processor time of all its processes together, as for --timeout\n\
             [default: no limit]",
        ),
        flag(
            "best-effort",
            "Runs the payload although a limit cannot be enforced here, and says so\n\
             in one line",
        ),
    ]
}

/// The part of the help text about them.
pub const TEXT: &str = "\
A payload that exceeds --memory, --pids or --disk is killed, without --grace. At
--cpu-time it is ended as at --timeout. One line names the limit. --file-size,
and --pids with glexec, are limits of the kernel (getrlimit): the payload's
write or fork fails. The other limits are watched: the pilot looks every 100
milliseconds. The report says by what each limit was enforced. A limit that
cannot be enforced is a usage error, unless --best-effort is given.
";

/// The limits that the arguments ask for.
pub fn from_arguments(matches: &ArgMatches) -> anyhow::Result<Limits> {
    let with = |name: &'static str, read: &dyn Fn(&str, &OsStr) -> anyhow::Result<u64>| {
        let text = value(matches, name);
        text.map(|text| positive(name, read(&format!("--{name}"), text)?)).transpose()
    };
    Ok(Limits {
        memory: with("memory", &size)?,
        pids: with("pids", &number)?,
        cpus: with("cpus", &number)?,
        file_size: with("file-size", &size)?,
        disk: with("disk", &size)?,
        cpu_time: with("cpu-time", &seconds)?.map(Duration::from_secs),
        best_effort: matches.get_flag("best-effort"),
    })
}

fn positive(name: &str, value: u64) -> anyhow::Result<u64> {
    if value == 0 { Err(anyhow!("--{name} must be above 0")) } else { Ok(value) }
}

fn number(option: &str, text: &OsStr) -> anyhow::Result<u64> {
    match text.to_str().filter(|text| is_number(text)).and_then(|text| text.parse().ok()) {
        Some(number) => Ok(number),
        None => bail!("{option} must be a number: '{}'", Shown::os(text)),
    }
}

fn size(option: &str, text: &OsStr) -> anyhow::Result<u64> {
    match world::parse_size(text) {
        Some(bytes) => Ok(bytes),
        None => bail!(
            "{option} must be a number of bytes, or a number with K, M, G or T: '{}'",
            Shown::os(text)
        ),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Each limit with its value, and what enforces it.
pub fn report_of_plan(plan: &Plan) -> Value {
    let mut limits = Map::new();
    for enforced in &plan.limits {
        let means: Vec<&str> = enforced.means.iter().map(|means| Means::name(*means)).collect();
        let name = enforced.limit.name().replace('-', "_");
        limits.insert(name, json!({ "value": enforced.value, "enforced_by": means }));
    }
    limits.into()
}

/// What the payload has used.
pub fn report_of_used(used: &Used) -> Value {
    let times = used.processor_times();
    let seconds = |at: usize| times.map(|(times, _)| times[at].as_secs_f64());
    json!({
        "cpu_user_seconds": seconds(0),
        "cpu_system_seconds": seconds(1),
        "cpu_measured_by": times.map(|(_, by)| by),
        "peak_memory": used.peak_memory(),
        "peak_process_memory": used.call.map(|usage| usage.largest_process),
        "peak_disk": used.peak_disk,
        "peak_pids": used.peak_processes(),
        "bytes_written": used.written(),
    })
}

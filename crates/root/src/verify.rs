//! Whose a proxy is: `glexec_verify` checks its certificates, in a process without privilege. This
//! program links no cryptography.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use command::accounts::Account;
use command::payload::c_strings;
use command::query;
use command::refusal::{Refusal, Result, Status};
use hooks::trust::{self, Owners};
use sys::fork::{self, Fork};
use sys::signal::SIGKILL;
use sys::switch::{self, Identity};
use sys::{Errno, exec, fd, file, inherited, process, signal, stdio, wait};
use wire::verified::{self, MAX_ANSWER, Verified};

use crate::config::Config;
use crate::session::beside_this_program;

/// A check takes milliseconds. Without an answer within this time there is something wrong.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The identity of a proxy, which is read from a credential's content; or why it has none.
pub fn verify(credential: &[u8], caller: &Account, config: &Config) -> Result<verified::Identity> {
    let program = beside_this_program("glexec_verify").ok_or_else(|| {
        Refusal::internal(
            "glexec_verify is not installed beside glexec, or not only root can change it: \
             install it, or use mapping = caller",
        )
    })?;
    trust::open_directory(&config.ca_directory, &Owners::ROOT)
        .map_err(|error| Refusal::internal(format!("cannot use ca_directory: {error}")))?;
    let answer = ask(&program, &arguments(caller, config), credential)
        .map_err(|why| Refusal::internal(format!("cannot verify the proxy: {why}")))?;
    match Verified::parse(&answer) {
        Some(Verified::Identity(identity)) => Ok(identity),
        Some(Verified::Error { status, reason }) => {
            let status = match status {
                201 => Status::Client,
                203 => Status::NotAuthorized,
                _ => Status::Internal,
            };
            Err(Refusal::new(status, format!("the proxy is not accepted: {reason}")))
        }
        None => Err(Refusal::internal("cannot verify the proxy: glexec_verify gave no answer")),
    }
}

fn arguments(caller: &Account, config: &Config) -> Vec<OsString> {
    let mut arguments = vec!["--ca-directory".into(), config.ca_directory.clone().into()];
    if config.allow_limited_proxies {
        arguments.push("--allow-limited".into());
    }
    if config.omission_private_key_white_list.contains(caller) {
        arguments.push("--allow-no-key".into());
    }
    for limit in &config.max_proxy_lifetime {
        arguments.extend(["--max-lifetime".into(), limit.clone()]);
    }
    arguments
}

/// Starts the program as `nobody`, with the credential as its input, and returns what it prints.
fn ask(program: &Path, arguments: &[OsString], input: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |step: &'static str| move |cause: Errno| format!("cannot {step}: {cause}");
    // Not a pipe: this process need not write while it waits.
    let input = file::in_memory(input).map_err(failed("make a file in memory"))?;
    let (reader, output) = fd::pipe().map_err(failed("make a pipe"))?;
    let words = [&[program.as_os_str().to_owned()], arguments].concat();
    let child = match fork::fork().map_err(failed("start a process"))? {
        Fork::Child => {
            execute(&words, input, output);
            process::_exit(1)
        }
        Fork::Parent(child) => child,
    };
    drop(output);
    let answer = query::read(reader, MAX_ANSWER, Instant::now() + TIMEOUT);
    let _ = signal::kill(child, SIGKILL);
    wait::wait(child);
    answer.map_err(failed("read the answer of glexec_verify"))
}

/// Becomes the program. Returns only if that fails.
fn execute(words: &[OsString], input: File, output: File) -> Option<()> {
    let (user, group) = query::nobody();
    let nobody = Identity { user, group, groups: Vec::new() };
    let null = stdio::null().ok()?;
    stdio::set_stdio(&[input.into(), output.into(), null]).ok()?;
    inherited::set_cloexec_above_2().ok()?;
    process::chdir(Path::new("/")).ok()?;
    switch::become_for_good(&nobody, &Identity::root()).ok()?;
    signal::reset_all().ok()?;
    let words = c_strings(words).ok()?;
    exec::execve(words.first()?, &words, &[]);
    None
}

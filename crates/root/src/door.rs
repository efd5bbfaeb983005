//! A call, from a caller that may be anybody to the end of its payload: the steps, in their order.
//!
//! Each step is a module that can be read alone. Up to the fork, a step that fails ends the call,
//! and what earlier steps have done is undone in reverse order; nothing was executed then.

use std::ffi::OsString;
use std::path::PathBuf;

use command::payload::Proxy;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::wait::End;

use crate::config::Config;
use crate::log::{Level, Log};
use crate::payload::Payload;
use crate::sanitize::Start;
use crate::session::{self, Kind};
use crate::target::{self, Target};
use crate::{caller, credential, environment, family, linger, start};

/// Serves a call of a process that [`crate::sanitize::sanitize`] has prepared: returns how the
/// payload has ended, or why none was executed. Without `linger` it returns only in the latter case.
pub fn serve(start: &Start, command: Vec<OsString>, config: &Config) -> Result<End> {
    let log = Log::new(config);
    let words = command.iter().map(|word| Shown::os(word).to_string()).collect::<Vec<_>>();
    let id = start.environment.get("GLEXEC_ID").unwrap_or_default();
    let (user, words) = (start.caller.user, words.join(" "));
    log.write(Level::Info, format_args!("uid {user} calls, id \"{}\": {words}", Shown::os(id)));
    let ended = steps(start, command, config, log);
    if let Err(refusal) = &ended {
        let (status, text) = (refusal.status as u8, &refusal.text);
        log.write(
            Level::Error,
            format_args!(
                "refused uid {user} with status {status}, id \"{}\": {text}: {words}",
                Shown::os(id)
            ),
        );
    }
    ended
}

fn steps(start: &Start, command: Vec<OsString>, config: &Config, log: Log<'_>) -> Result<End> {
    let caller = caller::of(&start.caller, config)?;
    let credential = credential::find(&start.environment, &start.caller)?;
    let account = command::accounts::named(b"gh-job")?.unwrap();
    let target = target::of(account, &start.caller, config)?;
    let kind = session::kind_of(&command);
    let payload = prepare(start, command, &kind, &target, config)?;
    match config.linger {
        true => run(&payload, &target, config, log),
        false => Err(payload.execute(None)),
    }
}

fn prepare(
    start: &Start,
    command: Vec<OsString>,
    kind: &Kind,
    target: &Target,
    config: &Config,
) -> Result<Payload> {
    let proxy = target_proxy(start, target, config)?;
    let environment = environment::of(&start.environment, &target.account, proxy.as_ref(), config);
    let program = match kind {
        Kind::Session => None,
        Kind::Operation(agent) => Some(agent.clone()),
    };
    Ok(Payload {
        command,
        program,
        path: config.path.clone(),
        target: target.identity.clone(),
        caller: start.caller.clone(),
        environment,
        proxy,
        umask: start.umask,
        limits: start.limits.clone(),
    })
}

/// The copy of a proxy that the caller asks for.
fn target_proxy(start: &Start, target: &Target, config: &Config) -> Result<Option<Proxy>> {
    let path = start.environment.get("GLEXEC_TARGET_PROXY").map(PathBuf::from);
    let source = match start.environment.get("GLEXEC_SOURCE_PROXY") {
        Some(source) if config.create_target_proxy => source,
        _ => return Ok(None),
    };
    match &path {
        Some(path) if path.as_os_str() == "/dev/null" => return Ok(None),
        Some(path) if !path.is_absolute() => {
            return Err(Refusal::client(format!(
                "GLEXEC_TARGET_PROXY is not an absolute path: {}",
                Shown::os(path)
            )));
        }
        _ => {}
    }
    let read = credential::read(source, &start.caller)?;
    Ok(Some(Proxy::new(read.content, path, target.identity.user)))
}

/// Runs the payload below this process, and ends what it leaves.
fn run(payload: &Payload, target: &Target, config: &Config, log: Log<'_>) -> Result<End> {
    let child = start::start(payload)?;
    linger::let_go();
    log.started(child, target.identity.user);
    let (end, mut times) = linger::wait_for(child, || {
        if config.end_family {
            family::kill(child);
        }
    });
    if config.end_family {
        let (more, left) = family::end(payload.caller.user);
        times += more;
        if left > 0 {
            log.write(
                Level::Warning,
                format_args!("{left} processes of payload {child} do not end"),
            );
        }
    }
    if let Some(proxy) = payload.proxy.as_ref().filter(|proxy| proxy.is_temporary()) {
        start::as_user(&payload.target, &payload.caller, || proxy.remove());
    }
    log.terminated(child, times);
    Ok(end)
}

//! The environment variables of the helpers and of the pilot's command, but for those of the log.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::bail;
use error::Shown;
use wire::Links;

use super::arguments::number;
use crate::batch::cleanup::KillScope;
use crate::batch::handover::Handover;

/// The time without progress after which a peer is given up: 600 seconds by default; zero means no
/// limit.
pub fn idle_timeout() -> anyhow::Result<Duration> {
    const NAME: &str = "GLEXEC_HELPERS_IDLE_TIMEOUT";
    match std::env::var_os(NAME) {
        None => Ok(Duration::from_secs(600)),
        Some(text) => number(NAME, &text).map(Duration::from_secs),
    }
}

/// What becomes of symbolic links that lead out of the sandbox: by default they are replaced by
/// copies.
pub fn links() -> anyhow::Result<Links> {
    const NAME: &str = "GLEXEC_HELPERS_LINKS";
    let Some(value) = variable(NAME) else { return Ok(Links::Copy) };
    match value.to_str() {
        Some("copy") => Ok(Links::Copy),
        Some("keep") => Ok(Links::Keep),
        Some("drop") => Ok(Links::Drop),
        _ => bail!("{NAME} must be copy, keep or drop: '{}'", Shown::os(&value)),
    }
}

/// How a sandbox changes hands: by default by a change of owner where that is possible and faster.
pub fn handover() -> anyhow::Result<Handover> {
    const NAME: &str = "GLEXEC_HELPERS_HANDOVER";
    let Some(value) = variable(NAME) else { return Ok(Handover::Auto) };
    match value.to_str() {
        Some("auto") => Ok(Handover::Auto),
        Some("own") => Ok(Handover::Own),
        Some("copy") => Ok(Handover::Copy),
        _ => bail!("{NAME} must be auto, own or copy: '{}'", Shown::os(&value)),
    }
}

/// The processes that cleanup kills: by default none.
pub fn killed_by_cleanup() -> anyhow::Result<KillScope> {
    const NAME: &str = "GLEXEC_HELPERS_CLEANUP";
    let Some(value) = variable(NAME) else { return Ok(KillScope::Nothing) };
    match value.to_str() {
        Some("files") => Ok(KillScope::Nothing),
        Some("family") => Ok(KillScope::Family),
        Some("account") => Ok(KillScope::Account),
        _ => bail!("{NAME} must be files, family or account: '{}'", Shown::os(&value)),
    }
}

/// Whether kill, called with SIGKILL for one process, ends its whole family: by default not.
pub fn kill_ends_family() -> anyhow::Result<bool> {
    const NAME: &str = "GLEXEC_HELPERS_KILL";
    let Some(value) = variable(NAME) else { return Ok(false) };
    match value.to_str() {
        Some("process") => Ok(false),
        Some("family") => Ok(true),
        _ => bail!("{NAME} must be process or family: '{}'", Shown::os(&value)),
    }
}

/// The value of a variable. An empty one counts as unset.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

//! What to do about a switcher that does not work. The cause is the error of the call, the exit
//! status of the switcher in it, and facts about this machine; never the words of a program.

use command::Status;
use error::{Error, Shown};

use super::caller::Caller;
use super::sudo;
use crate::batch::pilot::candidates::{MAP, SwitcherKind};
use crate::batch::switcher::installed_program;

/// The exit statuses of a switcher for its own failures.
const CLIENT_ERROR: i32 = Status::Client as i32;
const INTERNAL_ERROR: i32 = Status::Internal as i32;
const AUTHORIZATION_ERROR: i32 = Status::NotAuthorized as i32;

/// The exit status of sudo for each of its failures, and of the agent.
const FAILURE: i32 = 1;

/// For a cause whose message names the remedy.
const AS_IT_SAYS: &str = "do what the message says";

/// What to do about a switcher of this kind after this error.
pub(super) fn after(error: Option<&Error>, kind: Option<SwitcherKind>, caller: &Caller) -> String {
    let status = match error.map(first_cause) {
        // The agent works: the switcher is not at fault.
        Some(Error::Told { .. }) => return AS_IT_SAYS.to_owned(),
        Some(Error::NoJobUser { .. }) => return other_account(caller),
        Some(Error::Switcher { status, .. }) => *status,
        _ => None,
    };
    match (kind, status) {
        (Some(SwitcherKind::Rootless), Some(INTERNAL_ERROR)) if caller.has_no_subordinate_ids => {
            format!("as root `{}`", caller.command_for_ids)
        }
        (Some(SwitcherKind::Rootless), Some(INTERNAL_ERROR)) => {
            "do what the message says; the requirements are in docs/glexec.md".to_owned()
        }
        (Some(SwitcherKind::Rootless), Some(CLIENT_ERROR)) => AS_IT_SAYS.to_owned(),
        (Some(SwitcherKind::Rootless), _) => "see the requirements in docs/glexec.md".to_owned(),
        (Some(SwitcherKind::Sudo), Some(CLIENT_ERROR)) => AS_IT_SAYS.to_owned(),
        (Some(SwitcherKind::Sudo), Some(AUTHORIZATION_ERROR)) => other_account(caller),
        (Some(SwitcherKind::Sudo), Some(FAILURE)) if sudo::logs_input() => {
            format!("add to the sudo rule `Defaults:{} !log_input, !use_pty`", caller.name)
        }
        (Some(SwitcherKind::Sudo), _) => samples(),
        (Some(SwitcherKind::Glexec) | None, _) => {
            "see the switcher's log, or name another one with --glexec".to_owned()
        }
    }
}

/// The first of several errors: the others are its consequences.
fn first_cause(error: &Error) -> &Error {
    match error {
        Error::Both { first, .. } => first_cause(first),
        error => error,
    }
}

fn other_account(caller: &Caller) -> String {
    format!(
        "map the caller to another account: in the map, {MAP}, a line `{} <account>`",
        caller.name
    )
}

/// What `glexec-sudo` needs, and where the samples for it are.
pub(super) fn samples() -> String {
    let examples = installed_program("../../share/doc/glexec-helpers/examples")
        .ok()
        .and_then(|path| path.canonicalize().ok());
    let place = examples.map(|path| format!(" in {}", Shown::os(&path))).unwrap_or_default();
    format!(
        "a sudo rule and a map, {MAP}: see the samples glexec-sudo.sudoers and \
         glexec-sudo.map{place}"
    )
}

//! The caller's name and subordinate ids.

use command::accounts;
use error::Shown;
use glexec::ranges;
use sys::process;

/// The user that calls the doctor.
pub(super) struct Caller {
    /// The name, or without one the number, for rules and commands.
    pub(super) name: String,
    /// Whether the user has no subordinate uids, or no gids.
    pub(super) has_no_subordinate_ids: bool,
    /// Another owner of some of the same subordinate ids.
    pub(super) shares_ids_with: Option<String>,
    /// The command with which an administrator gives the user subordinate ids that no other user
    /// has.
    pub(super) command_for_ids: String,
}

impl Caller {
    pub(super) fn of_this_process() -> Caller {
        let user = process::geteuid();
        let account = accounts::of(user).ok().flatten();
        let name =
            account.map_or_else(|| user.to_string(), |account| Shown(&account.name).to_string());
        Caller {
            has_no_subordinate_ids: ranges::are_missing(user),
            shares_ids_with: ranges::shared_with(user),
            command_for_ids: ranges::command_for_some(&name),
            name,
        }
    }
}

//! Who calls, and whether that account may.

use command::accounts::{self, Account};
use command::refusal::{Refusal, Result};
use sys::switch::Identity;

use crate::config::Config;

/// The account of a caller, if `user_white_list` has it.
pub fn of(caller: &Identity, config: &Config) -> Result<Account> {
    let account = accounts::of(caller.user)?.ok_or_else(|| {
        Refusal::not_authorized(format!("there is no account with your uid, {}", caller.user))
    })?;
    config.user_white_list.require_caller(&account)?;
    Ok(account)
}

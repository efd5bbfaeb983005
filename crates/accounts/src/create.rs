//! Makes accounts of this machine for the list.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use command::accounts::{self, Account};
use command::executable;
use command::refusal::{Refusal, Result};
use error::Shown;
use root::config::Config;

/// The home of the accounts. It does not exist, so nothing is left in it.
const HOME: &str = "/nonexistent";

/// The shells of accounts without a login, the first that there is.
const SHELLS: [&str; 3] = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false"];

/// Makes an account without a login: no password, no shell, no home, no subordinate ids, and a
/// group of its own. Whether it was made: one that exists already is left as it is.
pub(crate) fn account(name: &[u8], config: &Config) -> Result<bool> {
    if accounts::named(name)?.is_some() {
        return Ok(false);
    }
    let useradd = executable::of_system("useradd").map_err(|why| {
        Refusal::internal(format!("cannot make the account {}: {why}", Shown(name)))
    })?;
    let mut call = Command::new(useradd);
    call.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    call.args(["--no-create-home", "--home-dir", HOME, "--shell", shell(), "--user-group"]);
    call.args(["--comment", "glexecd account"]);
    // As another of its subordinate users a payload would not be found as the account's.
    call.args(["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"]);
    for (key, limit) in [("UID_MIN", config.min_uid), ("GID_MIN", config.min_gid)] {
        if limit > 1000 {
            call.args(["-K", &format!("{key}={limit}")]);
        }
    }
    call.arg("--").arg(OsStr::from_bytes(name)).stdin(Stdio::null());
    let failed =
        |why: String| Refusal::internal(format!("cannot make the account {}: {why}", Shown(name)));
    let output = call.output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(true),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            Err(failed(format!("useradd: {}", Shown(said.as_bytes()))))
        }
    }
}

fn shell() -> &'static str {
    SHELLS.into_iter().find(|shell| Path::new(shell).exists()).unwrap_or(SHELLS[2])
}

/// Why an account that exists is not taken as one of a pool: a person may use it. Its processes
/// would be ended with each lease.
pub(crate) fn is_used_otherwise(account: &Account) -> bool {
    account.home != Path::new(HOME) || !SHELLS.iter().any(|shell| account.shell == Path::new(shell))
}

//! `glexec_accounts release`: ends the leases of accounts, and their payloads.

use std::os::unix::ffi::OsStrExt as _;

use command::program::{Options, Program, VERSION, option};
use command::refusal::{Refusal, Result};
use command::say;
use error::Shown;
use root::accounts::{end, used};

use crate::call::{answer, configuration, operands};

/// The command's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts release",
    about: "Ends the leases of accounts, and their payloads.",
    arguments: "<account>...",
    operations: &["--all"],
    options: &[option("all", "", "All accounts that have a lease or are in quarantine"), VERSION],
    text: "\
The payloads are killed; their callers get status 137. A guest account is
cleaned then: all its processes are ended, and what it has left in /tmp,
/var/tmp, /dev/shm, in mail and cron and as System V IPC is removed. If that
cannot be proved the account stays in quarantine, and is not leased; release it
again once the reason is gone.

Exit status: 0; 1 an account could not be released or is in quarantine.
",
};

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    let all = options.get("all").is_some();
    let words = operands(options, &PROGRAM, usize::from(!all), if all { 0 } else { usize::MAX })?;
    configuration()?;
    let names = match all {
        true => used()?,
        false => words.iter().map(|word| word.as_bytes().to_vec()).collect(),
    };
    let mut failed = 0;
    for name in &names {
        match account(name) {
            Ok(what) => answer(&format!("{}{what}\n", Shown(name))),
            Err(refusal) => {
                failed += 1;
                say("glexec_accounts", format_args!("{}: {refusal}", Shown(name)));
            }
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Refusal::internal(format!("{failed} accounts were not released"))),
    }
}

/// Releases an account. Returns what was done, after its name.
pub(crate) fn account(name: &[u8]) -> Result<String> {
    let released = end::release(name, None, "admin")?;
    if let Some(why) = released.quarantine {
        return Err(Refusal::internal(format!("it is in quarantine: {why}")));
    }
    Ok(format!(": {} leases, {} payloads ended", released.leases, released.payloads))
}

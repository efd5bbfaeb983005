//! `glexec_accounts lease`: takes guest accounts out of the pool for a time.

use std::os::unix::ffi::OsStrExt as _;

use command::program::{Options, Program, VERSION, option};
use command::refusal::{Refusal, Result};
use command::utc;
use error::Shown;
use root::accounts::reserve::reserve;

use crate::call::{answer, configuration, operands};
use crate::history::moment;
use crate::output::time;

/// The command's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts lease",
    about: "Takes free guest accounts out of the pool for a time.",
    arguments: "[--until <time>] <account>...",
    operations: &[],
    options: &[
        option("until", "<time>", "When they are free again (default: after lease_time)"),
        VERSION,
    ],
    text: "\
The accounts are leased to root, and no client gets them: for maintenance, or to
look into what a job has met. glexec_accounts release gives them back earlier;
as at the end of any lease they are cleaned then. The time is written as for
glexec_accounts history.

Exit status: 0; 1 an account is not free or no guest account; those before it
in the command are leased.
",
};

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    let words = operands(options, &PROGRAM, 1, usize::MAX)?;
    let config = configuration()?;
    let until = match options.get("until") {
        Some(word) => moment(word)?,
        None => utc::now() + config.lease_time,
    };
    if until <= utc::now() {
        return Err(Refusal::client(format!("{} is not in the future", time(until))));
    }
    for word in words {
        let record = reserve(word.as_bytes(), until.as_secs(), &config)?;
        let name = Shown(&record.account);
        answer(&format!("{name} is leased to root until {}\n", time(until)));
    }
    Ok(())
}

//! `glexec_accounts drain` and `undrain`: whether new leases begin.

use command::program::{Options, Program, VERSION};
use command::refusal::Result;
use root::accounts::audit::{self, Event};
use root::accounts::{leases, set_drain};

use crate::call::{answer, by, configuration, operands};

/// The options and the help text of `drain`.
pub const DRAIN: Program = Program {
    name: "glexec_accounts drain",
    about: "Lets no new lease begin on this machine.",
    arguments: "",
    operations: &[],
    options: &[VERSION],
    text: "\
Leases that have begun go on, with new payloads, until they end. A call that
needs a new lease gets status 202. A restart of the machine ends it.

Exit status: 0; 1 it could not be done.
",
};

/// The options and the help text of `undrain`.
pub const UNDRAIN: Program = Program {
    name: "glexec_accounts undrain",
    about: "Lets leases begin again.",
    arguments: "",
    operations: &[],
    options: &[VERSION],
    text: "\
It undoes glexec_accounts drain.

Exit status: 0; 1 it could not be done.
",
};

/// Runs `drain`, or `undrain`.
pub(crate) fn run(options: &Options, drains: bool) -> Result<()> {
    operands(options, if drains { &DRAIN } else { &UNDRAIN }, 0, 0)?;
    configuration()?;
    let changed = set_drain(drains)?;
    let by = by();
    match (drains, changed) {
        (true, true) => audit::write(&Event::DrainBegun { by }),
        (false, true) => audit::write(&Event::DrainEnded { by }),
        _ => {}
    }
    let text = match drains {
        true => format!("no new lease begins; {} leases are left\n", leases()?.len()),
        false => "new leases begin\n".to_owned(),
    };
    answer(&text);
    Ok(())
}

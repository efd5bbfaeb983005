//! Commands that a bench runs, which must succeed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::support::{Account, MAP, Site, succeeded};

/// A command in the environment that the helpers have.
pub fn as_batch(program: impl AsRef<OsStr>) -> Command {
    let mut command = Account::batch().command(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("GLEXEC_SUDO_MAP", MAP).env("LC_ALL", "C");
    command
}

/// A call of the switcher that runs `/bin/true`: the least time that a side with a switcher needs.
pub fn bare_switcher(site: &Site, proxy: &Path) -> Command {
    let mut command = as_batch(site.switcher());
    command.arg("/bin/true").env("GLEXEC_CLIENT_CERT", proxy);
    command
}

/// Runs a command. Fails unless it succeeds and writes nothing to standard error.
pub fn run(command: &mut Command) {
    succeeded(&command.output().expect("the program is not installed: run ci/provision"));
}

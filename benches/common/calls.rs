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

/// The switcher with next to nothing to do: no side that calls it is faster.
pub fn bare_switcher(site: &Site, proxy: &Path) -> Command {
    let mut command = as_batch(site.switcher());
    command.arg("/bin/true").env("GLEXEC_CLIENT_CERT", proxy);
    command
}

/// Runs a command; fails unless it succeeds without a word on standard error.
pub fn run(command: &mut Command) {
    succeeded(&command.output().expect("it is installed: run ci/provision"));
}

//! The sides: each hands a sandbox over through `glexec` and takes it back, is timed and checked,
//! and leaves nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::common::calls::{as_batch, run};
use super::common::times::timed;
use super::moves::{Taken, wait_for_removal};
use super::support::handover::{CLEANUP, SETUP};
use super::support::{Account, PROXY, SUBORDINATE, Site, executable, own, program, write};
use super::tally::Tally;

pub const SWITCHER: &str = "switcher";
/// There and back, as all that follow.
pub const CALLS: [&str; 2] = ["--give", "--take"];
pub const OWN: [&str; 2] = ["setup, own", "cleanup, own"];
pub const COPY: [&str; 2] = ["setup, copy", "cleanup, copy"];
pub const BASELINE: [&str; 2] = ["baseline setup", "baseline cleanup"];

/// A way to hand over a sandbox of the batch user, which is deleted at the end.
pub type Side = fn(&Site, &Path) -> Taken;

pub const SIDES: [Side; 5] = [switcher, calls, own_helpers, copy_helpers, baseline];

fn switcher(_: &Site, sandbox: &Path) -> Taken {
    let mut command = as_batch(program("glexec"));
    command.arg("/bin/true").env("GLEXEC_CLIENT_CERT", sandbox.join(PROXY));
    let taken = timed(|| run(&mut command));
    fs::remove_dir_all(sandbox).unwrap();
    vec![(SWITCHER, taken)]
}

/// `glexec --give` and `--take`, of the sandbox itself.
pub fn calls(site: &Site, sandbox: &Path) -> Taken {
    let credential = site.scratch().join("credential");
    write(&credential, "a token\n", 0o600);
    own(&credential, Account::batch());
    there_and_back(CALLS, sandbox, |direction| {
        let mut command = as_batch(program("glexec"));
        command.arg(CALLS[direction]).arg(sandbox).env("GLEXEC_CLIENT_CERT", &credential);
        run(&mut command);
    })
}

/// The helpers, which change the owner.
pub fn own_helpers(site: &Site, sandbox: &Path) -> Taken {
    helpers(OWN, "own", site, sandbox)
}

/// The helpers, which copy.
pub fn copy_helpers(site: &Site, sandbox: &Path) -> Taken {
    helpers(COPY, "copy", site, sandbox)
}

fn helpers(names: [&'static str; 2], how: &str, site: &Site, sandbox: &Path) -> Taken {
    there_and_back(names, sandbox, |direction| {
        let mut call = site.call([SETUP, CLEANUP][direction], &program("glexec"), sandbox);
        // The default of the idle timeout: the tests' shorter one could end the call on a slow
        // disk.
        call.env_remove("GLEXEC_HELPERS_IDLE_TIMEOUT").env("GLEXEC_HELPERS_HANDOVER", how);
        run(&mut call);
        wait_for_removal(site);
    })
}

fn baseline(site: &Site, sandbox: &Path) -> Taken {
    let script = site.path().join("baseline.sh");
    executable(&script, include_bytes!("../handover/baseline.sh"));
    there_and_back(BASELINE, sandbox, |direction| {
        let direction = ["setup", "cleanup"][direction];
        run(as_batch(&script).arg(direction).arg(program("glexec")).arg(PROXY).arg(sandbox));
    })
}

/// Times both directions, checks what comes of them, and removes the sandbox.
fn there_and_back(names: [&'static str; 2], sandbox: &Path, call: impl Fn(usize)) -> Taken {
    let all = Tally::of(sandbox, Account::batch());
    let mut taken: Vec<(&str, Duration)> = Vec::new();
    for (direction, name) in names.into_iter().enumerate() {
        taken.push((name, timed(|| call(direction))));
        // Each credential has another user.
        let account = Account::of(sandbox);
        assert_eq!(SUBORDINATE.contains(&account.uid), direction == 0, "{name}");
        assert_eq!(Tally::of(sandbox, account), all, "{name}");
    }
    fs::remove_dir_all(sandbox).unwrap();
    taken
}

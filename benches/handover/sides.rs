//! The sides: each moves a sandbox in its way, is timed and checked, and leaves nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_extra::dir::CopyOptions;

use super::common::calls::{as_batch, bare_switcher, run};
use super::common::times::timed;
use super::moves::{Taken, cp, moved, rsync, wait_for_removal};
use super::support::handover::{CLEANUP, SETUP};
use super::support::{Account, PROXY, Site, executable};
use super::tally::Tally;

pub const SWITCHER: &str = "switcher";
pub const HELPERS: [&str; 3] = ["setup", "setup, all gone", "cleanup"];
pub const BASELINE: [&str; 2] = ["baseline setup", "baseline cleanup"];
pub const FS_EXTRA: &str = "fs_extra";

/// A way to move a sandbox of the batch user, which is deleted at the end.
pub type Side = fn(&Site, &Path) -> Taken;

pub const SIDES: [Side; 6] = [switcher, helpers, baseline, cp, rsync, fs_extra];

fn switcher(site: &Site, sandbox: &Path) -> Taken {
    let mut command = bare_switcher(site, &sandbox.join(PROXY));
    let taken = timed(|| run(&mut command));
    fs::remove_dir_all(sandbox).unwrap();
    vec![(SWITCHER, taken)]
}

fn helpers(site: &Site, sandbox: &Path) -> Taken {
    let all = Tally::of(sandbox, Account::batch());
    // The default of the idle timeout: the tests' shorter one could end the call on a slow disk.
    let call = |name| {
        run(site.call(name, &site.switcher(), sandbox).env_remove("GLEXEC_HELPERS_IDLE_TIMEOUT"))
    };

    let mut setup = Duration::ZERO;
    let all_gone = timed(|| {
        let started = Instant::now();
        call(SETUP);
        setup = started.elapsed();
        wait_for_removal(site);
    });
    assert_eq!(Tally::of(sandbox, Account::job()), all, "setup");
    let cleanup = timed(|| call(CLEANUP));
    wait_for_removal(site);
    assert_eq!(Tally::of(sandbox, Account::batch()), all, "cleanup");

    fs::remove_dir_all(sandbox).unwrap();
    HELPERS.into_iter().zip([setup, all_gone, cleanup]).collect()
}

fn baseline(site: &Site, sandbox: &Path) -> Taken {
    let all = Tally::of(sandbox, Account::batch());
    let script = site.path().join("baseline.sh");
    executable(&script, include_bytes!("baseline.sh"));
    let call = |direction| {
        run(as_batch(&script).arg(direction).arg(site.switcher()).arg(PROXY).arg(sandbox));
    };

    let setup = timed(|| call("setup"));
    assert_eq!(Tally::of(sandbox, Account::job()), all, "the baseline's setup");
    let cleanup = timed(|| call("cleanup"));
    assert_eq!(Tally::of(sandbox, Account::batch()), all, "the baseline's cleanup");

    fs::remove_dir_all(sandbox).unwrap();
    BASELINE.into_iter().zip([setup, cleanup]).collect()
}

fn fs_extra(_: &Site, sandbox: &Path) -> Taken {
    vec![(
        FS_EXTRA,
        moved(sandbox, Account::named("root"), |copy| {
            fs_extra::dir::copy(sandbox, copy, &CopyOptions::new().copy_inside(true)).unwrap();
            fs::remove_dir_all(sandbox).unwrap();
        }),
    )]
}

//! Moves of a tree beside the sandbox, without a switcher, and what sides have in common.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::common::calls::{as_batch, run};
use super::common::times::timed;
use super::support::{Account, Site};
use super::tally::Tally;

/// The times that one side took, by name.
pub type Taken = Vec<(&'static str, Duration)>;

pub const CP: &str = "cp";
pub const RSYNC: &str = "rsync";

pub fn cp(_: &Site, sandbox: &Path) -> Taken {
    vec![(
        CP,
        moved(sandbox, Account::batch(), |copy| {
            run(as_batch("cp").arg("-a").arg(sandbox).arg(copy));
            run(as_batch("rm").arg("-rf").arg(sandbox));
        }),
    )]
}

pub fn rsync(_: &Site, sandbox: &Path) -> Taken {
    vec![(
        RSYNC,
        moved(sandbox, Account::batch(), |copy| {
            // A slash at the end means the content of the sandbox.
            run(as_batch("rsync").arg("-a").arg(sandbox.join("")).arg(copy));
            run(as_batch("rm").arg("-rf").arg(sandbox));
        }),
    )]
}

/// Times a move to a copy beside the sandbox, which must then belong to this account.
pub fn moved(sandbox: &Path, account: Account, action: impl FnOnce(&Path)) -> Duration {
    let all = Tally::of(sandbox, Account::batch());
    let copy = sandbox.with_extension("copy");
    let taken = timed(|| action(&copy));
    assert!(!sandbox.exists(), "the original still exists");
    assert_eq!(Tally::of(&copy, account), all, "{}", copy.display());
    fs::remove_dir_all(copy).unwrap();
    taken
}

/// A helper may leave a child that continues to delete when the helper has ended.
pub fn wait_for_removal(site: &Site) {
    let end = Instant::now() + Duration::from_secs(300);
    while site.entries().iter().any(|name| name.to_string_lossy().contains(".gh.")) {
        assert!(
            Instant::now() < end,
            "after 300 s the helpers have not deleted their temporary names"
        );
        sleep(Duration::from_millis(1));
    }
}

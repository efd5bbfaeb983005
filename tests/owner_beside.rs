//! What is beside a directory while its owner changes: `glexec` leaves the helpers what is theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};

use nix::fcntl::{Flock, FlockArg};
use support::handover::set_mode;
use support::owner_calls::Calls;
use support::{Account, own, write};

#[test]
fn a_helpers_ticket_and_its_copy_of_the_proxy_stay_beside_a_directory() {
    let calls = Calls::new();
    let top = calls.furnished("s");
    let ticket = calls.empty("s.gh.0123abcd");
    set_mode(&ticket, 0o700);
    // A change of owner that was killed can leave an empty directory, too.
    let leftover = calls.empty("s.gh.ffffffff");
    set_mode(&leftover, 0o700);
    // The proxy may have a name as the copies of a change of owner.
    let retained = calls.empty("s.gh.89abcdef");
    write(retained.join("0123456789"), "the proxy", 0o600);
    own(&retained, Account::batch());
    set_mode(&retained, 0o1700);
    let locked = Flock::lock(File::open(&ticket).unwrap(), FlockArg::LockExclusive).unwrap();
    for option in ["--give", "--take"] {
        calls.done(&[(option, &top)], &[]);
        let names = ["s", "s.gh.0123abcd", "s.gh.89abcdef"];
        assert_eq!(calls.rootless.site.entries(), names, "{option}");
    }
    assert!(fs::exists(retained.join("0123456789")).unwrap());
    drop(locked);
    calls.done(&[("--give", &top)], &[]);
    assert_eq!(calls.rootless.site.entries(), ["s", "s.gh.89abcdef"]);
}

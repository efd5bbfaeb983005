//! `glexec --undo`: a give that was killed is undone exactly, and the directory tells that it is
//! one. As the batch user, with its real subordinate ids.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::path::Path;

use support::handover::{mode, set_mode};
use support::owner_calls::{Calls, large, number};
use support::snapshot::snapshot;
use support::{Account, wait_until};

#[test]
fn a_give_that_lacks_its_last_step_is_undone_exactly() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let mut before = snapshot(&top);
    calls.done(&[("--give", &top)], &[]);
    let undone = calls.done(&[("--undo", &top)], &[]);
    assert!(undone.starts_with("{\"operation\":\"undo\""), "{undone}");
    assert_eq!(number(&undone, "files"), 3, "{undone}");
    before.get_mut(Path::new("")).unwrap().mode = 0o700;
    assert_eq!(snapshot(&top), before);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

/// Kills a call with this option at calls that change an owner or a mode, one after the other, with
/// a check after each. Returns how many were killed.
fn at_each_call(calls: &Calls, option: &str, top: &Path, check: impl Fn()) -> u32 {
    let mut tried = 0;
    for call in ["fchown", "fchownat", "fchmod"] {
        for number in (1..4).chain([20]) {
            tried += u32::from(calls.killed_at(&[(option, top)], call, number));
            wait_until("the lease is free", || calls.is_idle());
            check();
        }
    }
    tried
}

#[test]
fn a_give_and_its_undo_that_are_killed_are_undone_exactly() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    large(&top);
    let before = snapshot(&top);
    // The top alone tells what to do.
    let undo = || {
        let found = (Account::of(&top), mode(&top));
        if found == (Account::batch(), 0o1700) || found.0 == calls.user {
            calls.done(&[("--undo", &top)], &[]);
        }
        calls.sweep();
        calls.is_whole(&top, Account::batch(), &["tree"]);
        set_mode(&top, 0o751);
        assert!(snapshot(&top) == before);
    };
    assert!(at_each_call(&calls, "--give", &top, undo) > 6);
    let give = || drop(calls.done(&[("--give", &top)], &[]));
    give();
    let undone = at_each_call(&calls, "--undo", &top, || {
        undo();
        give();
    });
    assert!(undone > 6, "{undone}");
}

#[test]
fn a_take_that_is_killed_never_looks_like_a_give() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let give = || {
        calls.done(&[("--give", &top)], &["--mode", "755"]);
        calls.rootless.says(&format!("chmod 1700 {}", top.display()));
    };
    give();
    let tried = at_each_call(&calls, "--take", &top, || {
        assert_ne!((Account::of(&top), mode(&top)), (Account::batch(), 0o1700));
        calls.done(&[("--take", &top)], &[]);
        calls.sweep();
        calls.is_whole(&top, Account::batch(), &["tree"]);
        give();
    });
    assert!(tried > 2, "{tried}");
}

//! What takes minutes: more errors, very many files, and the kills of tests/faults.rs again and again.
//! `scripts/test --long` runs it, and whatever else is ignored for the same reason.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::forest::{Forest, Place};
use support::handover::{CLEANUP, SETUP};
use support::trial::{KILLED, PLAIN, Trial, Victim, cleanup_told, killed, setup_told_and_put_back};

/// A quota, a broken disk, too many open files, no memory.
const ERRORS: [&str; 4] = ["error=EDQUOT", "error=EIO", "error=EMFILE", "error=ENOMEM"];

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_in_which_any_call_fails_puts_everything_back() {
    for error in ERRORS {
        Trial::new().at_each_call(SETUP, Victim::Helper, &[], error, setup_told_and_put_back);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_in_whose_agent_any_call_fails_puts_everything_back() {
    for error in ERRORS {
        Trial::new().at_each_call(SETUP, Victim::Agent, &[], error, setup_told_and_put_back);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_in_which_any_call_fails_is_completed_by_the_next() {
    for error in ERRORS {
        Trial::new().at_each_call(CLEANUP, Victim::Helper, &[], error, cleanup_told);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_in_whose_agent_any_call_fails_is_completed_by_the_next() {
    for error in ERRORS {
        Trial::new().at_each_call(CLEANUP, Victim::Agent, &[], error, cleanup_told);
    }
}

/// Ten places on the way of a helper: eight while the copy is made, two while the old data is deleted.
fn at_ten_places(helper: &str, victim: Victim) {
    let forest = Forest::new();
    for count in [1, 13, 26, 39, 52, 65, 78, 100] {
        forest.killed_at(helper, victim, Place::Growing(count));
    }
    for count in [90, 40] {
        forest.killed_at(helper, victim, Place::Shrinking(count));
    }
    forest.finish();
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_killed_among_very_many_files_leaves_one_copy_that_cleanup_brings_back() {
    at_ten_places(SETUP, Victim::Helper);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_whose_agent_is_killed_among_very_many_files_leaves_one_copy_that_cleanup_brings_back() {
    at_ten_places(SETUP, Victim::Agent);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_killed_among_very_many_files_leaves_one_copy_that_the_next_brings_back() {
    at_ten_places(CLEANUP, Victim::Helper);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_whose_agent_is_killed_among_very_many_files_leaves_one_copy_that_the_next_brings_back() {
    at_ten_places(CLEANUP, Victim::Agent);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn twenty_times_a_killed_setup_leaves_one_copy_that_cleanup_brings_back() {
    for _ in 0..20 {
        for world in [&[], PLAIN] {
            Trial::new().at_each_call(SETUP, Victim::Helper, world, KILLED, killed);
            Trial::new().at_each_call(SETUP, Victim::Agent, world, KILLED, setup_told_and_put_back);
        }
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn twenty_times_a_killed_cleanup_leaves_one_copy_that_the_next_brings_back() {
    for _ in 0..20 {
        for world in [&[], PLAIN] {
            Trial::new().at_each_call(CLEANUP, Victim::Helper, world, KILLED, killed);
            Trial::new().at_each_call(CLEANUP, Victim::Agent, world, KILLED, cleanup_told);
        }
    }
}

//! Whoever is killed, and whatever fails: no data is lost. strace(1) kills a helper or its agent,
//! or lets a system call fail, at each call that changes something, one after the other.
//! tests/switcher.rs kills what is between the two; tests/long.rs does more of all this.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::handover::{CLEANUP, SETUP};
use support::trial::{
    FULL, KILLED, PLAIN, Trial, Victim, cleanup_told, killed, setup_told_and_put_back,
};

#[test]
fn a_killed_setup_leaves_one_copy_that_cleanup_brings_back() {
    Trial::new().at_each_call(SETUP, Victim::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_one_copy_that_the_next_brings_back() {
    Trial::new().at_each_call(CLEANUP, Victim::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_setup_leaves_one_copy_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(SETUP, Victim::Helper, PLAIN, KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_one_copy_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(CLEANUP, Victim::Helper, PLAIN, KILLED, killed);
}

#[test]
fn a_setup_whose_agent_is_killed_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Victim::Agent, &[], KILLED, setup_told_and_put_back);
}

#[test]
fn a_cleanup_whose_agent_is_killed_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Victim::Agent, &[], KILLED, cleanup_told);
}

#[test]
fn a_setup_whose_agent_is_killed_puts_everything_back_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(SETUP, Victim::Agent, PLAIN, KILLED, setup_told_and_put_back);
}

#[test]
fn a_cleanup_whose_agent_is_killed_is_completed_by_the_next_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(CLEANUP, Victim::Agent, PLAIN, KILLED, cleanup_told);
}

#[test]
fn a_setup_that_finds_the_disk_full_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Victim::Helper, &[], FULL, setup_told_and_put_back);
}

#[test]
fn a_setup_whose_agent_finds_the_disk_full_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Victim::Agent, &[], FULL, setup_told_and_put_back);
}

#[test]
fn a_cleanup_that_finds_the_disk_full_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Victim::Helper, &[], FULL, cleanup_told);
}

#[test]
fn a_cleanup_whose_agent_finds_the_disk_full_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Victim::Agent, &[], FULL, cleanup_told);
}

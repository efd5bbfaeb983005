//! No data is lost if a process is killed or a system call fails. strace(1) kills a helper or its
//! agent, or makes a system call fail, at each call that changes something, one after the other.
//! tests/switcher.rs kills the switcher between the two; tests/long.rs repeats all this with more
//! cases.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::handover::{CLEANUP, SETUP};
use support::trial::{
    FULL, KILLED, PLAIN, Side, Trial, cleanup_reported, killed, setup_reported_and_put_back,
};

#[test]
fn a_killed_setup_leaves_one_copy_that_cleanup_brings_back() {
    Trial::new().at_each_call(SETUP, Side::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_one_copy_that_the_next_brings_back() {
    Trial::new().at_each_call(CLEANUP, Side::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_setup_leaves_one_copy_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(SETUP, Side::Helper, PLAIN, KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_one_copy_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(CLEANUP, Side::Helper, PLAIN, KILLED, killed);
}

#[test]
fn a_setup_whose_agent_is_killed_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Side::Agent, &[], KILLED, setup_reported_and_put_back);
}

#[test]
fn a_cleanup_whose_agent_is_killed_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Side::Agent, &[], KILLED, cleanup_reported);
}

#[test]
fn a_setup_whose_agent_is_killed_puts_everything_back_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(SETUP, Side::Agent, PLAIN, KILLED, setup_reported_and_put_back);
}

#[test]
fn a_cleanup_whose_agent_is_killed_is_completed_by_the_next_where_renameat2_knows_no_flag() {
    Trial::new().at_each_call(CLEANUP, Side::Agent, PLAIN, KILLED, cleanup_reported);
}

#[test]
fn a_setup_that_finds_the_disk_full_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Side::Helper, &[], FULL, setup_reported_and_put_back);
}

#[test]
fn a_setup_whose_agent_finds_the_disk_full_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Side::Agent, &[], FULL, setup_reported_and_put_back);
}

#[test]
fn a_cleanup_that_finds_the_disk_full_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Side::Helper, &[], FULL, cleanup_reported);
}

#[test]
fn a_cleanup_whose_agent_finds_the_disk_full_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Side::Agent, &[], FULL, cleanup_reported);
}

//! `glexec` as the client of the account daemon: what a call does, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::process::Output;

use support::daemon::Daemon;
use support::{Account, messages};

/// Status, standard output and standard error.
fn text_of(output: &Output) -> (Option<i32>, String, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text, messages(output))
}

#[test]
fn the_payload_has_the_ids_of_the_leased_account_and_no_capability() {
    let daemon = Daemon::new();
    let job = Account::job();
    let ids = daemon.says("grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb))' /proc/self/status");
    let (uid, gid) = (job.uid, job.gid);
    let expected = format!(
        "Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t \n\
         CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapAmb:\t0000000000000000"
    );
    assert_eq!(ids, expected);
}

#[test]
fn the_status_is_the_payloads_or_tells_by_which_signal_it_ended() {
    let daemon = Daemon::new();
    for (script, status) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("exit 201", 204),
        ("exit 202", 204),
        ("exit 203", 204),
        ("exit 204", 204),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        // A signal without a name.
        ("kill -34 $$", 162),
    ] {
        let output = daemon.runs(script);
        assert_eq!(text_of(&output), (Some(status), String::new(), String::new()), "{script}");
    }
}

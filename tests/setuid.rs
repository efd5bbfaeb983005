//! `glexec` set-user-ID root: what a call does, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::setuid::Setuid;
use support::{Account, messages};

#[test]
fn the_status_is_the_payloads_or_tells_by_which_signal_it_ended() {
    let setuid = Setuid::new();
    for (script, status) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 126", 126),
        ("exit 200", 200),
        ("exit 205", 205),
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
        let output = setuid.runs(script);
        let found = (output.status.code(), messages(&output));
        assert_eq!(found, (Some(status), String::new()), "{script}");
    }
}

#[test]
fn the_payload_has_the_accounts_ids_in_all_places_and_no_capability() {
    let setuid = Setuid::new();
    let job = Account::job();
    let ids = setuid.says("grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb))' /proc/self/status");
    let (uid, gid) = (job.uid, job.gid);
    let expected = format!(
        "Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t \n\
         CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapAmb:\t0000000000000000"
    );
    assert_eq!(ids, expected);
}

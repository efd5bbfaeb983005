//! A job or another user changes names while a helper works, repeatedly and as fast as possible.
//! Whatever wins a race, nothing from outside comes in, nothing outside is touched, and one
//! complete copy of the data is left.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::attack::{Leftover, ended};
use support::handover::{CLEANUP, SETUP, assert_is_back, data, filled, handed_over, set_mode};
use support::snapshot::{Snapshot, snapshot};
use support::{Account, Site, messages, own, owner, retained, variables_of, wait_until, write};

/// The number of rounds of each race; in this number, each side wins some.
const ROUNDS: usize = 30;

const SECRET: &[u8] = b"the batch user's alone";

/// A directory of the batch user that no other user can enter, beside the sandboxes.
fn secret(site: &Site) -> PathBuf {
    let secret = site.execute().join("secret");
    fs::create_dir(&secret).unwrap();
    write(secret.join("file"), SECRET, 0o600);
    own(&secret, Account::batch());
    set_mode(&secret, 0o700);
    secret
}

/// Fails unless a helper that may have lost a race succeeded, or ended with a line; returns which.
fn succeeded_or_reported(output: &Output) -> bool {
    let lines = messages(output).lines().count();
    match output.status.code() {
        // The line names what a process that the job left has kept from being removed.
        Some(0) => assert!(lines <= 1, "{}", messages(output)),
        Some(1 | 2) => assert_eq!(lines, 1, "{}", messages(output)),
        code => panic!("{code:?}: {}", messages(output)),
    }
    output.status.success()
}

/// Fails if a file of the batch user, or of a directory that a link leads to, is in what came back.
fn nothing_from_outside(back: &Snapshot, what: &str) {
    for (path, entry) in back {
        assert_ne!(entry.content, SECRET, "{what}: {}", path.display());
        assert!(
            !path.ends_with("passwd") && !path.ends_with("secret"),
            "{what}: {}",
            path.display()
        );
    }
}

#[test]
fn directories_that_a_left_over_process_swaps_for_links_let_nothing_in_and_nothing_out() {
    let site = Site::new();
    let (secret, sandbox) = (secret(&site), filled(&site, "s"));
    for name in ["a", "b", "c", "d"] {
        fs::create_dir_all(sandbox.join(name).join("inner")).unwrap();
        write(sandbox.join(name).join("inner/file"), "content", 0o644);
    }
    own(&sandbox, Account::batch());
    let (outside, steady) = (snapshot(&secret), ["input", "link", "below/script"]);
    let before = snapshot(&sandbox);
    let of_job = Account::job();
    let swap = "swaps a directory for a link";
    let _left = [
        Leftover::new(of_job, swap, &[&sandbox.join("a"), &secret]),
        Leftover::new(of_job, swap, &[&sandbox.join("b/inner"), Path::new("/etc")]),
        Leftover::new(of_job, "moves directories", &[&sandbox.join("c"), &sandbox.join("d")]),
    ];
    for round in 0..ROUNDS {
        let what = format!("round {round}");
        site.set_up(&sandbox);
        let mut cleanup = site.call(CLEANUP, &site.switcher(), &sandbox);
        let (output, _) = ended(cleanup_with_links(&mut cleanup, round));
        if !succeeded_or_reported(&output) {
            // Only deleting can fail, or a directory that has moved: another cleanup completes.
            site.clean_up(&sandbox);
        }
        let back = snapshot(&sandbox);
        nothing_from_outside(&back, &what);
        for name in steady {
            assert_eq!(back[Path::new(name)], before[Path::new(name)], "{what}: {name}");
        }
        assert_eq!(owner(&sandbox), Account::batch());
        assert_eq!(snapshot(&secret), outside, "{what}");
        // An entry that was moved during the walk may be missing; the next round makes it again.
        remake(&sandbox);
    }
}

/// Each policy, one after the other.
fn cleanup_with_links(call: &mut std::process::Command, round: usize) -> std::process::Command {
    let policy = ["copy", "drop", "keep"][round % 3];
    let mut again = Account::batch().command(call.get_program());
    again.args(call.get_args()).env_clear().envs(variables_of(call));
    again.env("GLEXEC_HELPERS_LINKS", policy).stdin(std::process::Stdio::null());
    again
}

/// Moves the directories to their first places.
fn remake(sandbox: &Path) {
    for name in ["a", "b", "c", "d"] {
        for path in [sandbox.join(name), sandbox.join(name).with_extension("aside")] {
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => fs::remove_dir_all(&path).unwrap(),
                Ok(_) => fs::remove_file(&path).unwrap(),
                Err(_) => {}
            }
        }
        fs::create_dir_all(sandbox.join(name).join("inner")).unwrap();
        write(sandbox.join(name).join("inner/file"), "content", 0o644);
    }
    own(sandbox, Account::batch());
}

#[test]
fn a_sandbox_that_a_left_over_process_swaps_for_a_link_harms_no_other_user() {
    let site = Site::new();
    let secret = secret(&site);
    let outside = snapshot(&secret);
    for round in 0..ROUNDS {
        let name = format!("s{round}");
        let sandbox = handed_over(&site, &name);
        let left =
            Leftover::new(Account::job(), "swaps a directory for a link", &[&sandbox, &secret]);
        let (output, _) = ended(site.call(CLEANUP, &site.switcher(), &sandbox));
        succeeded_or_reported(&output);
        drop(left);
        assert_eq!(snapshot(&secret), outside, "round {round}");
        // Whatever has the name now, another cleanup leaves a sandbox of the batch user there, even
        // if with only the proxy.
        for _ in 0..2 {
            succeeded_or_reported(
                &site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap(),
            );
        }
        assert_eq!(owner(&sandbox), Account::batch(), "round {round}: {}", messages(&output));
        nothing_from_outside(&snapshot(&sandbox), &name);
        assert!(!retained(&sandbox).exists(), "round {round}");
        assert_eq!(snapshot(&secret), outside, "round {round}");
    }
}

#[test]
fn an_orphan_that_still_writes_into_the_sandbox_costs_no_output_and_no_name() {
    let site = Site::new();
    for round in 0..ROUNDS {
        let sandbox = handed_over(&site, "s");
        write(sandbox.join("result"), "result", 0o644);
        Account::of(&sandbox).owns(sandbox.join("result"));
        let mut steady = data(&sandbox);
        let orphan = Leftover::new(Account::of(&sandbox), "writes files", &[&sandbox]);
        wait_until("it has written something", || sandbox.join("last").exists());
        let (output, _) = ended(site.call(CLEANUP, &site.switcher(), &sandbox));
        succeeded_or_reported(&output);
        drop(orphan);
        site.clean_up(&sandbox);
        let mut back = data(&sandbox);
        for written in ["log", "new", "last"] {
            back.remove(Path::new(written));
        }
        // Modification times are not what this test is about.
        for top in [&mut steady, &mut back] {
            top.remove(Path::new(""));
        }
        assert_eq!(back, steady, "round {round}: {}", messages(&output));
        assert_eq!(
            (owner(&sandbox), site.entries()),
            (Account::batch(), vec!["s".into()]),
            "round {round}"
        );
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

/// Whether the directory that changes its owner, inside a sandbox's own, has all files.
fn is_one_level_down(outer: &Path, expected: &Snapshot) -> bool {
    let inner = fs::read_dir(outer).unwrap().map(|entry| entry.unwrap());
    inner
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".glexec_handover."))
        .any(|entry| same_data(&entry.path(), expected))
}

#[test]
fn names_that_other_users_take_whenever_they_are_free_cost_no_data() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let expected = data(&sandbox);
    let (mut failures, mut successes) = (0, 0);
    for round in 0..ROUNDS {
        let what = format!("round {round}");
        let taken: [&Path; 2] = [&retained(&sandbox), &sandbox];
        // Each of the two, one after the other: they also take names from each other.
        let whose = if round % 2 == 0 { Account::other() } else { Account::job() };
        let bystander = Leftover::new(whose, "takes names", &taken);
        for helper in [SETUP, CLEANUP] {
            let (output, _) = ended(site.call(helper, &site.switcher(), &sandbox));
            if succeeded_or_reported(&output) { successes += 1 } else { failures += 1 }
        }
        drop(bystander);
        // A setup that could not undo a change of owner leaves all files one level down.
        let complete = taken.into_iter().any(|path| {
            path.is_dir() && (same_data(path, &expected) || is_one_level_down(path, &expected))
        });
        assert!(complete, "{what}: no complete copy in {:?}", site.entries());
        site.clean_up(&sandbox);
        assert_is_back(&site, &sandbox, &expected, &what);
    }
    assert!(
        failures + successes == 2 * ROUNDS && failures > 0,
        "{failures} of {ROUNDS} rounds were disturbed"
    );
}

/// Whether a directory has this data; the mode of the top is different for a time.
fn same_data(path: &Path, expected: &Snapshot) -> bool {
    let found = data(path);
    found.len() == expected.len()
        && found.iter().all(|(below, entry)| below == Path::new("") || expected[below] == *entry)
}

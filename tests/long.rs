//! Tests that take minutes: more errors, very many files, and the kills of tests/faults.rs
//! repeated. `scripts/test --long` runs them, and the other tests that are ignored for the same
//! reason.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use support::families::{Family, hunt, marked_with, report};
use support::handover::{CLEANUP, SETUP, handed_over, run};
use support::many_files::{ManyFiles, Place};
use support::mounts::in_memory;
use support::trial::{
    CHANGING, Call, KILLED, PLAIN, Side, Trial, cleanup_reported, killed,
    setup_reported_and_put_back,
};
use support::{Site, messages};

/// A quota, a broken disk, too many open files, no memory.
const ERRORS: [&str; 4] = ["error=EDQUOT", "error=EIO", "error=EMFILE", "error=ENOMEM"];

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_in_which_any_call_fails_puts_everything_back() {
    for error in ERRORS {
        Trial::new().at_each_call(SETUP, Side::Helper, &[], error, setup_reported_and_put_back);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_in_whose_agent_any_call_fails_puts_everything_back() {
    for error in ERRORS {
        Trial::new().at_each_call(SETUP, Side::Agent, &[], error, setup_reported_and_put_back);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_in_which_any_call_fails_is_completed_by_the_next() {
    for error in ERRORS {
        Trial::new().at_each_call(CLEANUP, Side::Helper, &[], error, cleanup_reported);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_in_whose_agent_any_call_fails_is_completed_by_the_next() {
    for error in ERRORS {
        Trial::new().at_each_call(CLEANUP, Side::Agent, &[], error, cleanup_reported);
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_that_is_killed_after_a_setup_that_was_killed_is_completed_by_the_next() {
    let trial = Trial::new();
    let inode = || fs::metadata(&trial.sandbox).unwrap().ino();
    let before = inode();
    let trace = format!("trace={CHANGING}");
    let kill_at = |helper: &str, call: &Call| {
        let inject = format!("inject={}:{KILLED}:when={}", call.name, call.number);
        trial.inject(helper, &[&trace, &inject], &[])
    };
    let calls = trial.changing(SETUP, Side::Helper, &[]);
    let of_cleanup = trial.changing(CLEANUP, Side::Helper, &[]);
    for (first, second) in
        calls.iter().flat_map(|first| of_cleanup.iter().map(move |second| (first, second)))
    {
        let what = format!(
            "setup killed at {} {}, cleanup at {} {}",
            first.name, first.number, second.name, second.number
        );
        kill_at(SETUP, first);
        trial.one_copy(&what);
        // If less work is left, the helper ends before this call.
        let output = kill_at(CLEANUP, second);
        assert!(
            output.status.signal() == Some(9) || output.status.success(),
            "{what}: {}",
            messages(&output)
        );
        trial.one_copy(&what);
        trial.brought_back(&what);
        assert_eq!(inode(), before, "{what}");
    }
}

/// Ten points of a helper's run: eight during the copy, two while the old data is deleted.
fn at_ten_places(helper: &str, side: Side) {
    let many_files = ManyFiles::new();
    for count in [1, 13, 26, 39, 52, 65, 78, 100] {
        many_files.killed_at(helper, side, Place::Growing(count));
    }
    for count in [90, 40] {
        many_files.killed_at(helper, side, Place::Shrinking(count));
    }
    many_files.finish();
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_killed_among_very_many_files_leaves_one_copy_that_cleanup_brings_back() {
    at_ten_places(SETUP, Side::Helper);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_setup_whose_agent_is_killed_among_very_many_files_leaves_one_copy_that_cleanup_brings_back() {
    at_ten_places(SETUP, Side::Agent);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_killed_among_very_many_files_leaves_one_copy_that_the_next_brings_back() {
    at_ten_places(CLEANUP, Side::Helper);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_cleanup_whose_agent_is_killed_among_very_many_files_leaves_one_copy_that_the_next_brings_back()
{
    at_ten_places(CLEANUP, Side::Agent);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn twenty_times_a_killed_setup_leaves_one_copy_that_cleanup_brings_back() {
    for _ in 0..20 {
        for both in [&[], PLAIN] {
            Trial::new().at_each_call(SETUP, Side::Helper, both, KILLED, killed);
            Trial::new().at_each_call(
                SETUP,
                Side::Agent,
                both,
                KILLED,
                setup_reported_and_put_back,
            );
        }
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn twenty_times_a_killed_cleanup_leaves_one_copy_that_the_next_brings_back() {
    for _ in 0..20 {
        for both in [&[], PLAIN] {
            Trial::new().at_each_call(CLEANUP, Side::Helper, both, KILLED, killed);
            Trial::new().at_each_call(CLEANUP, Side::Agent, both, KILLED, cleanup_reported);
        }
    }
}

/// The most memory in kilobytes that any of the project's programs has used, from /proc while they
/// run.
struct Watch {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    looking: JoinHandle<()>,
}

impl Watch {
    fn start() -> Watch {
        let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, end) = (most.clone(), over.clone());
        let looking = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    // It can have ended meanwhile.
                    let status =
                        fs::read_to_string(entry.path().join("status")).unwrap_or_default();
                    let peak = status
                        .lines()
                        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
                    if let Some(peak) = peak.filter(|_| status.starts_with("Name:\tcondor_glexec_"))
                    {
                        seen.fetch_max(peak.parse().unwrap(), Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Watch { most, over, looking }
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.looking.join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

/// Transfers a million of something to the job user and back, and measures the memory that this
/// takes.
fn with_a_million(make: impl Fn(&Path, u32)) {
    let site = Site::new();
    let _mounts = in_memory(&site, "size=90%,nr_inodes=4m");
    let sandbox = site.sandbox("s");
    for number in 0..1_000_000 {
        make(&sandbox.join(format!("one of a million {number:07}")), number);
    }
    run("chown", &["-R".as_ref(), "gh-batch:gh-batch".as_ref(), sandbox.as_os_str()]);
    for step in [Site::set_up, Site::clean_up] {
        let watch = Watch::start();
        step(&site, &sandbox);
        let most = watch.end();
        assert!((1000..64 * 1024).contains(&most), "{most} KiB");
    }
    assert!(fs::read_dir(&sandbox).unwrap().count() >= 1_000_000);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_million_files_take_no_more_than_64_mib_of_memory() {
    with_a_million(|path, _| drop(File::create(path).unwrap()));
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_million_directories_take_no_more_than_64_mib_of_memory() {
    with_a_million(|path, _| fs::create_dir(path).unwrap());
}

#[test]
#[ignore = "long: scripts/test --long"]
fn half_a_million_files_with_two_names_take_no_more_than_64_mib_of_memory() {
    // The second names come long after the first.
    with_a_million(|path, number| match number.checked_sub(500_000) {
        None => drop(File::create(path).unwrap()),
        Some(first) => {
            fs::hard_link(path.with_file_name(format!("one of a million {first:07}")), path)
                .unwrap()
        }
    });
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_fork_bomb_of_sessions_is_ended() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    // Each session has the same share of the processors as the helper's session, so the helper
    // waits most of the time.
    for _ in 0..3 {
        let family = Family::of(&sandbox, "fork-bomb-in-sessions,500", 1);
        let output = hunt(&site, &["--family"], &sandbox, &family.child.id().to_string(), "KILL")
            .output()
            .unwrap();
        assert!(report(&output).contains("; 0 left"));
        assert_eq!(marked_with(&sandbox), [0; 0]);
    }
}

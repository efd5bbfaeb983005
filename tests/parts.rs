//! scripts/test and ci/checks themselves: if a part fails, the other parts still run, and the
//! summary names it; what scripts/test names exists.
//!
//! A script that records its calls is in the place of cargo and of all other programs that they
//! call.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Records each call in a line, and fails for the call that is named. As cargo, it names what it
/// has built.
const PLAYED: &str = r#"#!/bin/bash
name=$(basename "$0") call=$(tr '\n' ' ' <<<"${0##*/} $* ${GH_TEST_SWITCHER-}")
[ "$name" != rustc ] || echo /toolchain
[[ "$name $*" != "cargo test "*" --no-run "* ]] ||
    for word in $*; do [ "$word" != --test ] || echo "  Executable (played)"; done
echo "$call" >>"$CALLS"
[[ "$call" != $FAILS ]]
"#;

/// The call that each part makes, as a pattern of bash, and the part's name. The last two are parts
/// of --long.
const PARTS: [(&str, &str); 18] = [
    ("cargo fmt --all *", "format"),
    ("cargo clippy --locked --quiet --workspace *", "lints"),
    ("cargo fmt --check *", "format of glexec_verify"),
    ("cargo clippy --locked --quiet --all-targets *", "lints of glexec_verify"),
    ("cargo test --locked  ", "tests of glexec_verify"),
    ("shellcheck *", "scripts"),
    ("checks *", "checks beside the tests"),
    ("cargo test --locked --workspace --no-run *", "a build of all programs and tests"),
    ("apart cargo test --locked --workspace *", "real accounts and the real sudo"),
    ("apart env *rootless*", "the project's own switcher"),
    ("apart env *setuid-glexec * --test-threads=1 *", "through a glexec with root's rights"),
    ("apart env *daemon-glexec * --test-threads=1 *", "through the account daemon"),
    ("apart *debian-root *--test system_calls*", "some of the tests in a Debian 13"),
    ("cargo test *--test daemon_systemd *", "the account daemon below a real systemd"),
    ("pool test *", "a pool of HTCondor"),
    ("debian-root *cargo build *", "the oldest Rust"),
    ("apart *debian-root *scripts/test --here*", "all tests in a Debian 13"),
    ("cargo test *--tests -- --ignored*", "tests that take long"),
];

struct Project(TempDir);

impl Project {
    fn new() -> Project {
        let project = Project(tempfile::tempdir().unwrap());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test");
        for folder in ["scripts", "ci", "bin", "crates/verify"] {
            fs::create_dir_all(project.0.path().join(folder)).unwrap();
        }
        fs::copy(script, project.0.path().join("scripts/test")).unwrap();
        for name in [
            "ci/apart",
            "ci/provision",
            "ci/debian-root",
            "ci/setuid-glexec",
            "ci/daemon-glexec",
            "ci/checks",
            "scripts/pool",
            "crates/verify/cargo",
            "bin/cargo",
            "bin/rustc",
            "bin/shellcheck",
        ] {
            let path = project.0.path().join(name);
            fs::write(&path, PLAYED).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        project
    }

    /// The status, the lines of the summary, and all calls, if the calls that match a pattern fail.
    fn run(&self, words: &[&str], fails: &str) -> (Option<i32>, Vec<String>, Vec<String>) {
        let calls = self.0.path().join("calls");
        fs::write(&calls, "").unwrap();
        let mut command = Command::new("bash");
        command
            .arg(self.0.path().join("scripts/test"))
            .args(words)
            .env("CALLS", &calls)
            .env("FAILS", fails);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.0.path().join("bin").display()));
        command
            .env("CARGO_TARGET_DIR", self.0.path().join("target"))
            .env_remove("GH_TEST_SWITCHER");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (_, summary) =
            said.split_once("== summary\n").unwrap_or_else(|| panic!("no summary: {said}"));
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        // Two series of parts run at the same time.
        let mut calls: Vec<_> = lines(&fs::read_to_string(calls).unwrap());
        calls.sort();
        (output.status.code(), lines(summary), calls)
    }
}

#[test]
fn a_part_that_fails_hides_no_other_and_is_named_at_the_end() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test runs all parts: run it as root (scripts/test)"
    );
    let project = Project::new();
    let (status, summary, all) = project.run(&["--long"], "none");
    assert_eq!((status, summary.len()), (Some(0), PARTS.len()), "{summary:?}");
    assert!(summary.iter().all(|line| line.starts_with("ok, ")), "{summary:?}");
    for (call, name) in PARTS {
        let (status, summary, calls) = project.run(&["--long"], call);
        assert_eq!(calls, all, "{call}");
        let failed: Vec<_> =
            summary.iter().filter(|line| line.starts_with("FAILED, status 1")).collect();
        let [line] = &failed[..] else { panic!("{call}: {summary:?}") };
        assert!(line.contains(name), "{line}");
        assert_eq!((status, summary.len()), (Some(1), PARTS.len()), "{call}");
    }
}

#[test]
fn the_tests_in_a_debian_and_those_that_take_long_are_run_when_they_are_asked_for() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test runs all parts: run it as root (scripts/test)"
    );
    let project = Project::new();
    let ran = |words: &[&str]| project.run(words, "none").1.len();
    assert_eq!((ran(&[]), ran(&["--here"])), (16, 4));
}

#[test]
fn a_check_that_is_not_run_is_named_with_its_reason_and_one_that_fails_is_the_status() {
    let project = Project::new();
    let top = project.0.path();
    fs::create_dir(top.join("ci/check")).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/checks"), top.join("ci/checks"))
        .unwrap();
    let check = |name: &str, act: &str| {
        let path = top.join("ci/check").join(name);
        fs::write(&path, format!("#!/bin/sh\n# what it is for\n{act}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    };
    check("able", "exit 0");
    check("lacking", "echo no such tool >&3; exit 77");
    let checked = |words: &[&str]| {
        let mut command = Command::new("bash");
        let output = command
            .arg(top.join("ci/checks"))
            .args(["--summary", "summary"])
            .args(words)
            .output()
            .unwrap();
        let summary = fs::read_to_string(top.join("summary")).unwrap_or_default();
        fs::remove_file(top.join("summary")).ok();
        (output.status.code(), summary.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let (status, summary) = checked(&[]);
    let [able, lacking] = &summary[..] else { panic!("{summary:?}") };
    assert_eq!(status, Some(0), "{summary:?}");
    assert!(able.starts_with("ok, in ") && able.ends_with(": check able"), "{able}");
    assert_eq!(lacking.trim_end(), "NOT RUN: check lacking: no such tool");
    check("broken", "exit 3");
    let (status, summary) = checked(&[]);
    assert_eq!((status, summary.len()), (Some(1), 3), "{summary:?}");
    assert!(
        summary[1].starts_with("FAILED, status 3, in ") && summary[1].ends_with(": check broken"),
        "{summary:?}"
    );
    assert_eq!((checked(&["able"]).1.len(), checked(&["unknown"]).0), (1, Some(1)));
}

/// The words between two texts that follow each other, for each time that they do.
fn words_between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> Vec<&'a str> {
    let parts = text.split(begin).skip(1).filter_map(|part| part.split_once(end));
    parts.flat_map(|(part, _)| part.split_whitespace()).filter(|word| *word != "\\").collect()
}

#[test]
fn every_file_and_test_that_scripts_test_names_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(top.join("scripts/test")).unwrap();
    let mut files = words_between(&script, "tests=(", ")");
    files.extend(words_between(&script, "tests+=(", ")"));
    files.extend(script.split("--test ").skip(1).filter_map(|rest| rest.split_whitespace().next()));
    let is_variable = |word: &&str| word.starts_with(['$', '"']);
    files.retain(|word| !is_variable(word));
    assert!(files.len() > 40, "{files:?}");
    let mut all = String::new();
    for file in files {
        let path = top.join("tests").join(file.trim_end_matches(')')).with_extension("rs");
        all += &fs::read_to_string(&path).unwrap_or_else(|_| panic!("{file} does not exist"));
    }
    // What is not run there: a word of the names of tests, and the reason.
    // The first such text is the usage.
    let skipped = script.split(" <<END\n").skip(2).filter_map(|rest| rest.split_once("\nEND"));
    let mut count = 0;
    for name in skipped.flat_map(|(lines, _)| lines.lines()).map(|line| line.split_once(": ")) {
        let (name, _) = name.expect("a name and a reason");
        let is_there = |line: &str| line.starts_with("fn ") && line.contains(name);
        assert!(all.lines().any(is_there), "no test is called {name}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}

//! A payload that attacks its neighbour, the pilot, and the wrapper. Each attack succeeds on the
//! node of plain HTCondor, so it is a real one.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use crate::fixture::{End, HELD, Job, LIMIT, PILOT, REMOVED, Submitted, Way, pool, until};

/// Has a secret in its directory and in its environment.
const VICTIM: &str = r#"
echo "secret.$1" >secret.txt
export SECRET="secret.$1"
exec -a "child.$1" sleep 100000
"#;

/// Looks for secrets of other payloads and of the pilot, and tries to signal their processes.
const THIEF: &str = r#"
cd /
for directory in /var/lib/pool /tmp /var/tmp /dev/shm; do
    find "$directory" -type f \( -name 'secret.txt' -o -name token -o -name 'StarterLog*' \) \
        -readable -print 2>/dev/null
done
grep -zh ^SECRET= /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'
for process in /proc/[0-9]*; do cat "$process/cwd/secret.txt" 2>/dev/null; done
cat /var/lib/pool/token 2>/dev/null
for name in condor_starter condor_startd condor_master; do
    for process in $(pgrep -x "$name"); do
        kill -0 "$process" 2>/dev/null && echo "signals $name"
    done
done
for process in $(pgrep -f "child[.]$1"); do
    kill -0 "$process" 2>/dev/null && echo "signals child"
done
exit 0
"#;

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_payload_reaches_neither_its_neighbour_nor_the_pilot_nor_its_token() {
    const NEIGHBOUR: Job = Job::new("neighbour", VICTIM).with("arguments = {word}");
    let pool = pool();
    for way in &pool.ways {
        let token = pool.local(way).join("token");
        fs::write(&token, "secret of the pilot\n").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&token, Some(PILOT), Some(PILOT)).unwrap();
        let neighbour = NEIGHBOUR.submit(pool, way);
        let child = format!("child.{}", NEIGHBOUR.word(way));
        assert!(until(LIMIT, || (!pool.processes(&child).is_empty()).then_some(())).is_some());
        let arguments = format!("arguments = {}", NEIGHBOUR.word(way));
        let thief = Job::new("thief", THIEF).with(Box::leak(arguments.into_boxed_str()));
        let thief = thief.submit(pool, way);
        assert_eq!(thief.end(), End::Exited(0), "{}: {}", way.name, thief.read("err"));
        let found = thief.out();
        if way.is_plain() {
            for attack in
                ["secret.txt", "SECRET=", "of the pilot", "condor_startd", "signals child"]
            {
                assert!(found.contains(attack), "{attack}: {found}");
            }
        } else {
            assert_eq!(found, "", "{}", way.name);
        }
        pool.central(&["condor_rm", &neighbour.id()]);
        neighbour.wait(REMOVED, 1);
    }
}

/// A library that says on standard error as whom it is loaded.
const LIBRARY: &str = r#"
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) {
    dprintf(2, "loaded as %d\n", getuid());
}
"#;

fn library() -> &'static [u8] {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("library.c");
    let library = dir.path().join("library.so");
    fs::write(&source, LIBRARY).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
    assert!(compiler.status().unwrap().success());
    fs::read(library).unwrap().leak()
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_jobs_environment_makes_the_wrapper_load_or_believe_nothing() {
    let pool = pool();
    let files: [(&str, &[u8]); 1] = [("library.so", library())];
    let job = Job::new("preload", "id -u; ls -d /var/tmp/believed* 2>/dev/null; exit 0").with(
        "transfer_input_files = library.so\n\
         environment = \"LD_PRELOAD=$$(CondorScratchDir)/library.so \
         LD_LIBRARY_PATH=$$(CondorScratchDir) GLEXEC_HELPERS_LOG=/var/tmp/believed \
         GLEXEC_SUDO_MAP=/var/tmp/map GLEXEC_HELPERS_HANDOVER=none HOME=/root\"",
    );
    let job = Job { files: Vec::from(files).leak(), ..job };
    let all: Vec<(&Way, Submitted)> =
        pool.ways.iter().map(|way| (way, job.submit(pool, way))).collect();
    for (way, submitted) in all {
        assert_eq!(submitted.end(), End::Exited(0), "{}: {}", way.name, submitted.read("err"));
        let (out, err) = (submitted.out(), submitted.read("err"));
        assert!(err.contains(&format!("loaded as {}", out.trim_end())), "{}: {err}", way.name);
        let as_pilot = err.contains(&format!("loaded as {PILOT}"));
        assert_eq!(as_pilot, way.is_plain(), "{}: {err}", way.name);
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_command_before_or_after_the_job_does_not_run_as_the_pilot() {
    const JOB: Job = Job::new("commands", "exit 0")
        .with(
            "transfer_input_files = pre\n+PreCmd = \"pre\"\n+PostCmd = \"pre\"\n\
             transfer_output_files = ran",
        )
        .and(&[("pre", b"#!/bin/sh\nid -u >>ran\n")]);
    let pool = pool();
    for way in pool.ours() {
        let submitted = JOB.submit(pool, way);
        // The file of its output does not exist, because nothing has written it.
        submitted.wait(HELD, 1);
        assert_eq!(submitted.read("ran"), "", "{}", way.name);
        pool.central(&["condor_rm", &submitted.id()]);
    }
}

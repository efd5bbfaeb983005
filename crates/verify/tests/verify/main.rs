//! glexec_verify with the authorities, certificates and proxies that testdata/ca/make makes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod accepted;
mod chains;
mod files;
mod process;
mod revocation;
mod site;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use wire::verified::{Identity, Verified};

/// The directory of testdata/ca/make, which is made once.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ca");
        let _ = fs::remove_dir_all(&directory);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ca/make");
        let status = Command::new(script).arg(&directory).status().unwrap();
        assert!(status.success(), "testdata/ca/make failed; it needs openssl: run ci/provision");
        directory
    })
}

fn credential(name: &str) -> PathBuf {
    made().join(format!("credentials/{name}.pem"))
}

/// A call that trusts the authority of a directory below `authorities`.
fn verify_with(authorities: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glexec_verify"));
    command.arg("--ca-directory").arg(made().join("authorities").join(authorities)).args(options);
    command.stdin(Stdio::null());
    command
}

/// Its answer, which is valid and agrees with the exit status.
fn answer(command: &mut Command) -> Verified {
    answer_in(&command.output().unwrap())
}

fn answer_in(output: &Output) -> Verified {
    let answer = Verified::parse(&output.stdout).unwrap_or_else(|| panic!("{output:?}"));
    let status = if matches!(answer, Verified::Identity(_)) { 0 } else { 1 };
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(status), &b""[..]), "{answer:?}");
    answer
}

/// Verifies a credential of testdata/ca/make.
fn verify(authorities: &str, options: &[&str], name: &str) -> Verified {
    let input = File::open(credential(name)).unwrap();
    answer(verify_with(authorities, options).stdin(input))
}

fn identity(answer: Verified) -> Identity {
    match answer {
        Verified::Identity(identity) => identity,
        error => panic!("{error:?}"),
    }
}

/// Asserts an error with this status, whose reason contains these words.
fn assert_refused(answer: &Verified, wanted: u8, words: &str) {
    match answer {
        Verified::Error { status, reason } if *status == wanted && reason.contains(words) => {}
        other => panic!("not {wanted} {words}: {other:?}"),
    }
}

/// A credential that is refused with this status, without options and without revocation lists.
fn refused(name: &str, status: u8, words: &str) {
    assert_refused(&verify("none", &[], name), status, words);
}

//! The process itself: its environment, its user, its limits.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Verified, answer, assert_refused, credential, made, verify_with};

#[test]
fn the_environment_has_no_effect() {
    let foreign = made().join("foreign");
    let _ = fs::create_dir(&foreign);
    let script =
        r#"cp "$0/certificates/foreign_ca.pem" "$0/foreign/" && openssl rehash "$0/foreign""#;
    assert!(Command::new("sh").args(["-c", script]).arg(made()).status().unwrap().success());
    let configuration = foreign.join("openssl.cnf");
    // With this file OpenSSL has no algorithm.
    let text = "openssl_conf = all\nconfig_diagnostics = 1\n[all]\nproviders = none\n\
                [none]\nnull = on\n[on]\nactivate = 1\n";
    fs::write(&configuration, text).unwrap();
    let with_environment = |name: &str| {
        let mut command = verify_with("none", &[]);
        command
            .env("OPENSSL_CONF", &configuration)
            .env("SSL_CERT_DIR", &foreign)
            .env("SSL_CERT_FILE", made().join("certificates/foreign_ca.pem"))
            .env("OPENSSL_MODULES", &foreign);
        answer(command.stdin(File::open(credential(name)).unwrap()))
    };
    assert!(matches!(with_environment("fresh"), Verified::Identity(_)));
    assert_refused(&with_environment("foreign_ca"), 201, "no trusted authority");
    // The variables have an effect on another program.
    let digest = Command::new("openssl")
        .args(["dgst", "-sha256"])
        .env("OPENSSL_CONF", &configuration)
        .stdin(Stdio::null())
        .output();
    assert!(!digest.unwrap().status.success());
}

#[test]
fn it_needs_no_privilege_and_no_environment() {
    let mut command = verify_with("none", &[]);
    command.env_clear().stdin(File::open(credential("fresh")).unwrap());
    // The account nobody, or another user who is not root.
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        command.uid(65_534).gid(65_534);
    }
    assert!(matches!(answer(&mut command), Verified::Identity(_)));
}

#[test]
fn an_input_that_cannot_be_read_is_an_error() {
    let mut command = verify_with("none", &[]);
    assert_refused(&answer(command.stdin(File::open("/").unwrap())), 202, "cannot read");
    // The standard library opens the null device for a descriptor that is closed.
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(verify_with("none", &[]).get_program());
    assert_refused(&answer(closed.args(verify_with("none", &[]).get_args())), 201, "");
}

/// A process that waits for its input, and is ended with the test.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_limits_are_set_before_it_reads() {
    let mut command = verify_with("none", &[]);
    let waiting = Waiting(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let limits = || fs::read_to_string(format!("/proc/{}/limits", waiting.0.id())).unwrap();
    let is_set = |text: &str| {
        let first = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap_or(u64::MAX)
        };
        first("Max core file size") == 0
            && first("Max file size") == 0
            && first("Max processes") == 0
            && first("Max open files") <= 16
            && first("Max cpu time") <= 10
            && first("Max address space") <= 512 << 20
    };
    let begun = Instant::now();
    while !is_set(&limits()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", limits());
        std::thread::yield_now();
    }
}

#[test]
fn help_and_version_are_printed() {
    let printed = |word: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_glexec_verify")).arg(word).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for option in ["-V", "--version"] {
        assert_eq!(printed(option), concat!("glexec_verify ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    let help = printed("--help");
    assert_eq!(printed("-h"), help);
    for option in ["--ca-directory", "--allow-limited", "--max-lifetime", "-h,", "-V,"] {
        assert!(help.contains(&format!("\n  {option}")), "{option}: {help}");
    }
}

//! `glexec_wrapenv` and `glexec_unwrapenv`, with a real payload of `glexec`, and with Perl scripts
//! of the same format.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

use support::glexec::Rootless;
use support::{executable, failed, messages, program, succeeded, write};

/// A program with these variables and no others.
fn call(name: &str, variables: &[(&str, &OsStr)], words: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    command.env_clear().envs(variables.iter().copied()).args(words).stdin(Stdio::null());
    command.output().unwrap()
}

/// The value that glexec_wrapenv prints for these variables.
fn wrapped(variables: &[(&str, &OsStr)], words: &[&str]) -> OsString {
    let output = call("glexec_wrapenv", variables, words);
    succeeded(&output);
    OsStr::from_bytes(output.stdout.strip_suffix(b"\n").unwrap()).to_owned()
}

/// glexec_unwrapenv with this value and nothing else in its environment.
fn unwrap(value: impl AsRef<OsStr>, words: &[&str]) -> Output {
    call("glexec_unwrapenv", &[("GLEXEC_ENV", value.as_ref())], words)
}

/// The variables that `env -0` has printed.
fn environment(output: &Output) -> BTreeMap<OsString, OsString> {
    succeeded(output);
    let entries = output.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let pair = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=').unwrap();
        (OsString::from_vec(entry[..at].to_vec()), OsString::from_vec(entry[at + 1..].to_vec()))
    };
    entries.map(pair).collect()
}

fn of<'a>(environment: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a OsStr> {
    environment.get(OsStr::new(name)).map(OsString::as_os_str)
}

/// Runs a Perl script with this input; it prints what it makes of it.
fn perl(script: &str, input: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, input).unwrap();
    let mut command = Command::new("perl");
    let input = fs::File::open(path).unwrap();
    let output =
        command.args(["-MCompress::Zlib", "-MMIME::Base64", "-0777", "-e", script]).stdin(input);
    let output = output.output().expect("perl with Compress::Zlib: run ci/provision");
    succeeded(&output);
    output.stdout
}

/// Every byte that a variable can have.
fn all_bytes() -> OsString {
    OsString::from_vec((1..=255).collect())
}

#[test]
fn a_payload_gets_the_callers_environment_but_for_what_belongs_to_its_user() {
    let rootless = Rootless::new();
    let user = rootless.user().to_string();
    let value = wrapped(
        &[
            ("HOME", "/home/caller".as_ref()),
            ("LOGNAME", "caller".as_ref()),
            ("USER", "caller".as_ref()),
            ("X509_USER_PROXY", "/home/caller/proxy".as_ref()),
            ("_", "/bin/env".as_ref()),
            ("PATH", "/opt/bin:/usr/bin:/bin".as_ref()),
            ("ALL", &all_bytes()),
            ("EMPTY", "".as_ref()),
            ("LINES", "one\ntwo\n".as_ref()),
            ("LD_LIBRARY_PATH", "/opt/lib".as_ref()),
            ("GLEXEC_ENV", "an earlier value".as_ref()),
            ("SECRET", "x".as_ref()),
            ("OTHER", "x".as_ref()),
        ],
        &["--exclude", "SECRET,NONE"],
    );
    let mut glexec = rootless.glexec();
    glexec.env("GLEXEC_ENV", value).arg(program("glexec_unwrapenv"));
    let output = glexec.args(["--exclude=OTHER", "--", "env", "-0"]).output().unwrap();
    let environment = environment(&output);
    let all = all_bytes();
    let expected = [
        ("HOME", "/".as_ref()),
        ("LOGNAME", user.as_ref()),
        ("USER", user.as_ref()),
        ("SHELL", "/bin/sh".as_ref()),
        ("PATH", "/opt/bin:/usr/bin:/bin".as_ref()),
        ("ALL", all.as_os_str()),
        ("EMPTY", "".as_ref()),
        ("LINES", "one\ntwo\n".as_ref()),
        ("LD_LIBRARY_PATH", "/opt/lib".as_ref()),
    ];
    let expected: BTreeMap<OsString, OsString> =
        expected.map(|(name, value): (&str, &OsStr)| (name.into(), value.into())).into();
    assert_eq!(environment, expected);
}

#[test]
fn a_value_that_a_perl_script_has_made_is_unwrapped() {
    // MIME::Base64 breaks its lines.
    let script = r#"
        my @entries = map { encode_base64($_) . " " } split /\0/, <STDIN>;
        print encode_base64(compress(join "", @entries));"#;
    let long = "x".repeat(500);
    let all = all_bytes();
    let entries = [b"LONG=", long.as_bytes(), b"\0ALL=", all.as_bytes(), b"\0HOME=/perl"];
    let value = perl(script, &entries.concat());
    let environment =
        environment(&unwrap(OsStr::from_bytes(&value), &["--", "/usr/bin/env", "-0"]));
    assert_eq!(of(&environment, "LONG"), Some(long.as_ref()));
    assert_eq!(of(&environment, "ALL"), Some(all_bytes().as_os_str()));
    assert_eq!(of(&environment, "HOME"), None);
    assert_eq!(environment.len(), 2);
}

#[test]
fn a_perl_script_unwraps_the_value() {
    let value = wrapped(&[("ALL", &all_bytes()), ("EMPTY", "".as_ref())], &[]);
    let script = r#"
        my @entries = split / /, uncompress(decode_base64(<STDIN>));
        print join "\0", map { decode_base64($_) } @entries;"#;
    let entries = perl(script, value.as_bytes());
    let mut entries: Vec<&[u8]> = entries.split(|byte| *byte == 0).collect();
    entries.sort();
    assert_eq!(entries, [&[b"ALL=", all_bytes().as_bytes()].concat()[..], b"EMPTY="]);
}

#[test]
fn without_a_usable_value_nothing_is_executed_and_the_status_is_125() {
    let marker = tempfile::tempdir().unwrap();
    let path = marker.path().join("ran");
    let touch = ["touch", path.to_str().unwrap()];
    let none = call("glexec_unwrapenv", &[("PATH", "/usr/bin:/bin".as_ref())], &touch);
    failed(&none, 125, &["GLEXEC_ENV is not set"]);
    let bomb = perl("print encode_base64(compress(' ' x (9 << 20)), '')", b"");
    assert!(bomb.len() < 20_000);
    let nul = perl("print encode_base64(compress(encode_base64(\"A=1\\0B=2\", '')), '')", b"");
    let no_name = perl("print encode_base64(compress(encode_base64('=1', '')), '')", b"");
    for (value, why) in [
        (&b""[..], "zlib"),
        (b"!", "Base64"),
        (&bomb, "more than 8 MiB"),
        (&nul, "NUL"),
        (&no_name, "NAME=VALUE"),
    ] {
        failed(&unwrap(OsStr::from_bytes(value), &touch), 125, &["GLEXEC_ENV", why]);
    }
    let value = wrapped(&[("A", "1".as_ref())], &[]);
    failed(&unwrap(&value, &[]), 125, &["no command"]);
    failed(&unwrap(&value, &["--bogus", "touch"]), 125, &["--bogus"]);
    assert!(!path.exists());
}

#[test]
fn the_command_is_found_in_the_new_path_and_its_status_is_that_of_unwrapenv() {
    let directory = tempfile::tempdir().unwrap();
    executable(&directory.path().join("command"), b"#!/bin/sh\necho \"$*\"; exit 7\n");
    write(directory.path().join("text"), "text", 0o644);
    let value = wrapped(&[("PATH", directory.path().as_os_str())], &[]);
    let output = unwrap(&value, &["command", "--exclude", "a  b"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"--exclude a  b\n"[..]));
    failed(&unwrap(&value, &["ls"]), 127, &["ls", "PATH"]);
    failed(&unwrap(&value, &["/nonexistent/ls"]), 127, &["/nonexistent/ls"]);
    let text = directory.path().join("text");
    failed(&unwrap(&value, &[text.to_str().unwrap()]), 126, &["text"]);
    // Rust programs ignore SIGPIPE; the command does not.
    let killed = unwrap(&value, &["/bin/sh", "-c", "kill -PIPE $$"]);
    assert_eq!(killed.status.signal(), Some(13), "{}", messages(&killed));
}

#[test]
fn one_word_with_a_space_is_a_line_for_the_shell() {
    let value = wrapped(&[("PATH", "/usr/bin:/bin".as_ref()), ("A", "of the line".as_ref())], &[]);
    let output = unwrap(&value, &["--", "cd /usr; pwd; echo \"$A\""]);
    succeeded(&output);
    assert_eq!(output.stdout, b"/usr\nof the line\n");
    // With arguments no word is one.
    failed(&unwrap(&value, &["echo a", "b"]), 127, &["echo a"]);
}

#[test]
fn an_environment_that_is_too_long_for_a_variable_is_refused() {
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<String> =
        (0..3).map(|_| (0..100_000).map(|_| random.alphanumeric()).collect()).collect();
    let variables =
        [("A", OsStr::new(&noise[0])), ("B", OsStr::new(&noise[1])), ("C", OsStr::new(&noise[2]))];
    let output = call("glexec_wrapenv", &variables, &[]);
    failed(&output, 1, &["--exclude", "131"]);
    assert_eq!(output.stdout, b"");
    wrapped(&variables, &["--exclude", "A", "--exclude", "B,C"]);
    failed(&call("glexec_wrapenv", &[], &["word"]), 1, &["word", "usage"]);
    let mut full = Command::new(program("glexec_wrapenv"));
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    failed(&full.output().unwrap(), 1, &["cannot write"]);
}

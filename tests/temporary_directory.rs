//! `mkgltempdir`, with the project's `glexec` as the switcher.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::glexec::Rootless;
use support::{Account, SUBORDINATE, executable, failed, messages, program, succeeded, write};

/// mkgltempdir, with the project's `glexec` in PATH and the first credential.
fn mkgltempdir(rootless: &Rootless, words: &[&str]) -> Command {
    let glexec = rootless.glexec();
    let mut command = Account::batch().command(program("mkgltempdir"));
    command.env_clear().envs(support::variables_of(&glexec)).args(words).stdin(Stdio::null());
    let programs = program("glexec").parent().unwrap().to_owned();
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    command.env("TMPDIR", shared(rootless));
    command
}

/// A directory that any user can write to.
fn shared(rootless: &Rootless) -> PathBuf {
    rootless.site.execute()
}

/// The path that it prints.
fn made(mut command: Command) -> PathBuf {
    let output = command.output().unwrap();
    succeeded(&output);
    assert_eq!(messages(&output), "");
    PathBuf::from(OsStr::from_bytes(output.stdout.strip_suffix(b"\n").unwrap()))
}

fn mode_and_owner(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.permissions().mode() & 0o7777, found.uid())
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).unwrap().next().is_none()
}

#[test]
fn the_payloads_user_gets_a_directory_in_one_of_the_callers_that_both_can_pass() {
    let rootless = Rootless::new();
    let path = made(mkgltempdir(&rootless, &[]));
    let (outer, user) = (path.parent().unwrap(), rootless.user());
    assert_eq!(outer.parent(), Some(shared(&rootless).as_path()));
    assert_eq!(mode_and_owner(&path), (0o700, user));
    assert!(SUBORDINATE.contains(&user));
    assert_eq!(mode_and_owner(outer), (0o755, Account::batch().uid));
    // As pilots use it: files go through the outer directory.
    let script = rootless.site.scratch().join("script");
    executable(
        &script,
        b"#!/bin/sh\ncd \"${0%/*}\" && echo result >result && chmod a+rx . && chmod a+r result\n",
    );
    let copied = Account::batch().command("cp").arg(&script).arg(outer).status().unwrap();
    assert!(copied.success());
    let (source, target) = (outer.join("script"), path.join("script"));
    rootless.says(&format!("cp {} {}", source.display(), path.display()));
    rootless.says(&target.display().to_string());
    let read = Account::batch().command("cat").arg(path.join("result")).output().unwrap();
    assert_eq!(read.stdout, b"result\n");
}

#[test]
fn directory_and_modes_can_be_given_and_relative_paths_begin_in_the_working_directory() {
    let rootless = Rootless::new();
    let mut command = mkgltempdir(&rootless, &["-t", "1777", "-m", "711", "execute"]);
    command.current_dir(rootless.site.path()).env("TMPDIR", "/nonexistent");
    command.env("GLEXEC_CLIENT_CERT", "scratch/credential");
    let path = made(command);
    assert_eq!(mode_and_owner(&path), (0o1777, rootless.user()));
    assert_eq!(mode_and_owner(path.parent().unwrap()).0, 0o711);
    assert_eq!(path.parent().unwrap().parent(), Some(shared(&rootless).as_path()));
}

#[test]
fn an_empty_directory_is_removed_and_one_with_files_only_by_force() {
    let rootless = Rootless::new();
    let remove = |words: &[&str], path: &Path| {
        let words = [words, &[path.to_str().unwrap()]].concat();
        mkgltempdir(&rootless, &words).output().unwrap()
    };
    let path = made(mkgltempdir(&rootless, &[]));
    succeeded(&remove(&["-r"], &path));
    assert!(is_empty(&shared(&rootless)));

    let path = made(mkgltempdir(&rootless, &["-t", "1777"]));
    let outer = path.parent().unwrap();
    rootless.says(&format!(
        "cd {} && mkdir -p a/b .c && echo x >a/b/d && chmod 0 a/b a",
        path.display()
    ));
    failed(&remove(&["-r"], &path), 2, &["not empty", "-f"]);
    write(outer.join("own"), "x", 0o600);
    Account::batch().owns(outer.join("own"));
    failed(&remove(&["-r"], &path), 2, &["other files", "-f"]);
    assert_eq!(mode_and_owner(&path.join("a")), (0, rootless.user()));
    assert_eq!(mode_and_owner(outer).0, 0o755);
    // A file of the caller's, which the payload's user cannot remove from a sticky directory.
    write(path.join("own"), "x", 0o600);
    Account::batch().owns(path.join("own"));
    succeeded(&remove(&["-r", "-f"], &path));
    assert!(is_empty(&shared(&rootless)));
}

#[test]
fn what_the_payloads_user_must_not_remove_stays_when_the_directory_goes() {
    let rootless = Rootless::new();
    let path = made(mkgltempdir(&rootless, &[]));
    let kept = rootless.site.scratch().join("kept");
    write(&kept, "kept", 0o666);
    Account::batch().owns(&kept);
    let scratch = rootless.site.scratch();
    rootless.says(&format!("ln -s {} {}/link", scratch.display(), path.display()));
    let output = mkgltempdir(&rootless, &["-r", "-f", path.to_str().unwrap()]).output().unwrap();
    succeeded(&output);
    assert!(is_empty(&shared(&rootless)));
    assert_eq!(fs::read(kept).unwrap(), b"kept");
}

#[test]
fn bad_input_is_refused_and_leaves_everything_as_it_was() {
    let rootless = Rootless::new();
    let refused = |words: &[&str], status: i32, why: &[&str]| {
        failed(&mkgltempdir(&rootless, words).output().unwrap(), status, why);
        assert!(is_empty(&shared(&rootless)), "{words:?}");
    };
    refused(&["-t", "8"], 1, &["--mode", "octal"]);
    refused(&["-m", "10000"], 1, &["--parent-mode", "octal"]);
    refused(&["-m", "0700"], 1, &["0700", "passes"]);
    refused(&["-m", "0777"], 1, &["0777", "1000"]);
    refused(&["-f", "/x"], 1, &["usage"]);
    refused(&["-r", "-t", "700", "/x"], 1, &["usage"]);
    refused(&["-r"], 1, &["directory"]);
    refused(&["a", "b"], 1, &["usage"]);
    refused(&["/nonexistent"], 2, &["/nonexistent"]);
    refused(&["-r", "/nonexistent"], 2, &["/nonexistent", "gltmpdir."]);
    // A directory that it has not made, of the caller's.
    let other = rootless.site.scratch().join("other/inner");
    fs::create_dir_all(&other).unwrap();
    Account::batch().owns(&other);
    Account::batch().owns(other.parent().unwrap());
    refused(&["-r", "-f", other.to_str().unwrap()], 2, &["gltmpdir."]);
    assert!(other.exists());
    // One with such a name, of another user.
    let foreign = rootless.site.path().join("gltmpdir.0/inner");
    fs::create_dir_all(&foreign).unwrap();
    refused(&["-r", "-f", foreign.to_str().unwrap()], 2, &["does not belong to you"]);
    assert!(foreign.exists());
    // A link in the place of the outer directory.
    let link = rootless.site.scratch().join("gltmpdir.1");
    symlink(other.parent().unwrap(), &link).unwrap();
    refused(&["-r", "-f", link.join("inner").to_str().unwrap()], 2, &["gltmpdir.1"]);
    assert!(other.exists());
}

#[test]
fn a_failure_of_the_switcher_leaves_nothing_and_is_explained() {
    let rootless = Rootless::new();
    let closed = rootless.site.scratch().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    Account::batch().owns(&closed);
    let output = mkgltempdir(&rootless, &[closed.to_str().unwrap()]).output().unwrap();
    failed(&output, 2, &[closed.to_str().unwrap(), "chmod o+x"]);
    assert!(is_empty(&closed));
    let mut command = mkgltempdir(&rootless, &[]);
    command.env("GLEXEC_CLIENT_CERT", "/nonexistent");
    failed(&command.output().unwrap(), 2, &["glexec", "/nonexistent"]);
    assert!(is_empty(&shared(&rootless)));
    let mut full = mkgltempdir(&rootless, &[]);
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    failed(&full.output().unwrap(), 2, &["cannot print"]);
    assert!(is_empty(&shared(&rootless)));
}

#[test]
fn the_switcher_is_that_of_glexec_location_or_of_path_or_the_one_beside() {
    let rootless = Rootless::new();
    let location = rootless.site.path().join("location");
    let says = |name: &str, folder: &str| {
        let folder = rootless.site.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        executable(&folder.join("glexec"), format!("#!/bin/sh\necho {name}; exit 9\n").as_bytes());
    };
    says("of-location", "location/sbin");
    says("of-path", "path");
    let call = |location: &Path, path: &Path| {
        let mut command = mkgltempdir(&rootless, &[]);
        command.env("GLEXEC_LOCATION", location).env("PATH", path);
        command
    };
    let path = rootless.site.path().join("path");
    failed(&call(&location, &path).output().unwrap(), 2, &["of-location"]);
    failed(&call("/nonexistent".as_ref(), &path).output().unwrap(), 2, &["of-path"]);
    let path = made(call("/nonexistent".as_ref(), "/nonexistent".as_ref()));
    assert_eq!(mode_and_owner(&path), (0o700, rootless.user()));
}

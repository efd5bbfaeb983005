//! The closed world of a payload: what it sees, writes and leaves, by an observer inside and one
//! outside.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::glexec::Rootless;
use support::{Account, own, succeeded};

/// A call of `glexec` with the closed world.
fn closed(rootless: &Rootless, options: &[&str]) -> Command {
    let mut call = rootless.glexec();
    call.current_dir("/").args(["--world", "closed"]).args(options).arg("--");
    call
}

/// The output of a shell script in the closed world.
fn shell(rootless: &Rootless, options: &[&str], script: &str) -> Output {
    closed(rootless, options).args(["/bin/sh", "-c", script]).output().unwrap()
}

/// What a script prints that succeeds.
fn says(rootless: &Rootless, options: &[&str], script: &str) -> String {
    let output = shell(rootless, options, script);
    succeeded(&output);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A directory of the batch user's that all can write to.
fn open_directory(rootless: &Rootless, name: &str) -> PathBuf {
    let path = rootless.site.scratch().join(name);
    fs::create_dir(&path).unwrap();
    own(&path, Account::batch());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path
}

#[test]
fn a_payload_writes_to_its_private_directories_and_named_ones_alone() {
    let rootless = Rootless::new();
    let (named, other) = (open_directory(&rootless, "named"), open_directory(&rootless, "other"));
    let visible = other.to_str().unwrap();
    let script = format!(
        "for dir in / /usr /etc /var /var/lib /dev /run /home /sys /proc {visible} {named} /tmp \
         /var/tmp /dev/shm; do touch $dir/by-payload 2>/dev/null && echo $dir; done",
        named = named.display()
    );
    let options = ["--writable", named.to_str().unwrap(), "--read-only", visible];
    let written = says(&rootless, &options, &script);
    let expected = format!("{}\n/tmp\n/var/tmp\n/dev/shm", named.display());
    assert_eq!(written, expected);
    assert!(named.join("by-payload").exists());
    for outside in [Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm"), &other] {
        assert!(!outside.join("by-payload").exists(), "{outside:?}");
    }
}

#[test]
fn a_payload_has_a_name_and_sees_its_own_processes() {
    let rootless = Rootless::new();
    let seen =
        says(&rootless, &[], "id -un; id -gn; echo $USER; echo ~; ls -d /proc/[1-9]* | wc -l");
    assert_eq!(seen, "payload\npayload\npayload\n/\n4");
}

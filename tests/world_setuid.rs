//! The closed world and root directories of payloads, by `glexec` set-user-ID root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use support::pilot::stdout_of;
use support::setuid::Setuid;
use support::world::{MACHINE, writes_to};
use support::{Account, executable, failed, messages, write};

#[test]
fn a_set_user_id_glexec_closes_the_world_as_the_call_or_its_configuration_asks() {
    let open = "/var/tmp/world-of-setuid";
    let script = writes_to(&format!("{MACHINE} /var/tmp /tmp /dev/shm")) + " cat /proc/1/status";
    for (lines, variable, options) in [
        ("", None, &["--world", "closed", "--"][..]),
        ("", Some("closed"), &[]),
        ("world = closed\n", None, &[]),
        ("world = closed\n", Some("shared"), &["--world", "shared", "--"]),
    ] {
        let setuid = Setuid::with(lines);
        let mut call = setuid.glexec();
        if let Some(variable) = variable {
            call.env("GLEXEC_WORLD", variable);
        }
        let output = call.args(options).args(["/bin/sh", "-c", &script]).output().unwrap();
        assert_eq!(stdout_of(&output), "/var/tmp\n/tmp\n/dev/shm\n", "{}", messages(&output));
        assert!(!Path::new(open).exists() && !Path::new("/tmp/by-payload").exists());
        let mut call = setuid.glexec();
        call.args(["--world", "closed", "--", "/bin/sh", "-c"]);
        let who = "id -un; ls -A /home /root | grep -v :; grep NoNewPrivs /proc/self/status";
        let who = call.arg(who).output().unwrap();
        assert_eq!(stdout_of(&who), "gh-job\n\nNoNewPrivs:\t1\n", "{}", messages(&who));
    }
}

#[test]
fn a_set_user_id_glexec_opens_what_is_named_with_its_callers_rights() {
    let setuid = Setuid::new();
    let secret = setuid.site.scratch().join("roots");
    fs::create_dir(&secret).unwrap();
    fs::create_dir(secret.join("below")).unwrap();
    write(secret.join("below/file"), "secret", 0o644);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let below = secret.join("below");
    // /dev/shm is open to all, and a link in it leads anywhere.
    let link = setuid.path("/dev/shm/link");
    std::os::unix::fs::symlink(&below, &link).unwrap();
    let mut call = setuid.glexec();
    call.args(["--device", "/dev/shm/link", "--", "/bin/ls", "/dev/shm/link"]);
    failed(&call.output().unwrap(), 201, &["/dev/shm/link", "ELOOP"]);
    for option in ["--read-only", "--writable"] {
        let mut call = setuid.glexec();
        call.args([option, below.to_str().unwrap(), "--", "/bin/ls"]).arg(&below);
        failed(&call.output().unwrap(), 201, &["EACCES", below.to_str().unwrap()]);
    }
}

#[test]
fn no_place_of_a_payload_shows_what_only_root_can_read() {
    let setuid = Setuid::new();
    setuid.write("/etc/key", "of-root\n");
    fs::set_permissions(setuid.path("/etc/key"), fs::Permissions::from_mode(0o600)).unwrap();
    let call = |options: &[&str], script: &str| {
        let mut call = setuid.glexec();
        call.args(options).args(["--", "/bin/sh", "-c", script]).output().unwrap()
    };
    // The tables of accounts are read to add the payload's names.
    for table in ["/etc/passwd", "/etc/group"] {
        let output =
            call(&["--read-only", &format!("/etc/key:{table}")], "cat /etc/passwd /etc/group");
        failed(&output, 201, &[table, "EACCES"]);
    }
    let output = call(&["--read-only", "/dev/zero:/etc/passwd"], "true");
    failed(&output, 201, &["/etc/passwd", "regular"]);
    // A directory is replaced where it has no such place, and is as closed as before.
    fs::create_dir(setuid.path("/etc/keys")).unwrap();
    setuid.write("/etc/keys/open", "of-root\n");
    fs::set_permissions(setuid.path("/etc/keys"), fs::Permissions::from_mode(0o700)).unwrap();
    let output =
        call(&["--read-only", "/usr/bin:/etc/keys/new"], "ls /etc/keys; cat /etc/keys/open");
    let seen = [output.stdout, output.stderr].concat();
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("Permission denied") && !seen.contains("of-root"), "{seen}");
    assert!(!seen.contains("new"), "{seen}");
}

#[test]
fn a_caller_cannot_replace_what_root_relies_on_in_proc() {
    let setuid = Setuid::new();
    let script = ["--", "/bin/cat", "/proc/self/status"];
    for options in [
        &["--read-only", "/usr:/proc"][..],
        &["--bind", "/usr:/proc/self"],
        &["--hide", "/proc", "--read-only", "/usr:/proc/self"],
    ] {
        let output = setuid.glexec().args(options).args(script).output().unwrap();
        failed(&output, 201, &["is in /proc"]);
    }
    let link = setuid.path("/dev/shm/proc");
    std::os::unix::fs::symlink("/proc", &link).unwrap();
    let options = ["--read-only", "/dev/shm:/media", "--read-only", "/usr:/media/proc"];
    let output = setuid.glexec().args(options).args(script).output().unwrap();
    failed(&output, 201, &["is in /proc"]);
}

/// A site whose accounts have root directories by these lines of a table, and by lines of the
/// configuration. /etc/image has what a root directory needs, but for programs.
fn site_with_roots(table: &str, lines: &str) -> Setuid {
    let setuid = Setuid::with(&format!("root_mounts = /usr\n{lines}"));
    setuid.write("/etc/roots", table);
    for name in ["usr", "etc"] {
        fs::create_dir_all(setuid.path("/etc/image").join(name)).unwrap();
    }
    for name in ["bin", "lib", "lib64"] {
        let link = setuid.path("/etc/image").join(name);
        std::os::unix::fs::symlink(Path::new("usr").join(name), link).unwrap();
    }
    setuid.write("/etc/image/etc/os-release", "image\n");
    setuid
}

const TABLE: &str = "root_directories = /etc/roots\n";

#[test]
fn a_payload_has_the_root_directory_of_the_first_line_that_fits() {
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(Account::job().gid));
    let group = group.unwrap().unwrap().name;
    for line in ["gh-job /etc/image", "gh-j*b /etc/image", "* /etc/image", "%"] {
        let line = line.replace('%', &format!("@{group} /etc/image"));
        let setuid = site_with_roots(&format!("gh-other /none\n{line}\ngh-job /none\n"), TABLE);
        let script = "cat /etc/os-release; id -un; touch /etc/x 2>/dev/null || echo read-only; \
                      test / -ef /.. && ls /";
        let seen = setuid.says(script);
        let expected =
            "image\ngh-job\nread-only\nbin\ndev\netc\nlib\nlib64\nproc\nsys\ntmp\nusr\nvar";
        assert_eq!(seen, expected, "{line}");
    }
    let setuid = site_with_roots("gh-job /etc/roots-of/%u-%%\n", TABLE);
    fs::create_dir(setuid.path("/etc/roots-of")).unwrap();
    fs::rename(setuid.path("/etc/image"), setuid.path("/etc/roots-of/gh-job-%")).unwrap();
    assert_eq!(setuid.says("cat /etc/os-release"), "image");
}

#[test]
fn an_account_without_a_line_or_with_an_unusable_directory_is_refused_or_goes_on() {
    let is_machine = "grep -c image /etc/os-release";
    let refused = |table: &str, status, words: &[&str]| {
        let setuid = site_with_roots(table, TABLE);
        failed(&setuid.runs("true"), status, words);
    };
    refused("gh-other /etc/image\n", 203, &["/etc/roots", "gh-job"]);
    refused("gh-job /etc/none\n", 202, &["/etc/none", "ENOENT"]);
    refused("gh-job /tmp/x\n", 202, &["/tmp"]);
    refused("gh-job %x\n", 202, &["/etc/roots, line 1"]);
    refused("gh-job /etc/%x\n", 202, &["/etc/roots, line 1", "%"]);
    let lines = format!("{TABLE}root_directory_missing = go_on\nroot_directory_error = go_on\n");
    for table in ["gh-other /etc/image\n", "gh-job /etc/none\n"] {
        let setuid = site_with_roots(table, &lines);
        assert_eq!(setuid.runs(is_machine).stdout, b"0\n", "{table}");
    }
}

#[test]
fn a_caller_cannot_show_an_account_more_than_its_root_directory() {
    let setuid = site_with_roots("gh-job /etc/image\n", TABLE);
    for options in [
        ["--writable", "/srv"],
        ["--read-only", "/srv"],
        ["--bind", "/srv:/media"],
        ["--root", "/srv"],
        ["--device", "/dev/null"],
    ] {
        let output = setuid.glexec().args(options).args(["--", "/bin/true"]).output().unwrap();
        failed(&output, 203, &[options[0], "/etc/image"]);
    }
    let less = ["--tmp-size", "1M", "--", "/bin/cat", "/etc/os-release"];
    let output = setuid.glexec().args(less).output().unwrap();
    assert_eq!(output.stdout, b"image\n", "{}", messages(&output));
}

#[test]
fn a_root_directory_that_others_can_change_is_refused() {
    let setuid = site_with_roots("gh-job /etc/image\n", TABLE);
    let image = setuid.path("/etc/image");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o777)).unwrap();
    failed(&setuid.runs("true"), 202, &["/etc/image", "write"]);
}

#[test]
fn a_script_that_is_waited_for_can_name_the_root_directory() {
    let setuid = site_with_roots("", "");
    let added = "/etc/glexec/session.d/added";
    fs::create_dir_all(setuid.path(added)).unwrap();
    let script = setuid.path(added).join("10W-root");
    executable(&script, b"#!/bin/sh\necho export GLEXEC_ROOT=/etc/image\n");
    assert_eq!(setuid.says("cat /etc/os-release; echo $GLEXEC_ROOT"), "image");
    executable(&script, b"#!/bin/sh\necho export GLEXEC_ROOT=/none\n");
    failed(&setuid.runs("true"), 202, &["/none", "ENOENT"]);
    // The caller cannot.
    fs::remove_file(&script).unwrap();
    let mut call = setuid.glexec();
    call.env("GLEXEC_ROOT", "/etc/image").args(["/bin/sh", "-c", "cat /etc/os-release"]);
    assert_ne!(stdout_of(&call.output().unwrap()), "image\n");
}

#[test]
fn a_pam_script_can_name_the_root_directory() {
    let setuid = site_with_roots("", "session_scripts = /etc/pam-script.d\n");
    fs::create_dir(setuid.path("/etc/pam-script.d")).unwrap();
    let script = setuid.path("/etc/pam-script.d/onsessionopen");
    executable(&script, b"#!/bin/sh\necho CHROOTDIR=/etc/image >>$PAM_SCRIPT_INFO\n");
    assert_eq!(setuid.says("cat /etc/os-release"), "image");
}

//! The closed world of a pilot's payload.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Output;

use support::pilot::{Pilot, stdout_of};
use support::world::{MACHINE, writes_to};
use support::{Account, failed, messages, succeeded, write};

/// A pilot's call in the world that its switcher gives by itself, below its own `glexec`.
fn pilot_run(pilot: &Pilot, options: &[&str], script: &str) -> Output {
    let mut call = pilot.call("run");
    call.arg("--glexec").arg(support::program("glexec"));
    call.arg("--execute").arg(pilot.site.execute()).args(options);
    call.args(["--", "/bin/sh", "-c", script]).output().unwrap()
}

#[test]
fn a_pilots_payload_has_the_closed_world_with_its_sandbox_and_no_other() {
    let pilot = Pilot::new();
    let other = pilot.site.execute().join("pilot_other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let input = pilot.input(|path| write(path.join("in"), "data", 0o644));
    let report = pilot.site.scratch().join("report");
    let script = format!(
        "cat in; echo out >out; echo $HOME; pwd; ls ..; {}",
        writes_to(&format!("{MACHINE} .. . /tmp"))
    );
    let options = [
        "--input",
        input.to_str().unwrap(),
        "--output",
        &pilot.output().display().to_string(),
        "--name",
        "pilot_mine",
        "--report",
        report.to_str().unwrap(),
    ];
    let output = pilot_run(&pilot, &options, &script);
    succeeded(&output);
    let sandbox = pilot.sandbox("pilot_mine");
    let sandbox = sandbox.to_str().unwrap();
    let expected = format!("data{sandbox}\n{sandbox}\npilot_mine\n.\n/tmp\n");
    assert_eq!((stdout_of(&output), messages(&output)), (expected, String::new()));
    assert_eq!(fs::read_to_string(pilot.output().join("out")).unwrap(), "out\n");
    assert_eq!(fs::metadata(pilot.output().join("out")).unwrap().uid(), Account::batch().uid);
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("\"world\":\"closed\""), "{report}");
    fs::remove_dir(&other).unwrap();
}

#[test]
fn a_copied_sandbox_has_the_same_world() {
    let pilot = Pilot { site: support::Site::new().copying() };
    let output = pilot_run(&pilot, &[], &writes_to(&format!("{MACHINE} .. . /tmp")));
    succeeded(&output);
    assert_eq!(stdout_of(&output), ".\n/tmp\n");
}

#[test]
fn a_directory_is_not_passed_to_a_payload() {
    let pilot = Pilot::new();
    let mut call = pilot.call("run");
    call.arg("--glexec").arg(support::program("glexec")).args(["--", "/bin/true"]);
    call.stdin(fs::File::open("/").unwrap());
    failed(&call.output().unwrap(), 240, &["standard input", "directory"]);
}

#[test]
fn a_bound_input_is_not_copied_and_cannot_be_changed() {
    let pilot = Pilot::new();
    let input = pilot.input(|path| write(path.join("in"), "data", 0o644));
    fs::set_permissions(&input, fs::Permissions::from_mode(0o755)).unwrap();
    let shown = input.to_str().unwrap();
    let script = format!("ls -A; cat {shown}/in; echo x 2>/dev/null >{shown}/in || echo kept");
    let options = ["--input", shown, "--input-mode", "bind"];
    let output = pilot_run(&pilot, &options, &script);
    succeeded(&output);
    assert_eq!(stdout_of(&output), "datakept\n");
    let output = pilot_run(&pilot, &["--input-mode", "bind"], "true");
    failed(&output, 240, &["--input-mode bind needs --input"]);
}

#[test]
fn a_pilots_payload_begins_in_the_directory_that_is_named() {
    let pilot = Pilot::new();
    for world in ["closed", "shared"] {
        let output = pilot_run(&pilot, &["--world", world, "--cwd", "/usr"], "pwd; env");
        succeeded(&output);
        let printed = stdout_of(&output);
        assert!(printed.starts_with("/usr\n") && !printed.contains("HELPERS_CWD"), "{printed}");
    }
    let output = pilot_run(&pilot, &["--cwd", "/none"], "true");
    failed(&output, 242, &["cannot enter the working directory /none"]);
}

#[test]
fn a_switcher_that_cannot_close_the_world_is_named() {
    let pilot = Pilot::new();
    let switcher = pilot.switcher_that("");
    let foreign = || {
        let mut call = pilot.call("run");
        call.arg("--glexec").arg(&switcher).arg("--execute").arg(pilot.site.execute());
        call
    };
    for option in [&["--world", "closed"][..], &["--hide", "/usr"], &["--network", "none"]] {
        let mut call = foreign();
        call.args(option).args(["--", "/bin/true"]);
        failed(&call.output().unwrap(), 240, &["glexec that is installed beside this program"]);
    }
    let mut call = foreign();
    let output = call.args(["--json", "--", "/bin/true"]).output().unwrap();
    let printed = messages(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("\"world\":\"shared\""), "{printed}");
    let line = format!("shared world: {} cannot give it a closed one", switcher.display());
    assert!(printed.contains(&line), "{printed}");
}

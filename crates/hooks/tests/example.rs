//! The example of an epilogue ends what a payload has left, and nothing else. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use support::{Site, is_alive};

/// A process of a test. It is ended on drop.
struct Running(Child);

impl Running {
    /// Runs lines of a shell, which print a line when they are ready, as this user; with the pid
    /// that they print.
    fn start(command: &mut Command) -> (Running, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Running(child), line.trim().to_owned())
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleeper(uid: u32) -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").uid(uid);
    command
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/glexec-epilogue")
}

/// A site with the example in it, changed by a command of sed.
fn site(change: &str) -> Site {
    let site = Site::new("");
    let sed = Command::new("sed").args(["-e", change]).arg(example()).output().unwrap();
    let text = String::from_utf8(sed.stdout).unwrap();
    let text = text.replace("@TOP@", &site.top().display().to_string());
    site.put("epilogue", &text);
    fs::create_dir(site.path("bin")).unwrap();
    site.put("bin/logger", &format!("#!/bin/sh\necho \"$*\" >>{}/syslog\n", site.top().display()));
    site
}

/// Runs the example for a payload of this user.
fn run(site: &Site, uid: u32, pid: &str, group: &str, above: &str) -> Output {
    let mut command = Command::new(site.epilogue());
    command.env_clear().env("PATH", format!("{}/bin:/usr/bin:/bin", site.top().display()));
    for (name, value) in
        [("TARGET_UID", uid.to_string().as_str()), ("TARGET_PID", pid), ("TARGET_PGID", group)]
    {
        command.env(format!("GLEXEC_EPILOG_{name}"), value);
    }
    command.env("GLEXEC_EPILOG_GLEXEC_PID", above).output().unwrap()
}

/// A process id that no process has.
const NONE: &str = "4194305";

#[test]
fn what_is_in_the_payloads_group_or_session_or_below_the_call_is_ended_and_nothing_else() {
    const UID: u32 = 61_101;
    let site = site("");
    let mut in_group = Running(sleeper(UID).process_group(0).spawn().unwrap());
    let group = in_group.id();
    let of_another = sleeper(UID + 1).process_group(group.parse().unwrap()).spawn();
    let mut of_another = Running(of_another.unwrap());
    let mut elsewhere = Running(sleeper(UID).process_group(0).spawn().unwrap());
    // The leader of a session ends, and leaves a process in another group.
    let mut shell = Command::new("setsid");
    shell.uid(UID).args(["bash", "-mc", "echo $$; sleep 1000 & echo $! >&2; exec sleep 1000"]);
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = || {
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    let in_session = line();
    let mut leader = Running(child);
    // A call of glexec, and a process below it in a session of its own.
    let lines = format!("setsid setpriv --reuid {UID} sleep 1000 & echo $!; wait");
    let (above, below) = Running::start(Command::new("sh").args(["-c", &lines]));
    support::wait_for("the change of user", || {
        let status = fs::read_to_string(format!("/proc/{below}/status")).unwrap();
        status.contains(&format!("Uid:\t{UID}")).then_some(())
    });
    let output = run(&site, UID, &leader.id(), &group, &above.id());
    assert!(output.status.success(), "{output:?}");
    assert!(in_group.has_ended() && leader.has_ended());
    assert!(!is_alive(&in_session) && !is_alive(&below));
    assert!(!elsewhere.has_ended() && !of_another.has_ended());
    let log = site.text("syslog");
    let begin = format!(
        "-t glexec-epilogue -p daemon.notice -- ends what is left of payload \
        {} of user {UID}:",
        leader.id()
    );
    assert!(log.starts_with(&begin) && log.lines().count() == 1, "{log}");
}

#[test]
fn where_nothing_is_left_it_says_nothing() {
    let site = site("");
    let mut elsewhere = Running(sleeper(61_103).process_group(0).spawn().unwrap());
    assert!(run(&site, 61_103, NONE, NONE, NONE).status.success());
    assert!(!elsewhere.has_ended() && !site.path("syslog").exists());
}

#[test]
fn the_log_can_be_a_file_that_only_root_can_read() {
    let site = site("s|^log=.*|log=@TOP@/log|");
    let mut left = Running(sleeper(61_104).process_group(0).spawn().unwrap());
    assert!(run(&site, 61_104, NONE, &left.id(), NONE).status.success());
    assert!(left.has_ended() && site.text("log").contains("of user 61104"));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(site.path("log")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn without_the_variables_or_for_root_it_ends_nothing() {
    let site = site("");
    let mut left = Running(sleeper(61_105).process_group(0).spawn().unwrap());
    for (uid, group) in [(0, left.id()), (61_105, String::new()), (61_105, "1 -1".into())] {
        assert_eq!(run(&site, uid, NONE, &group, NONE).status.code(), Some(1));
    }
    assert!(!left.has_ended());
}

/// A cgroup of version 2 of this test's own.
struct Cgroup(tempfile::TempDir);

impl Cgroup {
    fn new() -> Cgroup {
        let top = tempfile::Builder::new().prefix("hooks-cgroup.").tempdir_in("/var/lib").unwrap();
        let mount = Command::new("mount").args(["-t", "cgroup2", "none"]).arg(top.path()).status();
        assert!(mount.unwrap().success(), "the kernel has no cgroups of version 2");
        let cgroup = Cgroup(top);
        fs::create_dir(cgroup.path()).unwrap();
        cgroup
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(format!("hooks-test-{}", std::process::id()))
    }

    fn take(&self, process: &Running) {
        fs::write(self.path().join("cgroup.procs"), process.id()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let gone = || fs::remove_dir(self.path()).is_ok().then_some(());
        support::wait_for("the end of the processes of the cgroup", gone);
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn with_a_cgroup_of_each_call_all_of_the_account_in_it_is_ended_and_nothing_outside() {
    const UID: u32 = 61_106;
    let cgroup = Cgroup::new();
    let site = site("s/^own_cgroup=.*/own_cgroup=yes/");
    let mut call = Running(sleeper(0).process_group(0).spawn().unwrap());
    let mut inside = Running(sleeper(UID).process_group(0).spawn().unwrap());
    let mut outside = Running(sleeper(UID).process_group(0).spawn().unwrap());
    cgroup.take(&call);
    cgroup.take(&inside);
    assert!(run(&site, UID, NONE, NONE, &call.id()).status.success());
    assert!(inside.has_ended() && !outside.has_ended() && !call.has_ended());
    drop((call, inside));
}

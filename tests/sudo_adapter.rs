//! `glexec-sudo`, with real accounts and the real sudo.
//!
//! Needs root and what `ci/provision` sets up; without them every test fails and says so.
//! The caller is the batch user `gh-batch`: sudoers lets it run any command as `gh-job` and
//! `gh-job2`, and none as `gh-other`.

// A test that cannot continue panics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::TIMEOUT;
use support::machine::Machine;
use tempfile::TempDir;

/// The user id and the group id of an account.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    fn named(name: &str) -> Self {
        let id = |flag| {
            let out = Command::new("id").args([flag, "--", name]).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            text.trim()
                .parse()
                .unwrap_or_else(|_| panic!("no account {name}: run ci/provision as root"))
        };
        Self { uid: id("-u"), gid: id("-g") }
    }
}

/// A directory that every account can reach, with a credential and a map in it.
struct Site {
    dir: TempDir,
    batch: Account,
}

impl Site {
    fn new() -> Self {
        let uid = fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(uid, 0, "these tests need root, and `ci/provision` run before them");
        assert!(
            Path::new("/etc/sudoers.d/glexec-helpers-test").exists(),
            "run ci/provision as root"
        );
        let dir = tempfile::Builder::new()
            .prefix("gh-sudo-adapter.")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .unwrap();
        let site = Self { dir, batch: Account::named("gh-batch") };
        chown(
            site.file("token", Some("secret\n"), 0o600),
            Some(site.batch.uid),
            Some(site.batch.gid),
        )
        .unwrap();
        site.map("gh-batch gh-job\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of root with this text (if it does not exist yet) and exactly this mode.
    fn file(&self, name: &str, text: Option<&str>, mode: u32) -> PathBuf {
        let path = self.path(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A copy of `from` that can be executed. Another process makes it: processes that other tests
    /// start inherit a descriptor for writing for a moment, and executing the file would then fail
    /// with ETXTBSY.
    fn program_file(&self, from: impl AsRef<OsStr>, name: &str) -> PathBuf {
        let path = self.path(name);
        let mut install = Command::new("install");
        assert!(
            install.args(["-m", "0755", "--"]).arg(from).arg(&path).status().unwrap().success()
        );
        path
    }

    fn map(&self, text: &str) -> PathBuf {
        self.file("map", Some(text), 0o644)
    }

    /// `program` as the batch user, with an environment for the adapter; not started.
    fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GLEXEC_CLIENT_CERT", self.path("token"))
            .env("GLEXEC_SUDO_MAP", self.path("map"))
            .uid(self.batch.uid)
            .gid(self.batch.gid)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    fn adapter<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(adapter());
        command.args(args);
        command
    }

    /// The adapter called by a shell that first does `before`.
    fn adapter_after<S: AsRef<OsStr>>(
        &self,
        before: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.program("/bin/sh");
        command.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]).arg(adapter()).args(args);
        command
    }

    fn shell(&self, text: &str) -> Command {
        self.adapter(["/bin/sh", "-c", text])
    }
}

fn adapter() -> PathBuf {
    support::program("glexec-sudo")
}

fn code(command: &mut Command) -> Option<i32> {
    command.output().unwrap().status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts the status, and one line of the adapter's that contains `part`.
#[track_caller]
fn refused(command: &mut Command, status: i32, part: &str) {
    let Output { status: got, stdout, stderr } = command.output().unwrap();
    let said = text(&stderr);
    assert_eq!(got.code(), Some(status), "{said}");
    assert_eq!(text(&stdout), "");
    let ours: Vec<_> = said.lines().filter(|line| line.starts_with("glexec-sudo: ")).collect();
    assert_eq!(ours.len(), 1, "{said}");
    assert_eq!(said.lines().last(), Some(ours[0]), "{said}");
    assert!(ours[0].contains(part), "{part:?} is not in {said}");
    assert!(
        said.lines().all(|line| line.starts_with("glexec-sudo: ") || line.starts_with("sudo: ")),
        "{said}"
    );
}

#[track_caller]
fn poll(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < end, "not within {TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Calls a function at the end of a scope, also if the test fails.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// One field of /proc/<pid>/status.
fn proc_status(pid: u32, field: &str) -> String {
    let all = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

// --- exit statuses

#[test]
fn the_commands_own_status_is_passed_on() {
    let site = Site::new();
    for status in [0, 1, 2, 7, 125, 126, 127, 128, 200, 201, 202, 203, 204, 205, 255] {
        let out = site.shell(&format!("exit {status}")).output().unwrap();
        assert_eq!(out.status.code(), Some(status));
        assert_eq!(text(&out.stderr), "", "status {status}");
    }
}

#[test]
fn a_killed_command_ends_by_its_signal_without_a_message() {
    let site = Site::new();
    for signal in [1, 2, 3, 9, 13, 15, 34] {
        let out = site.shell(&format!("ulimit -c 0; kill -{signal} $$")).output().unwrap();
        assert_eq!(out.status.signal(), Some(signal));
        assert_eq!(text(&out.stderr), "", "signal {signal}");
    }
}

#[test]
fn the_status_arrives_though_the_caller_ignores_its_children() {
    let site = Site::new();
    assert_eq!(code(&mut site.adapter_after("trap '' CHLD", ["/bin/sh", "-c", "exit 7"])), Some(7));
}

#[test]
fn a_command_that_is_not_there_gives_127() {
    let site = Site::new();
    refused(&mut site.adapter(["/no/such/command"]), 127, "/no/such/command");
}

#[test]
fn a_file_that_is_not_a_program_gives_126() {
    let site = Site::new();
    let path = site.file("data", Some("#!/bin/sh\n"), 0o644);
    refused(&mut site.adapter([&path]), 126, "not executable");
    refused(&mut site.adapter([site.dir.path()]), 126, "not executable");
}

#[test]
fn a_usage_error_gives_201() {
    let site = Site::new();
    refused(&mut site.adapter([""; 0]), 201, "usage: glexec-sudo <absolute command>");
    refused(&mut site.adapter([""]), 201, "usage");
    refused(&mut site.adapter(["true"]), 201, "absolute");
    refused(&mut site.adapter(["./bin/true"]), 201, "absolute");
    refused(&mut site.adapter(["-u", "root", "/bin/true"]), 201, "absolute");
    refused(&mut site.adapter(["two\nlines"]), 201, "two\\nlines");
}

#[test]
fn a_credential_that_cannot_be_used_gives_201() {
    let site = Site::new();
    let call = |cert: &Path| {
        let mut command = site.adapter(["/bin/true"]);
        command.env("GLEXEC_CLIENT_CERT", cert);
        command
    };
    refused(
        site.adapter(["/bin/true"]).env_remove("GLEXEC_CLIENT_CERT"),
        201,
        "GLEXEC_CLIENT_CERT",
    );
    refused(&mut call(Path::new("")), 201, "absolute path");
    refused(call(Path::new("token")).current_dir(site.dir.path()), 201, "absolute path");
    refused(&mut call(&site.path("missing")), 201, "missing");
    refused(&mut call(site.dir.path()), 201, "not a readable file");
    refused(&mut call(&site.file("roots", Some(""), 0o600)), 201, "not a readable file");
}

#[test]
fn a_command_that_only_its_account_can_reach_is_run() {
    let site = Site::new();
    let closed = site.path("closed");
    fs::create_dir(&closed).unwrap();
    site.program_file("/usr/bin/id", "closed/id");
    let owner = Account::named("gh-job");
    chown(&closed, Some(owner.uid), None).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let out = site.adapter([closed.join("id").as_os_str(), "-u".as_ref()]).output().unwrap();
    assert_eq!(text(&out.stdout), format!("{}\n", owner.uid), "{}", text(&out.stderr));
    // With the mode of the installed agent: only its owner can read it.
    let agent = site.program_file("/usr/bin/id", "agent");
    fs::set_permissions(&agent, Permissions::from_mode(0o711)).unwrap();
    let out = site.adapter([agent.as_os_str(), "-u".as_ref()]).output().unwrap();
    assert_eq!(text(&out.stdout), format!("{}\n", owner.uid), "{}", text(&out.stderr));
}

/// Asserts that sudo refused: status 1, and only a line of sudo.
#[track_caller]
fn refused_by_sudo(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = text(&stderr);
    assert_eq!((status.code(), text(&stdout).as_str()), (Some(1), ""), "{said}");
    assert!(said.starts_with("sudo: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn what_sudo_itself_refuses_gives_1_and_a_line_of_sudo() {
    let site = Site::new();
    let copy = site.program_file("/usr/bin/sudo", "sudo");
    refused_by_sudo(site.adapter(["/bin/true"]).env("GLEXEC_SUDO", &copy));
    // The batch user may run no command as this account, and this account may run none at all.
    site.map("gh-batch gh-other\n");
    refused_by_sudo(&mut site.adapter(["/bin/true"]));
    let other = Account::named("gh-other");
    site.map("gh-other gh-job\n");
    site.file("public", Some(""), 0o644);
    let mut command = site.adapter(["/bin/true"]);
    command.uid(other.uid).gid(other.gid).env("GLEXEC_CLIENT_CERT", site.path("public"));
    refused_by_sudo(&mut command);
}

#[test]
fn a_sudo_held_back_by_no_new_privs_gives_202() {
    let site = Site::new();
    let mut command = site.program("setpriv");
    command.arg("--no-new-privs").arg(adapter()).arg("/bin/true");
    refused(&mut command, 202, "no_new_privs");
}

#[test]
fn an_adapter_that_is_set_user_id_or_set_group_id_calls_nothing() {
    let site = Site::new();
    let tell = site.program_file("/usr/bin/id", "tell");
    for mode in [0o4755, 0o2755] {
        let copy = site.program_file(adapter(), "privileged");
        fs::set_permissions(&copy, Permissions::from_mode(mode)).unwrap();
        refused(site.program(&copy).arg("/bin/true").env("GLEXEC_SUDO", &tell), 202, "set-user-ID");
    }
}

#[test]
fn a_missing_sudo_gives_202() {
    let site = Site::new();
    refused(site.adapter(["/bin/true"]).env("GLEXEC_SUDO", "/no/such/sudo"), 202, "/no/such/sudo");
    refused(site.adapter(["/bin/true"]).env("GLEXEC_SUDO", "sudo"), 202, "absolute");
    refused(
        site.adapter(["/bin/true"]).env("GLEXEC_SUDO", site.path("map")),
        202,
        "no sudo program",
    );
}

#[test]
fn a_map_that_others_could_have_written_gives_202() {
    let site = Site::new();
    for mode in [0o664, 0o646, 0o666, 0o777, 0o624, 0o4646] {
        site.file("map", None, mode);
        refused(&mut site.adapter(["/bin/true"]), 202, "writable by group or others");
    }
    for mode in [0o644, 0o444, 0o755, 0o4744, 0o1644] {
        site.file("map", None, mode);
        assert_eq!(code(&mut site.adapter(["/bin/true"])), Some(0), "{mode:o}");
    }
    chown(site.path("map"), Some(site.batch.uid), None).unwrap();
    site.file("map", None, 0o644);
    refused(&mut site.adapter(["/bin/true"]), 202, "does not belong to root");
}

#[test]
fn a_map_that_cannot_be_read_gives_202() {
    let site = Site::new();
    site.file("map", None, 0o600);
    refused(&mut site.adapter(["/bin/true"]), 202, "the map is not a readable file");
    refused(
        site.adapter(["/bin/true"]).env("GLEXEC_SUDO_MAP", "/no/such/map"),
        202,
        "/no/such/map",
    );
    refused(site.adapter(["/bin/true"]).env("GLEXEC_SUDO_MAP", "/"), 202, "not a readable file");
    refused(site.adapter(["/bin/true"]).env("GLEXEC_SUDO_MAP", "map"), 202, "absolute");
}

#[test]
fn a_malformed_line_of_the_map_gives_202_and_is_named() {
    let site = Site::new();
    for line in [
        "gh-batch",
        "gh-batch /a gh-job more",
        "gh-batch relative gh-job",
        "gh-batch #0",
        "gh-batch a#0",
        "x -u",
        "x a/b",
    ] {
        let map = site.map(&format!("# comment\n\n{line}\ngh-batch gh-job\n"));
        refused(&mut site.adapter(["/bin/true"]), 202, &format!("{}, line 3", map.display()));
    }
}

#[test]
fn an_account_that_does_not_exist_gives_202() {
    let site = Site::new();
    site.map("gh-batch gh-no-such-account\n");
    refused(&mut site.adapter(["/bin/true"]), 202, "does not exist: gh-no-such-account");
}

#[test]
fn an_account_that_only_a_directory_service_knows_is_found() {
    let machine = Machine::new();
    // Scripts in the place of the directory service, and of sudo, which prints its arguments.
    let prepared = machine.script(
        "root",
        r#"set -e
        grep -v ^condor: /etc/passwd >/etc/passwd.new
        grep ^condor: /etc/passwd >/run/service
        echo 'remote:x:70000:70000::/nonexistent:/bin/sh' >>/run/service
        chmod 644 /run/service
        printf '%s\n' '#!/bin/sh' 'case $2 in *[!0-9]*) exec grep "^$2:" /run/service ;; esac' \
            'exec grep ":x:$2:" /run/service' >/usr/bin/getent
        printf '%s\n' '#!/bin/sh' 'echo "sudo $*"' >/usr/local/bin/sudo
        chmod 755 /usr/bin/getent /usr/local/bin/sudo
        echo condor remote >/etc/glexec-sudo.map
        echo token >/run/token; chmod 644 /run/token
        user=$(id -u condor)
        cat /etc/passwd.new >/etc/passwd
        adapter() {
            GLEXEC_SUDO=/usr/local/bin/sudo GLEXEC_CLIENT_CERT=/run/token \
                setpriv --reuid $user --clear-groups /run/built/glexec-sudo /bin/true
        }
        adapter
        echo condor no-such-account >/etc/glexec-sudo.map
        adapter || echo "status $?"
        printf '%s\n' '#!/bin/sh' 'exec sleep 600' >/usr/bin/getent
        adapter || echo "status $?"
        "#,
    );
    assert!(prepared.status.success(), "{}", text(&prepared.stderr));
    let printed = text(&prepared.stdout);
    assert_eq!(printed, "sudo -n -u remote -- /bin/true\nstatus 202\nstatus 202\n");
    let said = text(&prepared.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("glexec-sudo: ")).collect();
    assert!(lines.len() == 2 && lines[0].contains("does not exist: no-such-account"), "{said}");
    assert!(lines[1].contains("/usr/bin/getent: no answer within 10 seconds"), "{said}");
}

#[test]
fn a_caller_without_a_line_in_the_map_gets_203() {
    let site = Site::new();
    site.map("gh-other gh-job\ngh-batch /elsewhere gh-job\n");
    refused(&mut site.adapter(["/bin/true"]), 203, "has no line for user gh-batch");
    site.map("");
    refused(&mut site.adapter(["/bin/true"]), 203, "has no line for user gh-batch");
}

#[test]
fn a_map_to_root_or_to_the_caller_gives_203() {
    let site = Site::new();
    site.map("gh-batch root\n");
    refused(&mut site.adapter(["/bin/true"]), 203, "to root");
    site.map("gh-batch gh-batch\n");
    refused(&mut site.adapter(["/bin/true"]), 203, "to itself");
}

// --- what reaches the command

#[test]
fn the_command_runs_as_the_mapped_account_and_its_groups() {
    let site = Site::new();
    let job = Account::named("gh-job");
    let out = site.shell("id -u; id -ru; id -g; id -G").output().unwrap();
    let Account { uid, gid } = job;
    assert_eq!(text(&out.stdout), format!("{uid}\n{uid}\n{gid}\n{gid}\n"));
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let site = Site::new();
    let every: Vec<u8> = (1..=255).collect();
    let long = vec![b'x'; 100_000];
    let args: Vec<&[u8]> = vec![
        b"--help",
        b"",
        b"--version",
        b"-u",
        b"root",
        b"--",
        b"A=b",
        b"a b",
        b"line\nline\n",
        b"\n",
        b"\xff",
        b"\x81\x88",
        b"*",
        b"~",
        b"$HOME",
        b"`id`",
        b"$(id)",
        b"';id;'",
        b"\\",
        b"\\n",
        b"!!",
        b"%s",
        &every,
        &long,
        b"",
    ];
    let args: Vec<OsString> =
        args.into_iter().map(|arg| OsString::from_vec(arg.to_vec())).collect();
    let mut command = site.adapter(["/usr/bin/printf", "%s\\0"]);
    let out = command.args(&args).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let got: Vec<_> =
        out.stdout.split_inclusive(|byte| *byte == 0).map(|arg| &arg[..arg.len() - 1]).collect();
    let want: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
    assert_eq!(got, want);
}

#[test]
fn a_command_with_any_bytes_in_its_path_is_run() {
    let site = Site::new();
    let script = site.file("script", Some("#!/bin/sh\necho \"ran $1\"\n"), 0o644);
    for name in ["--help", "a=b", "two words", "new\nline", "star*", "$(id)"] {
        let path = site.program_file(&script, name);
        let out = site.adapter([path.as_os_str(), OsStr::new("it")]).output().unwrap();
        assert_eq!(text(&out.stdout), "ran it\n", "{name:?}: {}", text(&out.stderr));
    }
}

#[test]
fn the_working_directory_reaches_the_command_even_if_its_account_cannot_enter_it() {
    let site = Site::new();
    let private = site.path("private");
    fs::create_dir(&private).unwrap();
    chown(&private, Some(site.batch.uid), None).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o700)).unwrap();
    for dir in [private.as_path(), site.dir.path(), Path::new("/")] {
        let out = site
            .adapter(["/usr/bin/readlink", "/proc/self/cwd"])
            .current_dir(dir)
            .output()
            .unwrap();
        assert_eq!(text(&out.stdout), format!("{}\n", dir.display()));
    }
}

#[test]
fn a_socket_on_descriptor_0_reaches_the_command_unread_and_both_ways() {
    let site = Site::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let name = fs::read_link(format!("/proc/self/fd/{}", theirs.as_raw_fd())).unwrap();
    ours.write_all(b"first four bytes\n").unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    let out = site
        .shell("readlink /proc/self/fd/0; cat; echo hello >&0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .output()
        .unwrap();
    assert_eq!(
        text(&out.stdout),
        format!("{}\nfirst four bytes\n", name.display()),
        "{}",
        text(&out.stderr)
    );
    // Up to the end of file: no process of the adapter may keep the other end open.
    let mut answer = String::new();
    ours.set_read_timeout(Some(TIMEOUT)).unwrap();
    ours.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello\n");
}

#[test]
fn standard_output_and_error_reach_the_command_apart() {
    let site = Site::new();
    let out = site.shell("echo out; echo err >&2; kill -TERM $$").output().unwrap();
    assert_eq!((text(&out.stdout), text(&out.stderr)), ("out\n".into(), "err\n".into()));
}

#[test]
fn descriptors_from_3_on_do_not_reach_the_command() {
    let site = Site::new();
    let mut command = site
        .adapter_after("exec 3</dev/null 7</dev/null 9</dev/null", ["/bin/ls", "/proc/self/fd"]);
    // 3 is the directory that ls reads; it would have another number if 3 had been taken.
    assert_eq!(text(&command.output().unwrap().stdout), "0\n1\n2\n3\n");
    let mut command = site.adapter_after("exec 3</dev/null", ["/bin/readlink", "/proc/self/fd/3"]);
    assert_eq!(text(&command.output().unwrap().stdout), "");
}

#[test]
fn descriptors_0_1_and_2_may_be_closed() {
    let site = Site::new();
    let close = "exec 0<&- 1>&- 2>&-";
    assert_eq!(code(&mut site.adapter_after(close, ["/bin/sh", "-c", "exit 3"])), Some(3));
    let killed = site.adapter_after(close, ["/bin/sh", "-c", "kill -9 $$"]).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    assert_eq!(code(&mut site.adapter_after(close, ["/no/such"])), Some(127));
}

#[test]
fn the_callers_variables_do_not_reach_the_command() {
    let site = Site::new();
    let out = site.adapter(["/usr/bin/env"]).env("CONDOR_PRIVATE_KEY", "secret").output().unwrap();
    let env = text(&out.stdout);
    assert!(env.contains("USER=gh-job\n"), "{env}");
    for name in ["CONDOR_PRIVATE_KEY", "GLEXEC_CLIENT_CERT", "GLEXEC_SUDO"] {
        assert!(!env.contains(name), "{env}");
    }
}

#[test]
fn an_empty_environment_is_enough() {
    let site = Site::new();
    let mut command = site.shell("exit 7");
    command.env_remove("PATH");
    assert_eq!(code(&mut command), Some(7));
    assert_eq!(code(command.env("PATH", "")), Some(7));
}

#[test]
fn the_job_user_can_stop_continue_and_kill_the_command() {
    let site = Site::new();
    let job = Account::named("gh-job");
    let mut child = site
        .shell("echo $$; exec sleep 1000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    // If the test fails, the command must not remain.
    let _end = OnDrop(|| {
        let pid = pid.to_string();
        let _ = Command::new("/bin/sh")
            .args(["-c", "kill -s KILL \"$0\"", &pid])
            .stderr(Stdio::null())
            .uid(job.uid)
            .gid(job.gid)
            .status();
    });
    let send = |signal: &str| {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "kill -s \"$0\" \"$1\"", signal])
            .arg(pid.to_string())
            .uid(job.uid)
            .gid(job.gid);
        assert!(command.status().unwrap().success(), "{signal}");
    };
    poll("the command to be sleep", || proc_status(pid, "Name") == "sleep");
    assert_eq!(pid, child.id(), "sudo has not made way: are the settings in force?");

    send("STOP");
    poll("the command to stop", || proc_status(pid, "State").starts_with('T'));
    send("CONT");
    poll("the command to go on", || proc_status(pid, "State").starts_with('S'));
    send("KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn no_process_is_started_before_sudo() {
    let site = Site::new();
    let log = site.path("log");
    let call = site.adapter(["/bin/true"]);
    let mut traced = Command::new("strace");
    traced
        .args(["-u", "gh-batch", "-f", "-q", "-e", "trace=execve,clone,clone3,fork,vfork", "-o"])
        .arg(&log);
    traced
        .arg(adapter())
        .args(call.get_args())
        .env_clear()
        .envs(support::variables_of(&call))
        .stdin(Stdio::null());
    assert_eq!(code(&mut traced), Some(0));
    let lines = fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, call)| call.trim())
        .collect();
    let first = |line: &str| line.split('"').nth(1).unwrap_or(line).to_owned();
    assert_eq!(first(calls[0]), adapter().display().to_string(), "{lines}");
    assert_eq!(first(calls[1]), "/usr/bin/sudo", "{lines}");
}

// --- the map

/// The account that the command runs as with this map and credential.
fn mapped(site: &Site, map: &str, cert: &Path) -> String {
    site.map(map);
    let out =
        site.adapter(["/usr/bin/id", "-un"]).env("GLEXEC_CLIENT_CERT", cert).output().unwrap();
    text(&out.stdout).trim().to_owned()
}

#[test]
fn the_first_line_that_matches_counts() {
    let site = Site::new();
    let token = site.path("token");
    assert_eq!(mapped(&site, "gh-batch gh-job2\ngh-batch gh-job\n", &token), "gh-job2");
    let dir = site.dir.path().display();
    assert_eq!(
        mapped(&site, &format!("gh-batch gh-job\ngh-batch {dir} gh-job2\n"), &token),
        "gh-job"
    );
    assert_eq!(
        mapped(&site, &format!("gh-other gh-job\ngh-batch {dir} gh-job2\n"), &token),
        "gh-job2"
    );
}

#[test]
fn a_prefix_matches_whole_components_only() {
    let site = Site::new();
    let make = |name: &[u8]| {
        let path = site.dir.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    };
    let dir = site.dir.path().display().to_string();
    let (exact, below, beside) = (make(b"exact"), make(b"a/b/c/token"), make(b"a/bc/token"));
    let odd = make(b"a/b/\xff \n\x81*");
    for (prefix, cert, account) in [
        (format!("{dir}/exact"), &exact, "gh-job2"),
        (format!("{dir}/exac"), &exact, "gh-job"),
        (format!("{dir}/a/b"), &below, "gh-job2"),
        (format!("{dir}/a/b//"), &below, "gh-job2"),
        (format!("{dir}/a/b"), &beside, "gh-job"),
        (format!("{dir}/a/b/"), &beside, "gh-job"),
        (format!("{dir}/a/*"), &below, "gh-job"),
        (format!("{dir}/a/b"), &odd, "gh-job2"),
        ("/".to_owned(), &beside, "gh-job2"),
    ] {
        let map = format!("gh-batch {prefix} gh-job2\ngh-batch gh-job\n");
        assert_eq!(mapped(&site, &map, cert), account, "{prefix} {}", cert.display());
    }
}

#[test]
fn comments_blanks_and_a_missing_last_newline_are_accepted() {
    let site = Site::new();
    let map = "\n# gh-batch gh-job2\n  \t\n\t # x\n \tgh-batch\t \tgh-job2  # gh-job";
    assert_eq!(mapped(&site, map, &site.path("token")), "gh-job2");
}

#[test]
fn the_map_of_the_provisioning_is_accepted() {
    let site = Site::new();
    let mut command = site.adapter(["/usr/bin/id", "-un"]);
    let out = command.env("GLEXEC_SUDO_MAP", "/etc/glexec-helpers-test.map").output().unwrap();
    assert_eq!(text(&out.stdout), "gh-job\n", "{}", text(&out.stderr));
}

// --- options and samples

#[test]
fn help_and_version_are_options_as_the_first_argument() {
    let site = Site::new();
    for option in ["-h", "--help"] {
        let help = site.adapter([option]).env_remove("GLEXEC_CLIENT_CERT").output().unwrap();
        assert!(help.status.success());
        for part in
            ["Usage:", "GLEXEC_CLIENT_CERT", "!use_pty, !pam_session, !pam_setcred", "Example"]
        {
            assert!(text(&help.stdout).contains(part), "{part}");
        }
    }
    for option in ["-V", "--version"] {
        let version = site.adapter([option]).output().unwrap();
        assert_eq!(text(&version.stdout), concat!("glexec-sudo ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn the_sample_rule_is_valid() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/glexec-sudo.sudoers");
    let out = Command::new("/usr/sbin/visudo")
        .args(["-cf", sample])
        .output()
        .expect("visudo: run ci/provision");
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn the_sample_rule_keeps_the_callers_variables_from_the_job_where_the_machine_does_not() {
    let machine = Machine::new();
    // In place of the only command that the rule allows: a program that prints its environment.
    let prepared = machine.script(
        "root",
        "set -e
        install -D -m 755 /usr/bin/env /usr/local/libexec/glexec-helpers/condor_glexec_agent
        useradd --system job
        echo condor job >/etc/glexec-sudo.map
        # After the line that reads the rules.
        echo 'Defaults !env_reset' >>/etc/sudoers
        install -m 440 ~/glexec-helpers/scripts/glexec-sudo.sudoers /etc/sudoers.d/glexec-sudo",
    );
    assert!(prepared.status.success(), "{}", text(&prepared.stderr));
    // A secret; variables that sudo keeps by default if their values are harmless; and a variable
    // that this machine adds to these.
    let given = [
        "CONDOR_PRIVATE_KEY",
        "KRB5CCNAME",
        "DISPLAY",
        "XAUTHORITY",
        "TZ",
        "LANG",
        "LC_ALL",
        "ADDED",
    ];
    let reach = || {
        let variables: String = given.iter().map(|name| format!("{name}=given ")).collect();
        let call = format!(
            "echo token >credential
            env GLEXEC_CLIENT_CERT=$HOME/credential {variables} /run/built/glexec-sudo \
                /usr/local/libexec/glexec-helpers/condor_glexec_agent"
        );
        let out = machine.script("condor", &call);
        let said = text(&out.stdout);
        assert!(said.contains("USER=job\n"), "{said}{}", text(&out.stderr));
        let of_sudo = |name: &str| {
            ["PATH", "HOME", "MAIL", "SHELL", "LOGNAME", "USER", "TERM"].contains(&name)
                || name.starts_with("SUDO_")
        };
        let names = said.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned()));
        names.filter(|name| !of_sudo(name)).collect::<Vec<_>>()
    };
    let nothing = [""; 0];
    assert_eq!(reach(), nothing);
    machine.script("root", "echo 'Defaults env_reset, env_keep += \"ADDED\"' >>/etc/sudoers");
    assert_eq!(reach(), nothing);
    // Without these words of the sample, kept variables would reach the job, and then all.
    let without = |words: &str| {
        let edit = format!(
            "sed -i 's/, {words}//' /etc/sudoers.d/glexec-sudo && visudo -cqf /etc/sudoers"
        );
        assert!(machine.script("root", &edit).status.success());
    };
    without("!env_keep, !env_check");
    let kept = reach();
    assert!(
        ["KRB5CCNAME", "DISPLAY", "TZ", "ADDED"]
            .iter()
            .all(|name| kept.contains(&(*name).to_owned())),
        "{kept:?}"
    );
    machine.script(
        "root",
        "echo 'Defaults !env_reset' >>/etc/sudoers
        sed -i 's/ env_reset,//' /etc/sudoers.d/glexec-sudo",
    );
    let all = reach();
    assert!(given.iter().all(|name| all.contains(&(*name).to_owned())), "{all:?}");
}

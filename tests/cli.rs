//! Arguments, exit statuses, and calls of the switcher. The switcher is a script, so these tests
//! need neither root nor accounts.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::installation::PROGRAMS;
use support::{
    PROXY, executable, failed, messages, program, retained, succeeded, wait_until, write,
};
use tempfile::TempDir;

/// Every command with its positional arguments. `[arg…]` stands for any number of arguments.
const COMMANDS: [(&str, &str); 6] = [
    ("condor_glexec_setup", "<glexec> <proxy> <sandbox> <max-retries> <min-delay>"),
    (
        "condor_glexec_run",
        "<glexec> <proxy> <sandbox> <wrapper> <stdin> <stdout> <stderr> <cmd> [arg…]",
    ),
    ("condor_glexec_job_wrapper", "<stdin> <stdout> <stderr> <cmd> [arg…]"),
    ("condor_glexec_cleanup", "<glexec> <proxy> <sandbox> <max-retries> <min-delay>"),
    (
        "condor_glexec_kill",
        "[options] <glexec> <proxy-path> <pid> <signal> <max-retries> <min-delay>",
    ),
    ("condor_glexec_update_proxy", "<glexec or -> <new-proxy-path> <proxy> <sandbox>"),
];

const SETUP: &str = COMMANDS[0].0;
const RUN: &str = COMMANDS[1].0;
const CLEANUP: &str = COMMANDS[3].0;
const KILL: &str = COMMANDS[4].0;
const UPDATE: &str = COMMANDS[5].0;

/// The commands of these tests that call a switcher.
const CALLERS: [&str; 4] = [SETUP, CLEANUP, KILL, RUN];

/// The commands that repeat a call, each with its status after a permanent failure, and after the
/// last retry.
const RETRYING: [(&str, i32, i32); 3] = [(SETUP, 2, 3), (CLEANUP, 1, 1), (KILL, 2, 3)];

/// A switcher that records how it was called.
const RECORDS: &str = "cat /proc/$$/cmdline >$here/cmdline; cat /proc/$$/environ >$here/environ
    ls /proc/self/fd >$here/descriptors; readlink /proc/$$/cwd >$here/directory; exit 5";

/// A sandbox of the current user, and a switcher that is a script.
struct Fixture {
    directory: TempDir,
    sandbox: PathBuf,
    proxy: OsString,
    target: OnceCell<Child>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(target) = self.target.get_mut() {
            let _ = target.kill();
            let _ = target.wait();
        }
    }
}

impl Fixture {
    /// A switcher that counts its calls and then runs this script; its directory is `$here`.
    fn new(script: &str) -> Fixture {
        Fixture::with(script, "s", PROXY)
    }

    fn with(script: &str, sandbox: impl AsRef<OsStr>, proxy: impl AsRef<OsStr>) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = directory.path().join(sandbox.as_ref());
        fs::create_dir(&sandbox).unwrap();
        write(sandbox.join(proxy.as_ref()), "the proxy\n", 0o600);
        let fixture = Fixture {
            directory,
            sandbox,
            proxy: proxy.as_ref().to_owned(),
            target: OnceCell::new(),
        };
        let text = format!("#!/bin/sh\nhere=${{0%/*}}\necho >>$here/calls\n{script}\n");
        executable(&fixture.switcher(), text.as_bytes());
        fixture
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn switcher(&self) -> PathBuf {
        self.file("switcher")
    }

    /// The path of the retained proxy.
    fn credential(&self) -> PathBuf {
        retained(&self.sandbox).join(&self.proxy)
    }

    /// A process in a separate user namespace: only the switcher can find out its user.
    fn target(&self) -> u32 {
        let start = || {
            let child = Command::new("unshare").args(["--user", "sleep", "300"]).spawn().unwrap();
            let map = |pid: &str| fs::read(format!("/proc/{pid}/uid_map")).unwrap();
            wait_until("unshare --user works here", || map(&child.id().to_string()) != map("self"));
            child
        };
        self.target.get_or_init(start).id()
    }

    /// How often the switcher was called.
    fn calls(&self) -> usize {
        fs::read(self.file("calls")).unwrap_or_default().len()
    }

    /// A file that the switcher wrote, as strings that each end with this byte.
    fn recorded(&self, name: &str, end: u8) -> Vec<Vec<u8>> {
        let bytes = fs::read(self.file(name)).unwrap();
        bytes.strip_suffix(&[end]).unwrap().split(|byte| *byte == end).map(<[u8]>::to_vec).collect()
    }

    /// A command with any arguments, in the directory of this value.
    fn command(&self, name: &str, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(program(name));
        command.args(words).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        command
    }

    fn call(&self, name: &str, words: &[impl AsRef<OsStr>]) -> Output {
        self.command(name, words).output().unwrap()
    }

    /// The arguments of a command, without retries; for update_proxy those without a switcher.
    fn words(&self, name: &str) -> Vec<OsString> {
        let mut words = vec![self.switcher().into_os_string()];
        match name {
            KILL => {
                words.push(self.credential().into_os_string());
                words.extend([&self.target().to_string(), "TERM", "0", "0"].map(OsString::from));
            }
            RUN => {
                words.extend([self.proxy.clone(), self.sandbox.clone().into_os_string()]);
                words.extend(
                    ["/w", "-", "-", "-", "/job", "", "--help", "--", "a b"].map(OsString::from),
                );
                words.push(OsString::from_vec(b"\xff\n".to_vec()));
            }
            UPDATE => {
                words = ["-", "new"].map(OsString::from).to_vec();
                words.extend([self.proxy.clone(), self.sandbox.clone().into_os_string()]);
            }
            _ => {
                words.extend([self.proxy.clone(), self.sandbox.clone().into_os_string()]);
                words.extend(["0", "0"].map(OsString::from));
            }
        }
        words
    }

    /// A call that reaches the switcher.
    fn reaching(&self, name: &str) -> Command {
        self.repeating(name, "0", "0")
    }

    /// A call that reaches the switcher, with these retries.
    fn repeating(&self, name: &str, max_retries: &str, min_delay: &str) -> Command {
        let mut words = self.words(name);
        if name != RUN {
            words.truncate(words.len() - 2);
            words.extend([max_retries, min_delay].map(OsString::from));
        }
        if name == CLEANUP {
            self.leave_a_file();
        }
        self.command(name, &words)
    }

    /// update_proxy without a switcher, and the new proxy.
    fn update(&self) -> Command {
        write(self.file("new"), "another proxy\n", 0o600);
        self.command(UPDATE, &self.words(UPDATE))
    }

    /// The state after a job that replaced its directory by a file: cleanup needs the switcher to
    /// remove it.
    fn leave_a_file(&self) {
        fs::create_dir(retained(&self.sandbox)).unwrap();
        fs::rename(self.sandbox.join(&self.proxy), self.credential()).unwrap();
        fs::set_permissions(retained(&self.sandbox), fs::Permissions::from_mode(0o1700)).unwrap();
        fs::remove_dir(&self.sandbox).unwrap();
        fs::write(&self.sandbox, "").unwrap();
    }
}

/// The same command, started by a shell that changes its descriptors.
fn redirected(redirections: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("exec \"$@\" {redirections}")).arg("sh").arg(command.get_program());
    shell.args(command.get_args()).current_dir(command.get_current_dir().unwrap()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

fn bytes(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// The number of arguments that a command needs.
fn enough(arguments: &str) -> usize {
    arguments.matches('<').count()
}

/// The lines about pauses on standard error, and the last line.
fn pauses(output: &Output) -> (Vec<String>, String) {
    let mut lines: Vec<_> = messages(output).lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap_or_default();
    lines.retain(|line| is_pause(line));
    (lines, last)
}

fn is_pause(line: &str) -> bool {
    line.starts_with("Glexec exited with status ")
}

// Usage.

#[test]
fn usage_error_is_one_line_of_usage_and_status_1() {
    let fixture = Fixture::new("");
    for (name, arguments) in COMMANDS {
        let words = vec!["x"; enough(arguments) + 1];
        let usage = format!("usage: {name} {arguments}");
        let mut wrong =
            vec![&words[..0], &words[..1], &words[2..], &["--bogus"], &["--help=x"], &["-x", "x"]];
        if !arguments.ends_with("[arg…]") {
            wrong.push(&words);
        }
        for words in wrong {
            let output = fixture.call(name, words);
            failed(&output, 1, &[name, &usage]);
            assert_eq!(output.stdout, b"");
        }
    }
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn help_explains_arguments_and_exit_statuses() {
    let fixture = Fixture::new("");
    for (name, arguments) in COMMANDS {
        for option in ["--help", "-h"] {
            let output = fixture.call(name, &[option]);
            succeeded(&output);
            let help = String::from_utf8(output.stdout).unwrap();
            let words = help.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&format!("Usage: {name} {arguments}")), "{help}");
            let (_, explained) = help.split_once("\nArguments:\n").unwrap();
            let (explained, statuses) = explained.split_once("\nExit status:").unwrap();
            for argument in arguments
                .split_inclusive('>')
                .filter_map(|part| part.find('<').map(|start| &part[start..]))
            {
                assert!(explained.contains(argument), "{argument}: {help}");
            }
            assert!(statuses.contains("; 1 ") || statuses.contains("\n  1 "), "{help}");
        }
    }
}

#[test]
fn a_help_text_has_at_most_80_columns() {
    const PILOT: &str = "condor_glexec_pilot";
    const BESIDE: [&str; 6] = [
        "glexec_sessions",
        "glexec_wrapenv",
        "glexec_unwrapenv",
        "mkgltempdir",
        "glexecd",
        "glexec_accounts",
    ];
    const ACCOUNTS: [&str; 10] = [
        "list", "add", "remove", "allow", "deny", "lease", "release", "drain", "undrain", "history",
    ];
    let helpers = [SETUP, RUN, CLEANUP, KILL, UPDATE, PILOT].into_iter().chain(BESIDE);
    let helpers = helpers.map(|name| (name, None));
    let subcommands = ["run", "recover", "renew-proxy", "doctor", "wrap", "sweep"]
        .map(|word| (PILOT, Some(word)));
    let accounts = ACCOUNTS.map(|word| ("glexec_accounts", Some(word)));
    for (name, subcommand) in helpers.chain(subcommands).chain(accounts) {
        let mut command = Command::new(program(name));
        let output = command.args(subcommand).arg("--help").env_clear().output().unwrap();
        succeeded(&output);
        let help = String::from_utf8(output.stdout).unwrap();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, [""; 0], "{name} {subcommand:?}");
    }
}

#[test]
fn version_is_named_with_status_0() {
    let fixture = Fixture::new("");
    for (name, _) in COMMANDS {
        for option in ["--version", "-V"] {
            let output = fixture.call(name, &[option]);
            succeeded(&output);
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                format!("{name} {}\n", env!("CARGO_PKG_VERSION"))
            );
        }
    }
}

#[test]
fn every_program_tells_what_it_is_for_and_its_version() {
    // Also for root.
    for name in PROGRAMS {
        let printed = |option: &str| {
            let output = Command::new(program(name)).arg(option).env_clear().output().unwrap();
            succeeded(&output);
            String::from_utf8(output.stdout).unwrap()
        };
        for option in ["-h", "--help"] {
            let help = printed(option);
            let is_told =
                ["Usage: ", name, "-h, --help", "--version"].iter().all(|part| help.contains(part));
            // Each of the pilot's subcommands has separate statuses.
            assert!(
                is_told && (help.contains("\nExit status:") || name == "condor_glexec_pilot"),
                "{name}: {help}"
            );
        }
        for option in ["-V", "--version"] {
            let version = printed(option);
            assert!(
                version.starts_with(&format!("{name} {}", env!("CARGO_PKG_VERSION"))),
                "{version}"
            );
        }
    }
}

#[test]
fn help_of_the_pilot_is_also_a_command() {
    let printed = |words: &[&str]| {
        let output =
            Command::new(program("condor_glexec_pilot")).args(words).env_clear().output().unwrap();
        succeeded(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    for command in ["run", "recover", "renew-proxy", "doctor"] {
        assert_eq!(printed(&["help", command]), printed(&[command, "--help"]));
    }
    let wrong =
        Command::new(program("condor_glexec_pilot")).args(["help", "nothing"]).output().unwrap();
    failed(&wrong, 240, &["condor_glexec_pilot: no such command", "usage: condor_glexec_pilot"]);
}

#[test]
fn nothing_after_the_first_argument_is_an_option() {
    for name in CALLERS {
        let fixture = Fixture::with(RECORDS, "s", "--help");
        let output = fixture.reaching(name).output().unwrap();
        assert_eq!(
            (output.stdout.as_slice(), fixture.calls()),
            (&b""[..], 1),
            "{name}: {}",
            messages(&output)
        );
    }
    let fixture = Fixture::new("");
    let mut words = fixture.words(KILL);
    words[1] = "--help".into();
    succeeded(&fixture.call(KILL, &words));
    let fixture = Fixture::with("", "s", "--version");
    write(fixture.file("--help"), "another proxy\n", 0o600);
    let mut words = fixture.words(UPDATE);
    words[1] = "--help".into();
    succeeded(&fixture.call(UPDATE, &words));
    assert_eq!(fs::read_to_string(fixture.sandbox.join("--version")).unwrap(), "another proxy\n");
}

#[test]
fn every_command_ends_in_the_same_way_with_descriptors_0_to_2_closed() {
    let same = |status: i32, script: &str, call: &dyn Fn(&Fixture) -> Command| {
        for redirections in ["", "<&- >&- 2>&-", "<&-", ">&- 2>&-"] {
            let fixture = Fixture::new(script);
            let command = call(&fixture);
            let ended = redirected(redirections, &command)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert_eq!(ended.code(), Some(status), "{command:?} {redirections}");
        }
    };
    for (name, _) in COMMANDS {
        same(0, "", &|fixture| fixture.command(name, &["--help"]));
        same(1, "", &|fixture| fixture.command(name, &[""; 0]));
    }
    same(1, "", &|fixture| fixture.command("condor_glexec_job_wrapper", &["-"; 4]));
    for (name, permanent, used_up) in RETRYING {
        same(permanent, "echo said; exit 5", &|fixture| fixture.reaching(name));
        same(used_up, "echo said; exit 202", &|fixture| fixture.repeating(name, "1", "0"));
    }
    same(0, "echo said", &|fixture| fixture.reaching(KILL));
    same(77, "exit 77", &|fixture| fixture.reaching(RUN));
    same(0, "", &|fixture| fixture.command(CLEANUP, &fixture.words(CLEANUP)));
    same(0, "", &|fixture| fixture.update());
}

// Bad arguments.

#[test]
fn proxy_is_a_single_component() {
    let mut fixture = Fixture::new("");
    fs::create_dir(fixture.sandbox.join("sub")).unwrap();
    fs::write(fixture.sandbox.join("sub/proxy"), "x").unwrap();
    for proxy in ["", ".", "..", "sub/proxy", "/etc/hostname", "sub/", "./x509_proxy"] {
        fixture.proxy = proxy.into();
        for name in [SETUP, CLEANUP, RUN, UPDATE] {
            failed(&fixture.call(name, &fixture.words(name)), 1, &[proxy, "file name"]);
        }
    }
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn sandbox_is_an_absolute_path() {
    let mut fixture = Fixture::new("");
    for sandbox in ["", "s", "./s", "/", "/tmp/.."] {
        fixture.sandbox = sandbox.into();
        for name in [SETUP, CLEANUP, RUN, UPDATE] {
            failed(&fixture.call(name, &fixture.words(name)), 1, &[sandbox, "absolute"]);
        }
    }
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn sandbox_is_a_directory() {
    let mut fixture = Fixture::new("");
    fixture.sandbox = fixture.file("file");
    fs::write(&fixture.sandbox, "").unwrap();
    for name in [SETUP, CLEANUP] {
        failed(&fixture.call(name, &fixture.words(name)), 1, &[fixture.sandbox.to_str().unwrap()]);
    }
    failed(&fixture.update().output().unwrap(), 1, &[fixture.sandbox.to_str().unwrap()]);
    assert!(fixture.sandbox.is_file());
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn retries_and_delays_are_numbers_without_a_sign() {
    for number in ["", "-1", "+1", "1s", "1.5", " 1", "x", "99999999999999999999"] {
        for (name, ..) in RETRYING {
            let fixture = Fixture::new("");
            for (retries, delay, argument) in
                [(number, "0", "<max-retries>"), ("0", number, "<min-delay>")]
            {
                let mut words = fixture.words(name);
                words.truncate(words.len() - 2);
                words.extend([retries, delay].map(OsString::from));
                failed(&fixture.call(name, &words), 1, &[argument]);
            }
            assert_eq!(fixture.calls(), 0);
        }
    }
}

#[test]
fn kill_refuses_what_is_not_a_positive_decimal_number() {
    let fixture = Fixture::new("exit 0");
    for pid in ["0", "00", "-1", "+1", "", "1x", " 1", "0x1", "1.0", "4294967297", "--"] {
        let mut words = fixture.words(KILL);
        words[2] = pid.into();
        failed(&fixture.call(KILL, &words), 1, &["<pid>"]);
    }
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn kill_takes_a_signal_by_number_or_by_name_with_or_without_sig() {
    let fixture = Fixture::new("cat /proc/$$/cmdline >$here/cmdline");
    let call = |signal: &str| {
        let mut words = fixture.words(KILL);
        words[3] = signal.into();
        succeeded(&fixture.call(KILL, &words));
        fixture.recorded("cmdline", 0).split_off(2)
    };
    for (number, name) in
        [("9", "KILL"), ("15", "TERM"), ("19", "STOP"), ("18", "CONT"), ("10", "USR1")]
    {
        let by_number = call(number);
        assert_eq!(
            [call(name), call(&format!("SIG{name}"))],
            [by_number.clone(), by_number.clone()]
        );
        assert_eq!(by_number.last().unwrap(), number.as_bytes());
    }
}

#[test]
fn kill_refuses_options_that_do_not_go_together() {
    let fixture = Fixture::new("");
    let pid = fixture.target().to_string();
    for (options, pid, signal, why) in [
        (&["--family", "--sandbox"][..], "-", "KILL", "mutually exclusive"),
        (&["--family", "--account"], "-", "KILL", "mutually exclusive"),
        (&["--sandbox", "--account"], "-", "KILL", "mutually exclusive"),
        (&["--family"], "-", "KILL", "<pid>"),
        (&["--sandbox"], &pid, "KILL", "<pid>"),
        (&["--account"], &pid, "KILL", "<pid>"),
        (&[], "-", "KILL", "<pid>"),
        (&["--clean"], &pid, "KILL", "too few arguments"),
        (&["--clean", "--account"], "-", "TERM", "KILL"),
        (&["--grace", "1", "--family"], &pid, "TERM", "KILL"),
        (&["--grace", "1"], &pid, "KILL", "--family"),
        (&["--grace=-1", "--family"], &pid, "KILL", "SECONDS"),
        (&["--grace", "x", "--family"], &pid, "KILL", "SECONDS"),
        (&["--json"], &pid, "KILL", "--family"),
    ] {
        let mut words: Vec<OsString> = options.iter().map(OsString::from).collect();
        words.extend([fixture.switcher().into_os_string(), fixture.credential().into_os_string()]);
        words.extend([pid, signal, "0", "0"].map(OsString::from));
        failed(&fixture.call(KILL, &words), 1, &[why]);
    }
    let mut plain = fixture.command(KILL, &fixture.words(KILL)[..3]);
    plain.args(["KILL", "0", "0"]).env("GLEXEC_HELPERS_KILL", "everything");
    failed(&plain.output().unwrap(), 1, &["GLEXEC_HELPERS_KILL", "everything"]);
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn kill_refuses_what_is_no_signal() {
    let fixture = Fixture::new("exit 0");
    for signal in ["", "-9", "+9", "65", "SIG", "NOSUCH", "9x", "SIGSIGTERM", "TERM "] {
        let mut words = fixture.words(KILL);
        words[3] = signal.into();
        failed(&fixture.call(KILL, &words), 1, &["<signal>", signal]);
    }
    assert_eq!(fixture.calls(), 0);
}

// Exit statuses.

#[test]
fn setup_ends_with_1_for_what_is_no_sandbox() {
    let mut fixture = Fixture::new("");
    fixture.sandbox = fixture.file("missing");
    let path = fixture.sandbox.to_str().unwrap();
    failed(&fixture.call(SETUP, &fixture.words(SETUP)), 1, &[path, "no such directory"]);
    fs::create_dir(path).unwrap();
    failed(
        &fixture.call(SETUP, &fixture.words(SETUP)),
        1,
        &["open the proxy", path, PROXY, "ENOENT"],
    );
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn setup_and_kill_end_with_2_when_the_switcher_cannot_be_executed() {
    for name in [SETUP, KILL] {
        let fixture = Fixture::new("");
        write(fixture.file("text"), "exit 0\n", 0o755);
        for (switcher, cause) in [("none", "ENOENT"), ("text", "ENOEXEC")] {
            let mut words = fixture.words(name);
            words[0] = fixture.file(switcher).into();
            failed(&fixture.call(name, &words), 2, &["execute the switcher", switcher, cause]);
        }
    }
}

#[test]
fn kill_ends_with_0_when_the_switcher_does_and_with_2_when_there_is_no_such_process() {
    let fixture = Fixture::new("exit 0");
    let mut words = fixture.words(KILL);
    succeeded(&fixture.call(KILL, &words));
    assert_eq!(fixture.calls(), 1);
    // No process has such a large number (proc(5), pid_max).
    words[2] = "2147483647".into();
    failed(&fixture.call(KILL, &words), 2, &["process 2147483647", "no such process"]);
    assert_eq!(fixture.calls(), 1, "the switcher is not called for it");
}

#[test]
fn setup_ends_with_2_when_the_switcher_ends_well_without_having_done_its_work() {
    let fixture = Fixture::new("exit 0");
    failed(&fixture.reaching(SETUP).output().unwrap(), 2, &["switcher", "status 0"]);
}

#[test]
fn run_ends_with_the_status_of_the_switcher() {
    for status in [0, 1, 42, 126, 127, 201, 202, 203, 204, 255] {
        let fixture = Fixture::new(&format!("exit {status}"));
        let output = fixture.reaching(RUN).output().unwrap();
        assert_eq!(
            (output.status.code(), messages(&output).as_str(), fixture.calls()),
            (Some(status), "", 1)
        );
    }
}

#[test]
fn run_ends_with_1_when_the_wrapper_is_not_an_absolute_path() {
    let fixture = Fixture::new("");
    let mut words = fixture.words(RUN);
    words[3] = "bin/wrapper".into();
    failed(&fixture.call(RUN, &words), 1, &["bin/wrapper", "absolute"]);
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn run_ends_with_127_without_a_switcher_and_with_126_when_it_cannot_be_executed() {
    let fixture = Fixture::new("");
    write(fixture.file("closed"), "#!/bin/sh\n", 0o644);
    // The file is no program, and no shell is started for it.
    write(fixture.file("text"), "exit 0\n", 0o755);
    let cases = [
        ("none", 127, "ENOENT"),
        ("text/none", 127, "ENOTDIR"),
        ("closed", 126, "EACCES"),
        ("text", 126, "ENOEXEC"),
    ];
    for (name, status, cause) in cases {
        let mut words = fixture.words(RUN);
        let switcher = fixture.file(name);
        words[0] = switcher.clone().into();
        failed(
            &fixture.call(RUN, &words),
            status,
            &["execute the switcher", switcher.to_str().unwrap(), cause],
        );
    }
}

#[test]
fn a_switcher_without_a_slash_is_looked_for_in_path() {
    let fixture = Fixture::new("exit 5");
    let mut words = fixture.words(RUN);
    words[0] = "switcher".into();
    failed(&fixture.call(RUN, &words), 127, &["in PATH", "switcher", "ENOENT"]);
    let path = format!("/nonexistent:{}", fixture.directory.path().display());
    assert_eq!(fixture.command(RUN, &words).env("PATH", path).status().unwrap().code(), Some(5));
}

#[test]
fn cleanup_ends_with_0_when_there_is_nothing_to_do_and_with_1_when_it_fails() {
    let fixture = Fixture::new("exit 202");
    let words = fixture.words(CLEANUP);
    succeeded(&fixture.call(CLEANUP, &words));
    fs::remove_dir_all(&fixture.sandbox).unwrap();
    failed(
        &fixture.call(CLEANUP, &words),
        1,
        &[fixture.sandbox.to_str().unwrap(), "no such directory"],
    );
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn update_ends_with_0_when_the_proxy_is_replaced_and_with_1_when_not() {
    let fixture = Fixture::new("");
    succeeded(&fixture.update().output().unwrap());
    assert_eq!(fs::read_to_string(fixture.sandbox.join(PROXY)).unwrap(), "another proxy\n");
    failed(
        &fixture.call(UPDATE, &fixture.words(UPDATE)),
        1,
        &["open the new proxy", "new", "ENOENT"],
    );
}

// Failures are one line.

#[test]
fn what_the_switcher_says_becomes_one_line_without_control_characters() {
    for (name, status, _) in RETRYING {
        let fixture = Fixture::new(
            "printf 'first\\n\\nsecond \\033[31m\\007\\r\\n\\377'; echo third >&2; exit 5",
        );
        let output = fixture.reaching(name).output().unwrap();
        let line = failed(
            &output,
            status,
            &["first", "second", "third", fixture.switcher().to_str().unwrap()],
        );
        assert!(!line.trim_end_matches('\n').contains(char::is_control), "{line:?}");
    }
}

#[test]
fn failure_names_the_path_on_one_line_whatever_bytes_it_holds() {
    let odd = bytes(b"no\nsuch\x1b\xff");
    let line = |output: &Output, status| {
        let line = failed(output, status, &["no\\nsuch\\u{1b}\\xff"]);
        assert!(!line.trim_end_matches('\n').contains(char::is_control), "{line:?}");
    };
    let fixture = Fixture::with("", "s", odd);
    for (name, status) in [(SETUP, 2), (KILL, 2), (RUN, 127)] {
        let mut words = fixture.words(name);
        words[0] = fixture.directory.path().join(odd).into();
        line(&fixture.call(name, &words), status);
    }
    for name in [SETUP, CLEANUP] {
        let mut words = fixture.words(name);
        words[2] = fixture.directory.path().join(odd).into();
        line(&fixture.call(name, &words), 1);
    }
    fs::remove_dir_all(&fixture.sandbox).unwrap();
    fs::create_dir(&fixture.sandbox).unwrap();
    line(&fixture.reaching(SETUP).output().unwrap(), 1);
    let mut words = fixture.words(UPDATE);
    words[1] = odd.into();
    line(&fixture.call(UPDATE, &words), 1);
}

// Calling the switcher again.

#[test]
fn only_statuses_202_and_203_are_repeated() {
    for (name, permanent, _) in RETRYING {
        for end in
            ["exit 1", "exit 126", "exit 127", "exit 201", "exit 204", "exit 255", "kill -KILL $$"]
        {
            let fixture = Fixture::new(end);
            failed(&fixture.repeating(name, "3", "0").output().unwrap(), permanent, &[]);
            assert_eq!(fixture.calls(), 1, "{name}: {end}");
        }
    }
}

#[test]
fn retries_of_2_mean_three_calls_and_0_mean_one() {
    for (name, _, used_up) in RETRYING {
        for status in [202, 203] {
            for retries in [0, 2] {
                let fixture = Fixture::new(&format!("exit {status}"));
                let output = fixture.repeating(name, &retries.to_string(), "0").output().unwrap();
                let (lines, last) = pauses(&output);
                assert_eq!(
                    (output.status.code(), fixture.calls()),
                    (Some(used_up), retries + 1),
                    "{name}: {last}"
                );
                let line = format!("Glexec exited with status {status}; retrying in 0 seconds.");
                assert_eq!(lines, vec![line; retries]);
                assert!(last.contains(&format!("status {status}")), "{last}");
            }
        }
    }
}

#[test]
fn call_that_works_at_last_is_a_success() {
    let fixture = Fixture::new("[ $(wc -l <$here/calls) = 3 ] || exit 203");
    let output = fixture.repeating(KILL, "5", "0").output().unwrap();
    assert_eq!((output.status.code(), fixture.calls()), (Some(0), 3));
    let lines = messages(&output);
    let (cause, pauses) = lines.split_once('\n').unwrap();
    assert!(cause.contains("status 203: authorization error"), "{cause}");
    assert_eq!(pauses, "Glexec exited with status 203; retrying in 0 seconds.\n".repeat(2));
}

#[test]
fn the_cause_comes_before_the_first_pause_and_again_when_it_changes() {
    let pause = |status| format!("Glexec exited with status {status}; retrying in 0 seconds.");
    for (name, _, used_up) in RETRYING {
        let fixture = Fixture::new(
            "case $(wc -l <$here/calls) in
            [12]) echo 'no ticket' >&2; exit 203 ;;
            *) printf 'the server\nis down' >&2; exit 202 ;;
            esac",
        );
        let output = fixture.repeating(name, "3", "0").output().unwrap();
        assert_eq!(output.status.code(), Some(used_up));
        let all = messages(&output);
        let [first, one, two, changed, three, last] = all.lines().collect::<Vec<_>>()[..] else {
            panic!("{name}: {all}")
        };
        assert!(
            first.ends_with(
                "switcher: the switcher failed, status 203: authorization error: no ticket"
            ),
            "{all}"
        );
        assert_eq!([one, two, three], [pause(203), pause(203), pause(202)]);
        assert!(
            changed.ends_with(
                "switcher: the switcher failed, status 202: internal error: the server; is down"
            ),
            "{all}"
        );
        assert!(last.contains(changed) && last.ends_with("(calls made: 4)"), "{all}");
    }
}

/// The first lines of a command about its pauses, each with the time since the command's start. The
/// command is killed after them.
fn first_lines(mut command: Command, count: usize) -> Vec<(String, Duration)> {
    let started = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines = lines
        .map(|line| (line.unwrap(), started.elapsed()))
        .filter(|(line, _)| is_pause(line))
        .take(count)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn first_pause_is_the_shortest_delay_and_the_second_at_most_twice_as_long() {
    let fixture = Fixture::new("exit 202");
    let lines = first_lines(fixture.repeating(KILL, "9", "1"), 2);
    let line = |seconds| format!("Glexec exited with status 202; retrying in {seconds} seconds.");
    assert_eq!(lines[0].0, line(1));
    assert!([line(1), line(2)].contains(&lines[1].0), "{lines:?}");
    assert!(lines[1].1 >= Duration::from_secs(1), "it waits: {lines:?}");
}

#[test]
fn pause_is_a_multiple_of_the_shortest_delay() {
    let fixture = Fixture::new("exit 202");
    let lines = first_lines(fixture.repeating(SETUP, "9", "5000"), 1);
    assert_eq!(lines[0].0, "Glexec exited with status 202; retrying in 5000 seconds.");
}

// What the switcher gets.

#[test]
fn switcher_gets_the_absolute_path_of_the_agent_and_every_byte_of_the_arguments() {
    for name in CALLERS {
        let fixture = Fixture::with(RECORDS, bytes(b" s\n'\xff$x"), bytes(b"-p \xff\""));
        fixture.reaching(name).output().unwrap();
        let words = fixture.recorded("cmdline", 0).split_off(2);
        assert_eq!(words[0], program("condor_glexec_agent").as_os_str().as_bytes(), "{name}");
        if name != KILL {
            assert!(
                words.contains(&fixture.sandbox.as_os_str().as_bytes().to_vec()),
                "{name}: {words:?}"
            );
        }
        if name == RUN {
            let given =
                [&b"/w"[..], b"-", b"-", b"-", b"/job", b"", b"--help", b"--", b"a b", b"\xff\n"];
            assert_eq!(words[words.len() - given.len()..], given);
        }
    }
}

#[test]
fn switcher_gets_the_callers_environment_with_the_credential_and_no_target_proxy() {
    for name in CALLERS {
        let fixture = Fixture::with(RECORDS, bytes(b"s \xff"), PROXY);
        let mut command = fixture.reaching(name);
        command
            .env("A", bytes(b"two\nlines \xff"))
            .env("EMPTY", "")
            .env("GLEXEC_TARGET_PROXY", "/tmp/proxy");
        command.env("GLEXEC_CLIENT_CERT", "/tmp/other").output().unwrap();
        let credential =
            [b"GLEXEC_CLIENT_CERT=", fixture.credential().as_os_str().as_bytes()].concat();
        let mut found = fixture.recorded("environ", 0);
        found.sort();
        let rest = [&b"GLEXEC_TARGET_PROXY=/dev/null"[..], b"LC_ALL=C", b"PATH=/usr/bin:/bin"];
        assert_eq!(
            found,
            [&[&b"A=two\nlines \xff"[..], b"EMPTY=", &credential], &rest[..]].concat(),
            "{name}"
        );
    }
}

#[test]
fn switcher_gets_descriptors_0_1_and_2_only() {
    for name in CALLERS {
        let fixture = Fixture::new(RECORDS);
        let command = fixture.reaching(name);
        redirected("5>/dev/null 7</dev/null 9>/dev/null", &command).output().unwrap();
        // ls opens the directory as descriptor 3.
        assert_eq!(fixture.recorded("descriptors", b'\n'), [b"0", b"1", b"2", b"3"], "{name}");
    }
}

#[test]
fn switcher_is_called_from_the_root_directory() {
    for name in CALLERS {
        let fixture = Fixture::new(RECORDS);
        fixture.reaching(name).output().unwrap();
        assert_eq!(fs::read_to_string(fixture.file("directory")).unwrap(), "/\n", "{name}");
    }
}

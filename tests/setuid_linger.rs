//! `glexec` set-user-ID root while its payload runs, and after it: signals, what the payload
//! leaves, the epilogue, the log.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use support::families::is_alive;
use support::handover::{set_mode, text};
use support::installation::install;
use support::setuid::{LIBEXEC, Setuid, ends};
use support::{Account, executable, failed, messages, wait_until, write};

/// Starts a call whose payload prints a line when it begins; returns that line too.
fn begun(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().to_owned())
}

fn payload(setuid: &Setuid, script: &str) -> (Child, String) {
    begun(setuid.glexec().args(["/bin/sh", "-c", script]))
}

fn signal(pid: u32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// The processes of the job user whose command line contains a word.
fn processes_with(word: &str) -> Vec<u32> {
    let uid = Account::job().uid;
    let is = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        status.contains(&format!("Uid:\t{uid}\t")) && line.contains(word) && is_alive(*pid)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is).collect()
}

// The parent.

#[test]
fn the_parent_is_roots_and_has_nothing_open() {
    let setuid = Setuid::new();
    let (mut child, _) = payload(&setuid, "echo; exec sleep 60");
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    wait_until("it has let go of its working directory and descriptors", || {
        // A descriptor that is closed meanwhile is one that it has not let go of yet.
        let open = fs::read_dir(proc.join("fd")).unwrap();
        let links: std::io::Result<Vec<_>> =
            open.map(|entry| fs::read_link(entry?.path())).collect();
        links.is_ok_and(|links| links == [Path::new("/dev/null"); 3])
    });
    assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), Path::new("/"));
    let status = text(proc.join("status"));
    for ids in ["Uid:\t0\t0\t0\t0\n", "Gid:\t0\t0\t0\t0\n", "Groups:\t \n"] {
        assert!(status.contains(ids), "{status}");
    }
    signal(child.id(), Signal::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(143));
}

#[test]
fn no_other_user_than_root_can_signal_the_parent() {
    let setuid = Setuid::new();
    let (mut child, _) = payload(&setuid, "echo; exec sleep 60");
    for account in [Account::batch(), Account::job(), Account::other()] {
        for name in ["TERM", "KILL", "STOP", "INT", "USR1"] {
            let mut kill = setuid.command(account, "/bin/kill");
            let output = kill.args(["-s", name, &child.id().to_string()]).output().unwrap();
            assert!(messages(&output).contains("not permitted"), "{}", messages(&output));
        }
    }
    assert!(child.try_wait().unwrap().is_none());
    signal(child.id(), Signal::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(143));
}

#[test]
fn signals_of_root_reach_the_payload() {
    let setuid = Setuid::new();
    for (name, number) in [(Signal::SIGTERM, 15), (Signal::SIGUSR1, 10), (Signal::SIGHUP, 1)] {
        let script = format!("trap 'exit {number}' {number}; echo; while :; do sleep 0.01; done");
        let (mut child, _) = payload(&setuid, &script);
        signal(child.id(), name);
        assert_eq!(ends(&mut child).code(), Some(number));
    }
}

#[test]
fn a_signal_of_the_caller_at_any_moment_leaves_no_payload_behind() {
    let setuid = Setuid::new();
    for number in 0..40 {
        let word = format!("8{}{number}", std::process::id());
        // The shell starts a call and signals it after a while that grows.
        let script = "\"$GLEXEC\" /bin/sleep \"$0\" >/dev/null 2>&1 & pid=$!
            i=0; while [ $i -lt $1 ]; do i=$((i + 1)); done
            kill -s \"$2\" $pid; kill -CONT $pid 2>/dev/null
            echo $pid";
        let mut shell = setuid.shell(script);
        let name = ["TERM", "INT", "HUP", "STOP", "USR1", "KILL"][number % 6];
        let output = shell.args([&word, &(number * 150).to_string(), name]).output().unwrap();
        let pid: u32 = String::from_utf8(output.stdout).unwrap().trim_end().parse().unwrap();
        // Either the signal ended the call before it was root's, or it had no effect.
        wait_until("the payload runs, or its call has ended", || {
            !is_alive(pid) || processes_with(&word).len() == 1
        });
        if is_alive(pid) {
            signal(pid, Signal::SIGTERM);
        }
        wait_until("no process is left", || processes_with(&word).is_empty() && !is_alive(pid));
    }
}

#[test]
fn the_payload_does_not_outlive_a_parent_that_root_kills() {
    let setuid = Setuid::new();
    let (mut child, pid) = payload(&setuid, "echo $$; exec sleep 60");
    signal(child.id(), Signal::SIGKILL);
    ends(&mut child);
    wait_until("the payload ends", || !is_alive(pid.parse().unwrap()));
}

/// A shell of the batch user on a terminal, and what is typed there.
fn on_a_terminal(setuid: &Setuid, script: &str) -> Child {
    let mut terminal = setuid.command(Account::batch(), "script");
    terminal.args(["--quiet", "--return", "--command", script, "/dev/null"]);
    terminal.env("GLEXEC", Path::new(LIBEXEC).join("glexec")).env("SHELL", "/bin/sh");
    terminal.env("GLEXEC_CLIENT_CERT", setuid.credential());
    terminal.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn the_terminals_keys_that_end_a_program_reach_the_payload_and_those_that_stop_it_do_nothing() {
    let setuid = Setuid::new();
    let place = setuid.site.execute();
    for (number, (key, status)) in [(b"\x03", 130), (b"\x1c", 131)].into_iter().enumerate() {
        let begun = place.join(format!("begun{number}"));
        let go_on = place.join(format!("go-on{number}"));
        let script = format!(
            "exec \"$GLEXEC\" /bin/sh -c 'echo >{0}; until [ -e {1} ]; do sleep 0.01; done;
                echo >{0}.on; exec sleep 60'",
            begun.display(),
            go_on.display()
        );
        let mut terminal = on_a_terminal(&setuid, &script);
        wait_until("the payload begins", || begun.exists());
        let mut keys = terminal.stdin.take().unwrap();
        keys.write_all(b"\x1a").unwrap();
        write(&go_on, "", 0o644);
        wait_until("the payload goes on", || begun.with_extension("on").exists());
        keys.write_all(key).unwrap();
        assert_eq!(ends(&mut terminal).code(), Some(status));
    }
}

#[test]
fn a_payload_cannot_open_its_callers_terminal() {
    for lines in ["", "linger = no\n"] {
        let setuid = Setuid::with(lines);
        let place = setuid.site.execute().join("found");
        let script = format!(
            "exec \"$GLEXEC\" /bin/sh -c '
                (: </dev/tty) 2>/dev/null && echo open >{0} || echo closed >{0}'",
            place.display()
        );
        let mut terminal = on_a_terminal(&setuid, &script);
        assert_eq!(ends(&mut terminal).code(), Some(0));
        assert_eq!(text(place), "closed\n", "{lines}");
    }
}

// What the payload leaves.

#[test]
fn what_a_payload_leaves_is_ended_with_it() {
    let setuid = Setuid::new();
    let word = format!("9{}1", std::process::id());
    let leave = format!(
        "sleep {word} & setsid sleep {word} &
         (setsid sh -c 'trap \"\" TERM HUP; sleep {word} & sleep {word}' &)
         nohup sleep {word} >/dev/null 2>&1 & kill -STOP $!; sleep 0.1"
    );
    let output = setuid.runs(&leave);
    assert_eq!((output.status.code(), messages(&output)), (Some(0), String::new()));
    assert_eq!(processes_with(&word), [0; 0]);
}

#[test]
fn a_payload_that_forks_without_end_is_ended() {
    let setuid = Setuid::new();
    // The limit counts all processes of the account on the machine, also those of tests in another
    // pid namespace.
    let word = format!("9{}2", std::process::id());
    let bomb = format!(
        "f() {{ sh -c 'while :; do :; done' {word} & sh -c 'sleep 0.01' {word}; f; }}; \
         ulimit -u 2000; \
         (f) & (setsid sh -c 'while :; do sleep 0.001 & done' {word}) & sleep 0.3; exit 3"
    );
    let output = setuid.runs(&bomb);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(processes_with(&word), [0; 0]);
}

#[test]
fn what_another_call_of_the_same_account_runs_stays() {
    let setuid = Setuid::new();
    let (mut other, pid) = payload(&setuid, "sleep 70 & echo $!; wait");
    assert_eq!(setuid.runs("sleep 60 & exit 0").status.code(), Some(0));
    assert!(is_alive(pid.parse().unwrap()));
    signal(other.id(), Signal::SIGTERM);
    ends(&mut other);
    wait_until("its own end ends it", || !is_alive(pid.parse().unwrap()));
}

#[test]
fn what_the_caller_had_started_before_stays() {
    let setuid = Setuid::new();
    let word = format!("9{}3", std::process::id());
    let script = "exec >/dev/null 2>&1; sleep \"$0\" & (sleep \"$0\" &)
        exec \"$GLEXEC\" /bin/true";
    assert!(setuid.shell(script).arg(&word).status().unwrap().success());
    let left = || {
        let pgrep = Command::new("pgrep").args(["-u", "gh-batch", "-f", &word]).output().unwrap();
        String::from_utf8(pgrep.stdout).unwrap().lines().count()
    };
    // A process that executes its program shows no command line for a moment.
    wait_until("both are there", || left() == 2);
    Command::new("pkill").args(["-u", "gh-batch", "-f", &word]).status().unwrap();
}

#[test]
fn with_end_family_no_what_a_payload_leaves_goes_on() {
    let setuid = Setuid::with("end_family = no\n");
    let word = format!("9{}4", std::process::id());
    let output = setuid.runs(&format!("sleep {word} >/dev/null 2>&1 & exit 0"));
    assert_eq!(output.status.code(), Some(0));
    let mut left = Vec::new();
    // A process that executes its program shows no command line for a moment.
    wait_until("it goes on", || {
        left = processes_with(&word);
        left.len() == 1
    });
    signal(left[0], Signal::SIGKILL);
}

// The log.

#[test]
fn the_log_tells_accounting_who_ran_and_for_how_long() {
    // Also where the log has little else.
    let setuid = Setuid::with("log_level = 1\n");
    let mut call = setuid.glexec();
    call.env("GLEXEC_ID", "job 7\nglexec.mon[1#2]: Started, target uid 0\x1b[2J");
    let burn = "i=0; while [ $i -lt 1500000 ]; do i=$((i + 1)); done; : '\n'";
    let mut child = call.args(["/bin/sh", "-c", burn]).spawn().unwrap();
    let pid = child.id();
    assert!(ends(&mut child).success());
    let lines = setuid.logged();
    assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
    let monitor = format!("<29>glexec.mon[{pid}#");
    let [started, ended] = &lines[..] else { panic!("{lines:?}") };
    for line in [started, ended] {
        assert!(line.starts_with(&monitor), "{line}");
    }
    let id = &started[monitor.len()..];
    let target = Account::job().uid;
    let payload = id.strip_suffix(&format!("]: Started, target uid {target}")).expect(id);
    let rest = ended[monitor.len()..].strip_prefix(payload).unwrap();
    let words: Vec<&str> = rest.split(' ').collect();
    let [":", ..] = [&rest[1..2]] else { panic!("{rest}") };
    assert_eq!(words[1..4], ["Terminated,", "CPU", "user"], "{rest}");
    assert!(words[4].parse::<u64>().unwrap() >= 1, "{rest}");
    assert_eq!(words[5], "system");
    words[6].parse::<u64>().unwrap();
}

#[test]
fn a_call_is_logged_with_the_caller_the_account_and_the_command() {
    let setuid = Setuid::new();
    setuid.glexec().env("GLEXEC_ID", "job 7").args(["/bin/echo", "a b"]).output().unwrap();
    let (caller, target) = (Account::batch().uid, Account::job().uid);
    let line =
        format!("runs as gh-job (uid {target}); caller uid {caller}, id \"job 7\": /bin/echo a b");
    let lines = setuid.logged();
    assert!(lines.iter().any(|found| found.ends_with(&line)), "{lines:?}");
}

#[test]
fn a_refusal_is_logged_with_the_caller_its_id_and_the_command_on_one_line() {
    let setuid = Setuid::with("log_level = 4\n");
    setuid.write("/etc/glexec.caller-map", "gh-batch /elsewhere gh-job\n");
    let mut call = setuid.glexec();
    call.env("GLEXEC_ID", "a\nb").args(["/bin/echo", "x\ny", "\x1b[2J"]);
    let output = call.output().unwrap();
    failed(&output, 203, &[]);
    let lines = setuid.logged();
    let line = lines.iter().find(|line| line.contains("status 203")).expect("a line");
    let caller = Account::batch().uid;
    for part in
        [&format!("caller uid {caller}, id \"a\\nb\": "), "/bin/echo x\\ny \\u{1b}[2J", "<27>"]
    {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_log_file_is_roots_alone_and_can_be_rotated_while_a_payload_runs() {
    let lines = "log_destination = file\nlog_file = /mnt/libexec/log\n";
    let setuid = Setuid::with(lines);
    let (mut child, _) = payload(&setuid, "echo; exec sleep 60");
    let log = setuid.path("/mnt/libexec/log");
    wait_until("the first lines", || log.exists() && text(&log).contains(" Started, target uid "));
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode_bits(), 0o600);
    fs::rename(&log, log.with_extension("1")).unwrap();
    signal(child.id(), Signal::SIGTERM);
    ends(&mut child);
    assert!(text(log.with_extension("1")).contains("]: Started, target uid "));
    let second = text(&log);
    assert!(second.contains("]: Terminated, CPU user "), "{second}");
    // As syslog writes it: month, day, time, host.
    let words: Vec<&str> = second.split_ascii_whitespace().collect();
    assert_eq!((words[0].len(), words[2].len()), (3, 8), "{second}");
    assert!(words[4].starts_with("glexec.mon["), "{second}");
    assert!(setuid.logged().is_empty());
}

trait ModeBits {
    fn mode_bits(&self) -> u32;
}

impl ModeBits for fs::Permissions {
    fn mode_bits(&self) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(self) & 0o7777
    }
}

// The epilogue.

const EPILOGUE: &str = "/mnt/libexec/epilogue";

/// A site whose epilogue writes a line to /mnt/libexec/ran and then does this.
fn with_epilogue(lines: &str, script: &str) -> Setuid {
    let setuid = Setuid::with(&format!("epilogue = {EPILOGUE}\n{lines}"));
    let text = format!("#!/bin/sh\necho >>/mnt/libexec/ran\n{script}\n");
    executable(&setuid.path(EPILOGUE), text.as_bytes());
    setuid
}

/// How many times the epilogue ran.
fn runs(setuid: &Setuid) -> usize {
    fs::read_to_string(setuid.path("/mnt/libexec/ran")).unwrap_or_default().lines().count()
}

#[test]
fn the_epilogue_runs_after_every_payload_and_knows_it() {
    let setuid = with_epilogue("", "env >/mnt/libexec/env; id >>/mnt/libexec/env");
    let mut call = setuid.glexec();
    call.env("GLEXEC_EPILOG_ARGV0", "x").env("GLEXEC_EPILOG_OTHER", "x").env("GLEXEC_ID", "7");
    let (mut child, payload) = begun(call.args(["/bin/sh", "-c", "echo $$; kill -9 $$"]));
    let pid = child.id();
    assert_eq!(ends(&mut child).code(), Some(137));
    let found = text(setuid.path("/mnt/libexec/env"));
    let (batch, job) = (Account::batch(), Account::job());
    for line in [
        "GLEXEC_EPILOG_ARGV0=/bin/sh".to_owned(),
        "GLEXEC_EPILOG_ARGV1=-c".to_owned(),
        "GLEXEC_EPILOG_GLEXEC_USER=gh-batch".to_owned(),
        "GLEXEC_EPILOG_GLEXEC_GROUP=gh-batch".to_owned(),
        format!("GLEXEC_EPILOG_GLEXEC_UID={}", batch.uid),
        format!("GLEXEC_EPILOG_GLEXEC_GID={}", batch.gid),
        "GLEXEC_EPILOG_TARGET_USER=gh-job".to_owned(),
        format!("GLEXEC_EPILOG_TARGET_UID={}", job.uid),
        format!("GLEXEC_EPILOG_GLEXEC_PID={pid}"),
        format!("GLEXEC_EPILOG_TARGET_PID={payload}"),
        format!("GLEXEC_EPILOG_TARGET_PGID={payload}"),
        "GLEXEC_EPILOG_TARGET_RC=137".to_owned(),
        "GLEXEC_ID=7".to_owned(),
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "uid=0(root) gid=0(root) groups=0(root)".to_owned(),
    ] {
        assert!(found.lines().any(|found| found == line), "{line} is not in {found}");
    }
    assert!(!found.contains("GLEXEC_EPILOG_OTHER"), "{found}");
    assert_eq!(runs(&setuid), 1);
}

#[test]
fn the_epilogue_runs_when_nothing_of_the_payload_is_left_and_before_glexec_ends() {
    let word = format!("9{}5", std::process::id());
    let look =
        format!("pgrep -u gh-job -f {word} >/mnt/libexec/left; sleep 0.2; echo >/mnt/libexec/done");
    let setuid = with_epilogue("", &look);
    let script = format!("sleep {word} >/dev/null 2>&1 & exit 5");
    assert_eq!(setuid.runs(&script).status.code(), Some(5));
    assert_eq!(text(setuid.path("/mnt/libexec/left")), "");
    assert!(setuid.path("/mnt/libexec/done").exists());
}

#[test]
fn a_failing_epilogue_is_202_and_one_with_a_status_of_glexecs_204() {
    for (script, status) in [
        ("exit 0", 7),
        ("exit 1", 202),
        ("exit 201", 204),
        ("exit 204", 204),
        ("kill -9 $$", 202),
        ("sleep 600 & wait", 202),
    ] {
        let hangs = script.starts_with("sleep");
        let setuid = with_epilogue(if hangs { "epilogue_timeout = 1\n" } else { "" }, script);
        assert_eq!(setuid.runs("exit 7").status.code(), Some(status), "{script}");
        assert_eq!(runs(&setuid), 1);
        let told = setuid.logged().iter().any(|line| line.contains("epilogue"));
        assert_eq!(told, status != 7, "{script}");
    }
}

#[test]
fn without_a_payload_there_is_no_epilogue() {
    let setuid = with_epilogue("", "");
    for word in ["/nonexistent", "/etc/passwd", ""] {
        assert_ne!(setuid.glexec().arg(word).output().unwrap().status.code(), Some(0));
    }
    assert_eq!(runs(&setuid), 0);
    assert_eq!(setuid.runs("exit 0").status.code(), Some(0));
    assert_eq!(runs(&setuid), 1);
}

#[test]
fn an_epilogue_that_others_can_change_keeps_the_payload_from_running() {
    let setuid = with_epilogue("", "");
    let path = setuid.path(EPILOGUE);
    let refused = |why: &str| {
        let output = setuid.glexec().arg("/usr/bin/id").output().unwrap();
        failed(&output, 202, &["epilogue", why]);
        assert!(output.stdout.is_empty());
    };
    set_mode(&path, 0o777);
    refused("not trusted");
    set_mode(&path, 0o755);
    set_mode(setuid.path(LIBEXEC), 0o777);
    refused("not trusted");
    set_mode(setuid.path(LIBEXEC), 0o755);
    fs::remove_file(&path).unwrap();
    refused("No such file");
    assert_eq!(runs(&setuid), 0);
}

#[test]
fn an_epilogue_needs_linger_and_its_user_needs_glexecs_own_change_of_user() {
    for (lines, why) in [
        ("linger = no\n", "linger = yes"),
        ("epilogue_user = gh-other\nuser_identity_switch_by = lcmaps\n", "epilogue_user"),
        ("epilogue_group = gh-other\nuser_identity_switch_by = lcmaps\n", "epilogue_group"),
    ] {
        let setuid = with_epilogue(lines, "");
        let output = setuid.glexec().arg("/usr/bin/id").output().unwrap();
        failed(&output, 202, &[why]);
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_epilogue_can_run_as_another_user_and_group() {
    let setuid =
        with_epilogue("epilogue_user = gh-other\nepilogue_group = gh-other\n", "id >/tmp/as-$PPID");
    let ran = setuid.path("/mnt/libexec/ran");
    write(&ran, "", 0o666);
    let output = "exec >/mnt/libexec/ran; id";
    executable(&setuid.path(EPILOGUE), format!("#!/bin/sh\n{output}\n").as_bytes());
    assert_eq!(setuid.runs("exit 0").status.code(), Some(0));
    let Account { uid, gid } = Account::other();
    let expected = format!("uid={uid}(gh-other) gid={gid}(gh-other) groups={gid}(gh-other)\n");
    assert_eq!(text(&ran), expected);
}

#[test]
fn the_helpers_operations_have_no_epilogue_and_entering_a_sandbox_has() {
    let setuid = with_epilogue("", "");
    let agent = Path::new(LIBEXEC).join("condor_glexec_agent");
    let caller = Account::batch().uid.to_string();
    let operation = ["signal", &caller, &std::process::id().to_string(), "0"];
    let call =
        |program: &Path, words: &[&str]| setuid.glexec().arg(program).args(words).output().unwrap();
    let output = call(&agent, &operation);
    assert!(messages(&output).contains("it is not the job user's"), "{}", messages(&output));
    assert_eq!(runs(&setuid), 0);
    // Another name of the same file counts as it; a copy does not.
    let link = setuid.site.execute().join("link");
    std::os::unix::fs::symlink(&agent, &link).unwrap();
    call(&link, &operation);
    assert_eq!(runs(&setuid), 0);
    let copy = setuid.site.execute().join("condor_glexec_agent");
    install(setuid.path(agent.to_str().unwrap()), &copy);
    call(&copy, &operation);
    assert_eq!(runs(&setuid), 1);
    call(&agent, &["enter", "/nonexistent", "mark", "/nonexistent"]);
    assert_eq!(runs(&setuid), 2);
    call(&agent, &["signal"]);
    assert_eq!(runs(&setuid), 3);
    // An agent that others can change is a payload.
    set_mode(setuid.path(agent.to_str().unwrap()), 0o777);
    call(&agent, &operation);
    assert_eq!(runs(&setuid), 4);
}

//! `condor_glexec_pilot run`: a payload from its input to its output, with real accounts and a real
//! switcher.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::families::{agents, is_alive, state};
use support::handover::{ODD, fill, mode, set_mode, text};
use support::pilot::{
    CREDENTIAL, KILL_AGENT, PAYLOAD_PROXY, Pilot, family, line, signal, stdout_of,
};
use support::snapshot::snapshot;
use support::{Account, failed, messages, own, retained, succeeded, wait_until, write};

/// Runs a shell script as a payload.
fn shell(pilot: &Pilot, options: &[&str], script: &str) -> Output {
    pilot.run().args(options).args(["--", "sh", "-c", script]).output().unwrap()
}

// A payload from its input to its output.

#[test]
fn a_payload_runs_as_another_user_in_a_copy_of_its_input_and_its_files_come_back() {
    let pilot = Pilot::new();
    let input = pilot.input(|top| {
        fill(top);
        for name in ODD {
            write(top.join(OsStr::from_bytes(name)), "odd", 0o640);
        }
    });
    let before = snapshot(&input);
    let mut call = pilot.run();
    call.arg("--input").arg(&input).arg("--output").arg(pilot.output());
    let output =
        call.args(["--", "sh", "-c", "id -u; cat input; echo new >made; exit 7"]).output().unwrap();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(7), ""));
    let (user, rest) = stdout_of(&output)
        .split_once('\n')
        .map(|(user, rest)| (user.to_owned(), rest.to_owned()))
        .unwrap();
    assert_ne!(user.parse::<u32>().unwrap(), Account::batch().uid);
    assert_ne!(user, "0");
    assert_eq!(rest, "the input");
    let mut after = snapshot(&pilot.output());
    assert_eq!(text(pilot.output().join("made")), "new\n");
    after.remove(std::path::Path::new("made"));
    let without_top = |mut all: support::snapshot::Snapshot| {
        all.remove(std::path::Path::new(""));
        all
    };
    assert_eq!(without_top(after), without_top(snapshot(&input)));
    assert_eq!(snapshot(&input), before, "the input stays as it was");
    assert_eq!(fs::metadata(pilot.output()).unwrap().uid(), Account::batch().uid);
    pilot.is_empty("after it");
}

#[test]
fn without_an_output_nothing_is_left() {
    let pilot = Pilot::new();
    succeeded(&shell(&pilot, &[], "echo x >file; mkdir -m 0 closed"));
    pilot.is_empty("after it");
}

#[test]
fn a_kept_sandbox_is_the_callers_and_is_named() {
    let pilot = Pilot::new();
    let report = pilot.site.scratch().join("report");
    let options = ["--keep-sandbox", "--name", "kept", "--report", &report.display().to_string()];
    let output = shell(&pilot, &options, "echo x >file");
    let printed: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(printed["notices"][0], messages(&output).trim_end());
    failed(&output, 0, &["the sandbox is", &pilot.sandbox("kept").display().to_string()]);
    assert_eq!(pilot.site.entries(), [OsStr::new("kept")]);
    let found = fs::metadata(pilot.sandbox("kept").join("file")).unwrap();
    assert_eq!(found.uid(), Account::batch().uid);
    assert!(!pilot.sandbox("kept").join(CREDENTIAL).exists());
}

#[test]
fn the_files_come_to_an_empty_directory_and_to_another_file_system() {
    let pilot = Pilot::new();
    let run = |to: &std::path::Path| {
        let mut call = pilot.run();
        call.arg("--output").arg(to).args(["--", "sh", "-c", "echo x >file; ln -s file link"]);
        succeeded(&call.output().unwrap());
        assert_eq!(text(to.join("link")), "x\n");
        assert!(!to.join(CREDENTIAL).exists());
    };
    fs::create_dir(pilot.output()).unwrap();
    Account::batch().owns(pilot.output());
    set_mode(pilot.output(), 0o755);
    run(&pilot.output());
    // The payload can have opened a file in it to all users.
    assert_eq!(mode(&pilot.output()), 0o700, "it is closed to other users");
    let elsewhere = tempfile::Builder::new().prefix("gh-test-").tempdir_in("/dev/shm").unwrap();
    Account::batch().owns(elsewhere.path());
    let other = |path: &std::path::Path| fs::metadata(path).unwrap().dev();
    assert_ne!(
        other(elsewhere.path()),
        other(&pilot.site.execute()),
        "/dev/shm is a separate file system"
    );
    run(&elsewhere.path().join("output"));
    pilot.is_empty("after it");
}

#[test]
fn an_invalid_order_is_reported_before_anything_is_done() {
    let pilot = Pilot::new();
    let full = pilot.site.scratch().join("full");
    fs::create_dir(&full).unwrap();
    write(full.join("x"), "", 0o644);
    own(&full, Account::batch());
    write(pilot.site.scratch().join("variables"), "A=1\nno name\n", 0o644);
    write(pilot.site.scratch().join("for-shells"), "A=1\nexport B=2\n", 0o644);
    write(pilot.site.scratch().join("from-elsewhere"), "A=1\r\nB=2\r\n", 0o644);
    for (clash, name) in [("clash", CREDENTIAL), ("clashing", PAYLOAD_PROXY)] {
        fs::create_dir(pilot.site.scratch().join(clash)).unwrap();
        write(pilot.site.scratch().join(clash).join(name), "", 0o644);
        own(&pilot.site.scratch().join(clash), Account::batch());
    }
    let path = |name: &str| pilot.site.scratch().join(name).display().to_string();
    let fifo = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&pilot.site.scratch().join("fifo"), fifo).unwrap();
    Account::batch().owns(pilot.site.scratch().join("fifo"));
    std::os::unix::fs::symlink("nowhere", pilot.site.scratch().join("dangling")).unwrap();
    let execute = pilot.site.execute().display().to_string();
    let wrong: [(&[&str], &str, &[&str]); 28] = [
        (&["--output", &path("full")], "true", &["the output directory is not empty", "full"]),
        (&["--input", &path("none")], "true", &["cannot open the input", "none"]),
        (&["--input", &path("clash")], "true", &[CREDENTIAL]),
        (&["--input", &path("clashing")], "true", &[PAYLOAD_PROXY]),
        (&["--proxy", &path("none")], "true", &["cannot open the credential", "none"]),
        (&["--credential", &path("none")], "true", &["cannot open the credential", "none"]),
        (&["--execute", &path("none")], "true", &["cannot open the directory", "none"]),
        (&["--env-file", &path("variables")], "true", &["variables, line 2"]),
        (&["--env", "=x"], "true", &["--env: the name of the variable is empty"]),
        (&["--env", "?"], "true", &["--env: the name of the variable is empty"]),
        (
            &["--env", "MISSING"],
            "true",
            &["--env MISSING: the caller has no such variable", "'MISSING?'"],
        ),
        (&["--env", "A B=x"], "true", &["'A B' is not the name of a variable"]),
        (
            &["--env-file", &path("for-shells")],
            "true",
            &["for-shells, line 2", "'export B' is not the name"],
        ),
        (
            &["--env-file", &path("from-elsewhere")],
            "true",
            &["from-elsewhere, line 1", "carriage return"],
        ),
        (
            &["--timeout", "1x"],
            "true",
            &["--timeout must be a number of seconds", "'1x'", "s, m, h or d"],
        ),
        (&["--grace", "1.5"], "true", &["--grace must be a number", "'1.5'"]),
        (
            &[],
            "./none",
            &["./none: a command's relative path starts in the sandbox", "there is no --input"],
        ),
        (&["--input", &path("")], "./none", &["./none: ", "the input has no such file"]),
        (&["--name", "a/b"], "true", &["--name", "a/b"]),
        (&["--name", "a.gh.0123abcd"], "true", &["--name", "a.gh.0123abcd"]),
        (&["--name", "a.condor"], "true", &["--name", "a.condor"]),
        (&["--proxy", &path("fifo")], "true", &["fifo", "not a regular file"]),
        (&["--input", &execute], "true", &[&execute, "it contains the directory of the sandboxes"]),
        (
            &["--output", &format!("{execute}/s"), "--name", "s"],
            "true",
            &["cannot be the sandbox itself"],
        ),
        (&["--output", &path("dangling")], "true", &["dangling", "no directory"]),
        (
            &["--glexec", "/nonexistent/glexec"],
            "true",
            &["/nonexistent/glexec", "it does not exist, or you may not execute it"],
        ),
        (&["--output", "/usr/x"], "true", &["/usr: you may not create"]),
        (&[], "no-such-command", &["no-such-command"]),
    ];
    for (options, command, words) in wrong {
        failed(&pilot.run().args(options).arg("--").arg(command).output().unwrap(), 240, words);
        pilot.is_empty("after a wrong order");
    }
    failed(
        &pilot.call("run").output().unwrap(),
        240,
        &["usage: condor_glexec_pilot run [options]"],
    );
    failed(&pilot.call("walk").output().unwrap(), 240, &["usage:"]);
    failed(&pilot.run().args(["--bogus", "true"]).output().unwrap(), 240, &["--bogus", "usage:"]);
    let taken = pilot.sandbox("taken");
    fs::create_dir(&taken).unwrap();
    failed(
        &pilot.run_named("taken").args(["--", "true"]).output().unwrap(),
        240,
        &["a sandbox of this name exists already"],
    );
    assert!(taken.exists());
}

#[test]
fn unreadable_input_is_an_error_and_the_input_is_unchanged() {
    let pilot = Pilot::new();
    let input = pilot.input(|top| {
        fs::create_dir_all(top.join("d/below")).unwrap();
        write(top.join("d/file"), "x", 0o400);
        write(top.join("d/below/file"), "x", 0o444);
    });
    let call = || pilot.run().arg("--input").arg(&input).args(["--", "true"]).output().unwrap();
    for (name, closed) in [
        ("d/file", 0),
        ("d/file", 0o200),
        ("d/below", 0),
        ("d/below", 0o300),
        ("d/below", 0o600),
        ("d", 0),
    ] {
        let path = input.join(name);
        let before = mode(&path);
        set_mode(&path, closed);
        let whole = snapshot(&input);
        let shown = path.display().to_string();
        failed(&call(), 240, &["nothing was done", &shown, "you may not read it"]);
        assert_eq!(snapshot(&input), whole, "{name} of mode {closed:o}");
        set_mode(&path, before);
        pilot.is_empty("after it");
    }
    let whole = snapshot(&input);
    succeeded(&call());
    assert_eq!(snapshot(&input), whole);
}

#[test]
fn what_is_dropped_is_reported_in_one_line_for_the_input_and_one_for_the_output() {
    let pilot = Pilot::new();
    let report = pilot.site.scratch().join("report");
    let input = pilot.input(|top| {
        fs::create_dir(top.join("d")).unwrap();
        let fifo = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&top.join("d/fifo"), fifo).unwrap();
        nix::unistd::mkfifo(&top.join("fifo"), fifo).unwrap();
        write(top.join("listed"), "", 0o640);
        support::handover::run(
            "setfacl",
            &["-m".as_ref(), "u:gh-other:r".as_ref(), top.join("listed").as_os_str()],
        );
        for (name, target) in [
            ("d/out", "../../x"),
            ("to-nothing", "/nonexistent"),
            ("program", "/bin/sh"),
            ("in", "d"),
        ] {
            std::os::unix::fs::symlink(target, top.join(name)).unwrap();
        }
    });
    // chown(2) would clear the bit.
    write(input.join("door"), "", 0o644);
    Account::batch().owns(input.join("door"));
    set_mode(input.join("door"), 0o4755);
    let mut call = pilot.run();
    call.arg("--input")
        .arg(&input)
        .arg("--output")
        .arg(pilot.output())
        .arg("--report")
        .arg(&report);
    let script = "rm -r ./*; mkfifo a b c; mkdir -m 1755 d; ln -s /nonexistent/x l; ln -s ../../y \
        m; echo x >file";
    let output = call.args(["--", "sh", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = messages(&output);
    let [input_line, output_line] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("two lines: {said}")
    };
    assert_eq!(
        input_line,
        "condor_glexec_pilot: of the input there is not in the sandbox, or not as it was: 2 \
         FIFOs, sockets or devices, \
         1 set-user-ID, set-group-ID or sticky bit, 1 access list or system attribute, \
         2 links that lead out of it to nothing"
    );
    assert_eq!(
        output_line,
        "condor_glexec_pilot: of the payload's files has not come back, or not as it was: 3 \
         FIFOs, sockets or devices, \
         1 set-user-ID, set-group-ID or sticky bit, 2 links that lead out of the sandbox"
    );
    let printed: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(printed["notices"], serde_json::json!([input_line, output_line]));
    let step = |name: &str| {
        let steps = printed["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["step"] == name).unwrap();
        step["dropped"].clone()
    };
    assert_eq!((&step("input")["special_files"], &step("input")["links"]), (&2.into(), &2.into()));
    assert_eq!(
        (&step("cleanup")["special_files"], &step("cleanup")["links"]),
        (&3.into(), &2.into())
    );
}

#[test]
fn a_payload_that_removes_its_directory_ends_with_243_and_nothing_is_left() {
    let pilot = Pilot::new();
    let output = shell(&pilot, &[], "rm -rf \"$PWD\"; exit 4");
    failed(&output, 243, &["ended with status 4", "the job removed its directory"]);
    pilot.is_empty("after it");
}

// What the payload gets.

#[test]
fn the_standard_streams_are_the_payloads_own() {
    let pilot = Pilot::new();
    let mut call = pilot.run();
    call.args(["--", "sh", "-c", "cat; echo error >&2; ls -l /proc/self/fd | grep -c 'pipe:'"]);
    let mut child =
        call.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((messages(&output).as_str(), output.status.code()), ("error\n", Some(0)));
    // The standard output of ls is another pipe: that to grep.
    assert_eq!(stdout_of(&output), "input\n3\n");
}

#[test]
fn a_payload_cannot_destroy_or_forge_what_the_caller_keeps_in_a_file() {
    let pilot = Pilot::new();
    let [log, list, report] = ["log", "list", "report"].map(|name| pilot.site.scratch().join(name));
    write(&log, "before\n", 0o600);
    write(&list, "first\nsecond\nthird\n", 0o600);
    own(&pilot.site.scratch(), Account::batch());
    let call = pilot.run();
    let words = "print sysseek(STDOUT, 0, 0) ? q(moved ) : q(fixed ); \
        print truncate($_, 0) ? q(cut ) : q(whole ) for (*STDIN, *STDOUT, *STDERR); print chr(10)";
    let payload = format!(
        "read -r line; echo \"input: $line\"; echo to errors >&2; perl -e '{words}'; echo \
         '{{\"status\": 0}}' >&2; exit 3"
    );
    // Standard input is open for writing too, and its position is after the first line.
    let shell = format!(
        "exec <>{list} >>{log} 2>&1; read -r line; {call} --report {report} --json -- sh -c \
         {payload}",
        list = list.display(),
        log = log.display(),
        report = report.display(),
        call = line(&call),
        payload = quoted(&payload)
    );
    let mut command = Account::batch().command("sh");
    command.args(["-c", &shell]).env_clear().envs(support::variables_of(&call));
    assert_eq!(command.status().unwrap().code(), Some(3));
    let said = text(&log);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..5],
        ["before", "input: second", "to errors", "fixed whole whole whole ", "{\"status\": 0}"],
        "{said}"
    );
    assert_eq!(text(&list), "first\nsecond\nthird\n");
    let reported: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!((&reported["status"], lines.len()), (&3.into(), 6));
    assert_eq!(
        reported,
        serde_json::from_str::<Value>(lines[5]).unwrap(),
        "both reports are equal"
    );
}

#[test]
fn a_payload_whose_output_cannot_be_written_gets_a_broken_pipe_and_the_caller_a_message() {
    let pilot = Pilot::new();
    let (log, report) = (pilot.site.scratch().join("log"), pilot.site.scratch().join("report"));
    let call = pilot.run();
    let shell = format!(
        "ulimit -f 1024; {} --report {} -- head -c 3000000 /dev/zero >{}",
        line(&call),
        report.display(),
        log.display()
    );
    let mut command = Account::batch().command("bash");
    let output = command
        .args(["-c", &shell])
        .env_clear()
        .envs(support::variables_of(&call))
        .output()
        .unwrap();
    let line = failed(
        &output,
        141,
        &["cannot write all of the payload's output to standard output", "EFBIG"],
    );
    assert_eq!(fs::metadata(&log).unwrap().len(), 1 << 20);
    let report: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(report["notices"][0], line.trim_end());
}

#[test]
fn a_process_that_outlives_the_payload_with_its_output_open_does_not_delay_the_end() {
    let pilot = Pilot::new();
    let log = pilot.site.scratch().join("log");
    let begun = pilot.site.scratch().join("begun");
    // root, which the pilot cannot kill, opens the payload's pipe once more. The payload waits for
    // that.
    let opened = begun.display();
    let script =
        format!("echo first; touch ready; until [ -e {opened} ]; do sleep 0.02; done; echo last");
    let mut call = pilot.run_named("s");
    call.args(["--", "sh", "-c", &script]).stdout(fs::File::create(&log).unwrap());
    let mut child = call.spawn().unwrap();
    wait_until("it is ready", || pilot.sandbox("s").join("ready").exists());
    let payload = family(&pilot.sandbox("s"));
    let held = fs::File::options().write(true).open(format!("/proc/{}/fd/1", payload[0])).unwrap();
    write(&begun, "", 0o644);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(text(&log), "first\nlast\n");
    drop(held);
}

/// A payload on a terminal, which script(1) makes.
fn on_terminal(pilot: &Pilot, script: &str) -> Command {
    let call = pilot.run();
    let mut command = Account::batch().command("script");
    command.args(["-qec", &format!("exec {} -- sh -c '{script}'", line(&call)), "/dev/null"]);
    command
        .env_clear()
        .envs(support::variables_of(&call))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

#[test]
fn a_terminal_keeps_working() {
    let pilot = Pilot::new();
    let script = "test -t 0 && test -t 1 && stty -echo && read line && echo \"got: $line\"";
    let mut child = on_terminal(&pilot, script).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"good day\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stdout_of(&output).contains("got: good day"), "{}", stdout_of(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_payload_cannot_type_into_the_callers_terminal() {
    let pilot = Pilot::new();
    // TIOCSTI, ioctl_tty(2).
    let script = r#"cut -d" " -f7 /proc/$$/stat
        perl -e "my \$c = q(x); print ioctl(STDIN, 0x5412, \$c) ? q(typed) : q(refused)"
        echo " it""#;
    let output = on_terminal(&pilot, script).output().unwrap();
    // Some kernels refuse it to all users. On all kernels the session has no controlling terminal
    // (field 7 of proc_pid_stat(5)).
    assert!(
        stdout_of(&output).contains("refused it") && stdout_of(&output).starts_with("0\r\n"),
        "{}",
        stdout_of(&output)
    );
}

#[test]
fn a_payload_in_the_background_does_not_read_what_is_typed_for_others() {
    let pilot = Pilot::new();
    let call = pilot.run();
    // With job control, it gets a separate process group; the shell stays in the foreground.
    let payload = "read -r line; echo \"payload: $line.\"";
    let shell = format!(
        "set -m; {} -- sh -c '{payload}' & wait; read -r line; echo \"shell: $line.\"",
        line(&call)
    );
    let mut command = Account::batch().command("script");
    command.args(["-qec", &format!("bash -c {}", quoted(&shell)), "/dev/null"]);
    command
        .env_clear()
        .envs(support::variables_of(&call))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"a secret\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stdout_of(&output).contains("payload: ."), "{}", stdout_of(&output));
    assert!(stdout_of(&output).contains("shell: a secret."), "{}", stdout_of(&output));
}

/// A text quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn what_a_payload_on_a_terminal_leaves_running_is_ended_too() {
    let pilot = Pilot::new();
    let output = on_terminal(&pilot, "env -i sleep 67 & sleep 0.2; exit 0").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stdout_of(&output));
    let is_it = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words == b"sleep\x0067\0")
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let left =
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(is_it);
    assert_eq!(left.count(), 0);
}

#[test]
fn an_interrupt_from_the_terminal_reaches_the_payload_and_the_pilot_continues() {
    let pilot = Pilot::new();
    // It must not get a second signal from the pilot.
    let script = "trap \"echo interrupted; got=1\" INT; echo ready; \
        until [ \"$got\" ]; do sleep 0.05; done; \
        n=0; while [ $n -lt 20 ]; do sleep 0.05; n=$((n+1)); done; exit 5";
    let mut child = on_terminal(&pilot, script).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("ready")));
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let heard = lines.filter(|line| line.contains("interrupted")).count();
    assert_eq!((heard, child.wait().unwrap().code()), (1, Some(5)));
}

#[test]
fn variables_come_from_options_and_files_the_later_ones_win_and_no_others_of_the_callers() {
    let pilot = Pilot::new();
    let file = pilot.site.scratch().join("variables");
    write(&file, "# a comment\n\nA=from file\nB=it's \"quoted\" $x\nC=\n", 0o644);
    let mut call = pilot.run();
    call.env("GIVEN", "given").env("SECRET", "secret").arg("--env-file").arg(&file);
    call.args([
        "--env",
        "A=from option",
        "--env",
        "GIVEN",
        "--env",
        "MISSING?",
        "--env",
        "GIVEN?",
        "--env",
        "D=two\nlines",
    ]);
    let output = call.args([
        "--",
        "sh",
        "-c",
        "printf '%s|' \"$A\" \"$B\" \"$C\" \"$D\" \"$GIVEN\" \"${MISSING-none}\" \
         \"${SECRET-none}\"",
    ]);
    let output = output.output().unwrap();
    succeeded(&output);
    assert_eq!(stdout_of(&output), "from option|it's \"quoted\" $x||two\nlines|given|none|none|");
}

#[test]
fn the_payload_gets_nothing_of_the_switchers_credential_and_no_variable_that_names_one() {
    let pilot = Pilot::new();
    let (of_caller, named) = (
        pilot.credential("a secret of the caller"),
        pilot.credential_named("named", "a secret, named"),
    );
    let calls = pilot.site.scratch().join("calls");
    let switcher = pilot.switcher_that(&format!(
        "echo \"$2: $(cat \"$GLEXEC_CLIENT_CERT\")\" >>{calls}; [ $2 != enter ] || echo \
         \"${{X509_USER_PROXY-none}}\" >>{calls}",
        calls = calls.display()
    ));
    for (option, secret) in [(None, "a secret of the caller"), (Some(&named), "a secret, named")] {
        let mut call = pilot.run_through_any();
        call.arg("--glexec")
            .arg(&switcher)
            .arg("--execute")
            .arg(pilot.site.execute())
            .arg("--output")
            .arg(pilot.output());
        call.env("X509_USER_PROXY", &of_caller);
        if let Some(path) = option {
            call.arg("--credential").arg(path);
        }
        let script =
            "echo ${X509_USER_PROXY-none}; cat \"$PWD.condor/\"* 2>/dev/null; ls -A; touch mine";
        let output = call.args(["--", "sh", "-c", script]).output().unwrap();
        assert_eq!((stdout_of(&output).as_str(), messages(&output).as_str()), ("none\n", ""));
        let seen = text(&calls);
        for operation in ["serve", "enter"] {
            assert!(seen.contains(&format!("{operation}: {secret}\n")), "{seen}");
        }
        assert!(seen.contains("\nnone\n"), "{seen}");
        assert_eq!(fs::read_dir(pilot.output()).unwrap().count(), 1);
        fs::remove_dir_all(pilot.output()).unwrap();
        fs::remove_file(&calls).unwrap();
    }
}

#[test]
fn a_credential_that_others_can_use_is_refused_whatever_names_it() {
    let pilot = Pilot::new();
    let path = pilot.credential("a token");
    for open in [0o644, 0o640, 0o602, 0o610] {
        set_mode(&path, open);
        let words = [
            &format!("accessible to group or others (mode {open:04o})")[..],
            &format!("chmod 600 {}", path.display()),
        ];
        for option in ["--credential", "--proxy"] {
            failed(
                &pilot.run().arg(option).arg(&path).args(["--", "true"]).output().unwrap(),
                240,
                &words,
            );
        }
        let of_caller =
            pilot.run().env("X509_USER_PROXY", &path).args(["--", "true"]).output().unwrap();
        failed(&of_caller, 240, &words);
        let shown = path.display().to_string();
        failed(&pilot.of("renew-proxy", &[], "s").arg(&path).output().unwrap(), 240, &words);
        failed(
            &pilot.of("renew-proxy", &["--credential", &shown], "s").output().unwrap(),
            240,
            &words,
        );
    }
    pilot.is_empty("after it");
}

#[test]
fn the_payload_has_a_copy_of_its_proxy_and_the_output_has_none() {
    let pilot = Pilot::new();
    let credential = pilot.credential("a token");
    let mut call = pilot.run();
    call.arg("--proxy").arg(&credential).arg("--output").arg(pilot.output());
    let output = call
        .args(["--", "sh", "-c", "cat \"$X509_USER_PROXY\"; cp \"$X509_USER_PROXY\" mine"])
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(stdout_of(&output), "a token");
    assert_eq!(fs::read_dir(pilot.output()).unwrap().count(), 1);
    // Also if the payload replaced it by a directory.
    let proxy = credential.display().to_string();
    let script = "rm \"$X509_USER_PROXY\"; mkdir -p \"$X509_USER_PROXY/directory\"";
    let output = shell(&pilot, &["--proxy", &proxy, "--keep-sandbox", "--name", "kept"], script);
    assert_eq!(
        (output.status.code(), fs::read_dir(pilot.sandbox("kept")).unwrap().count()),
        (Some(0), 0)
    );
}

#[test]
fn the_payloads_home_is_the_sandbox_unless_another_one_is_named() {
    let pilot = Pilot::new();
    let home = shell(
        &pilot,
        &["--output", &pilot.output().display().to_string()],
        "mkdir -p ~/.cache/x && echo \"$HOME $PWD\"",
    );
    let words: Vec<String> = stdout_of(&home).split_ascii_whitespace().map(str::to_owned).collect();
    assert_eq!((messages(&home).as_str(), words.len(), &words[0]), ("", 2, &words[1]));
    assert!(pilot.output().join(".cache/x").is_dir());
    let file = pilot.site.scratch().join("variables");
    write(&file, "HOME=/from/file\n", 0o644);
    let from_file = shell(&pilot, &["--env-file", &file.display().to_string()], "echo $HOME");
    let from_option = shell(&pilot, &["--env", "HOME=/from/option"], "echo $HOME");
    assert_eq!(
        (stdout_of(&from_file).as_str(), stdout_of(&from_option).as_str()),
        ("/from/file\n", "/from/option\n")
    );
}

#[test]
fn a_command_without_a_slash_is_looked_for_and_nothing_after_it_is_parsed() {
    let pilot = Pilot::new();
    let output = pilot.run().args(["echo", "--json", "--", "-x"]).output().unwrap();
    succeeded(&output);
    assert_eq!(stdout_of(&output), "--json -- -x\n");
}

#[test]
fn the_payload_has_the_callers_umask() {
    let pilot = Pilot::new();
    let mut under = support::under(
        pilot.run().args(["--", "sh", "-c", "umask"]),
        &["sh", "-c", "umask 027; exec \"$@\"", "sh"],
    );
    assert_eq!(stdout_of(&under.output().unwrap()), "0027\n");
}

#[test]
fn whatever_the_callers_umask_is_the_files_come_back() {
    for umask in ["0777", "0400", "0077", "0000"] {
        let pilot = Pilot::new();
        let input = pilot.input(|top| {
            fs::create_dir(top.join("d")).unwrap();
            write(top.join("d/file"), "the input", 0o644);
        });
        let mut call = pilot.run_named("s");
        let (output, report) = (pilot.output(), pilot.site.scratch().join("report"));
        call.arg("--input").arg(&input).arg("--output").arg(&output).arg("--report").arg(&report);
        call.args(["--proxy"]).arg(pilot.credential("token")).args([
            "--",
            "sh",
            "-c",
            "echo x >file; mkdir e; cat d/file \"$X509_USER_PROXY\"",
        ]);
        let under =
            |call: &Command| support::under(call, &["sh", "-c", "umask $0; exec \"$@\"", umask]);
        let ran = under(&call).output().unwrap();
        assert_eq!(
            (ran.status.code(), stdout_of(&ran).as_str(), messages(&ran).as_str()),
            (Some(0), "the inputtoken", ""),
            "{umask}"
        );
        assert_eq!(
            (text(output.join("file")).as_str(), text(output.join("d/file")).as_str()),
            ("x\n", "the input")
        );
        assert!(output.join("e").is_dir());
        assert_eq!((mode(&output), mode(&report)), (0o700, 0o600));
        pilot.is_empty("after it");
        // The same for recover after the pilot was killed.
        let mut killed = pilot.run_named("t");
        let mut child = pilot.start_by(
            under(killed.args(["--", "sh", "-c", "echo y >file; touch begun; exec sleep 60"])),
            "t",
            &[],
            "",
        );
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(&output).unwrap();
        let shown = output.display().to_string();
        succeeded(&under(&pilot.of("recover", &["--output", &shown], "t")).output().unwrap());
        assert_eq!(text(output.join("file")), "y\n", "{umask}");
        pilot.is_empty("after recover");
    }
}

// How it ends.

#[test]
fn its_status_is_the_payloads_or_128_and_the_signal() {
    let pilot = Pilot::new();
    for (script, status) in
        [("exit 0", 0), ("exit 77", 77), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        assert_eq!(shell(&pilot, &[], script).status.code(), Some(status), "{script}");
    }
    for status in 240..=244 {
        assert_eq!(
            shell(&pilot, &[], &format!("exit {status}")).status.code(),
            Some(244),
            "{status}"
        );
    }
}

#[test]
fn the_report_says_exactly_how_the_payload_ended() {
    let pilot = Pilot::new();
    let report = pilot.site.scratch().join("report");
    let switcher = pilot.site.script("direct", &format!("exec {} \"$@\"", support::as_job()));
    let ends = |status: i32| {
        (
            format!("exit {status}"),
            if (240..=244).contains(&status) { 244 } else { status },
            status,
            format!("exited {status}"),
        )
    };
    let killed = |signal: i32| {
        (format!("kill -{signal} $$"), 128 + signal, 128 + signal, format!("killed {signal}"))
    };
    let exits =
        [0, 1, 126, 127, 137, 143, 201, 202, 203, 204, 240, 241, 242, 243, 244, 255].map(ends);
    for (script, status, payload, wait) in
        exits.into_iter().chain([1, 2, 9, 13, 15, 34, 64].map(killed))
    {
        let mut call = pilot.run_through_any();
        call.arg("--glexec")
            .arg(&switcher)
            .arg("--execute")
            .arg(pilot.site.execute())
            .arg("--report")
            .arg(&report);
        let output = call.args(["--", "sh", "-c", &script]).output().unwrap();
        assert_eq!(
            (output.status.code(), messages(&output).as_str()),
            (Some(status), ""),
            "{script}"
        );
        let printed: Value = serde_json::from_str(&text(&report)).unwrap();
        assert_eq!(
            (&printed["payload_end"], &printed["payload_status"]),
            (&wait.into(), &payload.into()),
            "{script}"
        );
    }
    // Another switcher, which stays above the payload, returns 137 for a signal.
    let staying = pilot.switcher_that(&format!("{} \"$@\"; exit $?", support::as_job()));
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(staying)
        .arg("--execute")
        .arg(pilot.site.execute())
        .arg("--report")
        .arg(&report);
    assert_eq!(
        call.args(["--", "sh", "-c", "kill -9 $$"]).output().unwrap().status.code(),
        Some(137)
    );
    let printed: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(printed["payload_end"], "exited 137 or killed 9");
}

#[test]
fn a_set_up_that_fails_ends_with_241_and_leaves_nothing() {
    let pilot = Pilot::new();
    let input = pilot.input(fill);
    let before = snapshot(&input);
    let mut call = pilot.run_through_any();
    call.arg("--glexec").arg(pilot.site.script("refuses", "echo no such luck >&2; exit 203"));
    call.arg("--execute").arg(pilot.site.execute()).arg("--input").arg(&input).args(["--", "true"]);
    failed(&call.output().unwrap(), 241, &["could not be handed over", "203", "no such luck"]);
    pilot.is_empty("after it");
    assert_eq!(snapshot(&input), before);
}

#[test]
fn a_payload_that_cannot_be_started_ends_with_242_and_leaves_nothing() {
    let pilot = Pilot::new();
    failed(
        &pilot.run().args(["--", "/nonexistent/x"]).output().unwrap(),
        242,
        &["could not be started", "/nonexistent/x"],
    );
    pilot.is_empty("after a program that there is not");
    let switcher = pilot.switcher_that("case $2 in enter) echo not now >&2; exit 203 ;; esac");
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .args(["--", "true"]);
    failed(&call.output().unwrap(), 242, &["could not be started", "not now"]);
    pilot.is_empty("after a switcher that refuses");
}

#[test]
fn a_command_that_cannot_be_executed_is_refused_with_the_cause() {
    let pilot = Pilot::new();
    let input = pilot.input(|top| {
        write(top.join("closed"), "#!/bin/sh\n", 0o644);
        // The payload's user owns it in the sandbox.
        write(top.join("theirs"), "#!/bin/sh\n", 0o611);
        write(top.join("plain"), "echo\n", 0o755);
        write(top.join("lost"), "#!/nonexistent/sh\n", 0o755);
        fs::create_dir(top.join("directory")).unwrap();
    });
    let home = pilot.site.scratch().join("home");
    fs::create_dir(&home).unwrap();
    write(home.join("tool"), "#!/bin/sh\n", 0o755);
    own(&home, Account::batch());
    set_mode(&home, 0o700);
    let (tool, home) = (home.join("tool").display().to_string(), home.display().to_string());
    let wrong: [(&str, &[&str]); 6] = [
        ("./closed", &["EACCES", "no user may execute it: run chmod a+rx on it"]),
        ("./theirs", &["EACCES", "may not execute it", "chmod a+rx"]),
        ("./plain", &["ENOEXEC", "nor a script that begins with #!"]),
        ("./lost", &["ENOENT", "its interpreter does not exist"]),
        ("./directory", &["EACCES", "it is a directory"]),
        (&tool, &["EACCES", &format!("may not search the directory {home}: run chmod o+x")]),
    ];
    for (command, words) in wrong {
        let output =
            pilot.run().arg("--input").arg(&input).arg("--").arg(command).output().unwrap();
        failed(&output, 242, words);
    }
}

#[test]
fn a_command_on_a_file_system_without_programs_is_refused_with_that_and_no_advice_about_its_mode() {
    let pilot = Pilot::new();
    let _mounts = support::mounts::in_memory(&pilot.site, "noexec");
    let input = pilot.input(|top| write(top.join("tool"), "#!/bin/sh\n", 0o755));
    let mut call = pilot.run();
    call.arg("--input").arg(&input);
    let line = failed(
        &call.args(["--", "./tool"]).output().unwrap(),
        242,
        &["EACCES", "its file system is mounted noexec"],
    );
    assert!(!line.contains("chmod"), "{line}");
}

#[test]
fn a_clean_up_that_fails_ends_with_243_and_both_facts_and_recover_completes_it() {
    let pilot = Pilot::new();
    // Once the payload runs, the switcher fails.
    let (broken, ran) = (pilot.site.path().join("broken"), pilot.site.path().join("ran"));
    write(&broken, "", 0o644);
    let switcher = pilot.switcher_that(&format!(
        "case $2 in enter) touch {ran} ;; serve) [ ! -e {ran} ] || [ ! -e {broken} ] || exit 1 ;; \
         esac",
        ran = ran.display(),
        broken = broken.display()
    ));
    set_mode(pilot.site.path(), 0o777);
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(&switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .args(["--name", "s", "--json"]);
    let script = format!("echo result >file; {KILL_AGENT}; exit 5");
    let output = call.args(["--", "sh", "-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(243), "{}", messages(&output));
    let said = messages(&output);
    let [line, json] = said.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {said}") };
    for words in
        ["ended with status 5", "not back", "recover", &pilot.sandbox("s").display().to_string()]
    {
        assert!(line.contains(words), "{words} is not in {line}");
    }
    let json: Value = serde_json::from_str(json).unwrap();
    assert_eq!((&json["status"], &json["payload_status"]), (&243.into(), &5.into()));
    assert_eq!(json["failures"][0]["stage"], "cleanup");
    fs::remove_file(&broken).unwrap();
    let mut recover = pilot.call("recover");
    recover
        .arg("--glexec")
        .arg(&switcher)
        .arg("--output")
        .arg(pilot.output())
        .arg(pilot.sandbox("s"));
    succeeded(&recover.output().unwrap());
    assert_eq!(text(pilot.output().join("file")), "result\n");
    pilot.is_empty("after recover");
}

#[test]
fn no_other_program_brings_the_files_back_while_the_pilot_does_and_what_it_leaves_is_whole() {
    let pilot = Pilot::new();
    let waiting = pilot.site.path().join("waiting");
    set_mode(pilot.site.path(), 0o777);
    let switcher = pilot.switcher_that(&format!(
        "case $2 in enter) touch {w}.ran ;; serve) if [ -e {w}.ran ]; then touch {w}; while [ -e \
         {w} ]; do sleep 0.02; done; exit 1; fi ;; esac",
        w = waiting.display()
    ));
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .args(["--name", "s"]);
    call.args(["--", "sh", "-c", &format!("echo result >file; {KILL_AGENT}; true")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = call.spawn().unwrap();
    wait_until("the files begin to come back", || waiting.exists());
    let mut cleanup = pilot.site.helper("condor_glexec_cleanup");
    cleanup.arg(pilot.site.switcher()).arg(CREDENTIAL).arg(pilot.sandbox("s")).args(["0", "0"]);
    cleanup.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "1");
    failed(&cleanup.output().unwrap(), 1, &["another helper works on it"]);
    fs::remove_file(&waiting).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(243));
    succeeded(&cleanup.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "30").output().unwrap());
    assert_eq!(text(pilot.sandbox("s").join("file")), "result\n");
}

#[test]
fn the_report_has_each_step_in_one_line_of_json() {
    let pilot = Pilot::new();
    let output = shell(&pilot, &["--json", "--name", "s"], "exit 3");
    let json: Value = serde_json::from_str(&failed(&output, 3, &[])).unwrap();
    assert_eq!(
        (&json["status"], &json["payload_status"], &json["ended_by"]),
        (&3.into(), &3.into(), &Value::Null)
    );
    assert_eq!(json["sandbox"], pilot.sandbox("s").display().to_string());
    let steps: Vec<&str> = json["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["input", "setup", "kill", "run", "cleanup"]);
    assert_eq!(json["steps"][1]["moved"]["files"], 0);
}

#[test]
fn the_report_is_written_to_a_file_whatever_happens_to_standard_error() {
    let pilot = Pilot::new();
    let report = pilot.site.scratch().join("report");
    let shown = report.display().to_string();
    // A full pipe that no process reads, with O_NONBLOCK.
    let (_reader, writer) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    while nix::unistd::write(&writer, b"x").is_ok() {}
    let mut call = pilot.run();
    call.args(["--report", &shown, "--", "sh", "-c", "rm -rf \"$PWD\"; exit 5"]).stderr(writer);
    assert_eq!(call.status().unwrap().code(), Some(243));
    let printed: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(
        (&printed["status"], &printed["payload_status"], &printed["failures"][0]["stage"]),
        (&243.into(), &5.into(), &"cleanup".into())
    );
    assert_eq!((mode(&report), Account::of(&report)), (0o600, Account::batch()));
    // Also after a usage error; nothing of an earlier report is left.
    let wrong =
        pilot.run().args(["--report", &shown, "--env", "=x", "--", "true"]).output().unwrap();
    let line = failed(&wrong, 240, &["the name of the variable is empty"]);
    let printed: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(printed["status"], 240);
    assert!(line.contains(printed["failures"][0]["error"].as_str().unwrap()), "{printed}");
}

#[test]
fn a_report_is_written_to_nothing_but_a_file_of_the_callers_own() {
    let pilot = Pilot::new();
    let precious = pilot.site.scratch().join("precious");
    write(&precious, "data", 0o644);
    own(&precious, Account::batch());
    let place = |name: &str| pilot.site.scratch().join(name);
    std::os::unix::fs::symlink(&precious, place("link")).unwrap();
    fs::hard_link(&precious, place("again")).unwrap();
    nix::unistd::mkfifo(&place("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    write(place("theirs"), "theirs", 0o666);
    fs::create_dir(place("directory")).unwrap();
    for name in ["link", "again", "fifo", "theirs", "directory", "none/report"] {
        let report = place(name).display().to_string();
        failed(
            &pilot.run().args(["--report", &report, "--", "true"]).output().unwrap(),
            240,
            &["--report", &report],
        );
    }
    assert_eq!(
        (text(&precious).as_str(), mode(&precious), text(place("theirs")).as_str()),
        ("data", 0o644, "theirs")
    );
    pilot.is_empty("after it");
}

// Signals and time.

#[test]
fn signals_that_end_go_to_the_whole_family_and_the_files_come_back() {
    for (number, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129)] {
        let pilot = Pilot::new();
        let output = pilot.output().display().to_string();
        // The first process waits for the other one: with glexec, all processes end with the first.
        let catch = "exec 2>errors; trap \"echo caught >caught; exit\" TERM INT HUP; touch ready; \
            while :; do sleep 0.05; done";
        let name = number.as_str().trim_start_matches("SIG");
        let script = format!(
            "exec 2>errors; trap 'until grep -q . caught; do sleep 0.02; done; trap - {name}; \
             kill -{name} $$' {name}; \
             echo x >file; (setsid env --default-signal=INT sh -c '{catch}' &) ; while :; do \
                 sleep 0.05; done"
        );
        let child = pilot.start("s", &["--output", &output, "--grace", "20"], &script);
        let sandbox = pilot.sandbox("s");
        wait_until("both have begun", || sandbox.join("ready").exists());
        signal(&child, number);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(
            (ended.status.code(), messages(&ended).as_str()),
            (Some(status), ""),
            "{number}"
        );
        assert_eq!(
            text(pilot.output().join("caught")),
            "caught\n",
            "{number}: the process that left the session gets it"
        );
        assert_eq!(text(pilot.output().join("file")), "x\n");
        assert_eq!(family(&sandbox), [0_u32; 0]);
        pilot.is_empty("after it");
    }
}

#[test]
fn a_process_that_does_not_end_is_killed_after_the_grace() {
    let pilot = Pilot::new();
    let output = pilot.output().display().to_string();
    let child = pilot.start(
        "s",
        &["--output", &output, "--grace", "1"],
        "trap '' TERM; echo x >file; touch ready; while :; do sleep 0.1; done",
    );
    wait_until("it is ready", || pilot.sandbox("s").join("ready").exists());
    let begun = Instant::now();
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(137));
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had its grace");
    assert_eq!(text(pilot.output().join("file")), "x\n");
}

#[test]
fn a_payload_that_keeps_other_agents_from_their_work_ends_when_its_time_is_over() {
    let pilot = Pilot::new();
    // As if the payload killed each agent that is called to end it.
    let switcher = pilot.switcher_that("case $2 in hunt) exit 1 ;; esac");
    let mut call = pilot.run_through_any();
    call.arg("--glexec").arg(switcher).arg("--execute").arg(pilot.site.execute()).args([
        "--timeout",
        "1",
        "--grace",
        "1",
    ]);
    let output = call
        .args(["--", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"])
        .output()
        .unwrap();
    failed(&output, 137, &["the payload is killed without --grace"]);
    pilot.is_empty("after it");
}

#[test]
fn a_signal_before_the_payload_begins_keeps_it_from_beginning() {
    let pilot = Pilot::new();
    let waiting = pilot.site.path().join("waiting");
    set_mode(pilot.site.path(), 0o777);
    let switcher = pilot.switcher_that(&format!(
        "[ -e {0}.once ] || {{ touch {0} {0}.once; while [ -e {0} ]; do sleep 0.02; done; }}",
        waiting.display()
    ));
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .arg("--output")
        .arg(pilot.output());
    let child = call
        .args(["--", "touch", "ran"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the set-up has begun", || waiting.exists());
    signal(&child, Signal::SIGTERM);
    fs::remove_file(&waiting).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(143), ""));
    assert!(!pilot.output().join("ran").exists());
    pilot.is_empty("after it");
}

/// Starts the pilot under strace(1), which delays each of its system calls of this name. Returns
/// the process of strace, and the pid of the pilot.
fn delayed(
    call: &Command,
    name: &str,
    milliseconds: u32,
) -> (std::process::Child, nix::unistd::Pid) {
    let inject = format!("inject={name}:delay_enter={}", milliseconds * 1000);
    let mut strace = support::under(
        call,
        &["strace", "-q", "-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &inject],
    );
    let child =
        strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let program = |pid: &str| {
        fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|exe| exe.ends_with("condor_glexec_pilot"))
    };
    let mut pilot = None;
    wait_until("the pilot runs", || {
        let all = fs::read_to_string(&children).unwrap_or_default();
        pilot =
            all.split_ascii_whitespace().find(|pid| program(pid)).map(|pid| pid.parse().unwrap());
        pilot.is_some()
    });
    (child, nix::unistd::Pid::from_raw(pilot.unwrap()))
}

/// Waits for the end, which must come long before the sum of all delays.
fn ended_early(mut child: std::process::Child) -> Output {
    wait_until("it has ended", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap()
}

/// Many files, and a large one that is copied in many pieces.
fn much(top: &std::path::Path) {
    fs::create_dir(top.join("many")).unwrap();
    for number in 0..2000 {
        write(top.join(format!("many/{number}")), "x", 0o644);
    }
}

#[test]
fn a_signal_while_the_input_is_copied_ends_that_at_once_and_nothing_is_left() {
    let pilot = Pilot::new();
    let input = pilot.input(much);
    let large = pilot.site.scratch().join("large");
    fs::create_dir(&large).unwrap();
    write(large.join("file"), vec![b'x'; 32 << 20], 0o644);
    own(&large, Account::batch());
    for (from, name, delay, number) in
        [(&input, "utimensat", 20, Signal::SIGINT), (&large, "pwrite64", 300, Signal::SIGTERM)]
    {
        let before = snapshot(from);
        let mut call = pilot.run();
        call.arg("--input").arg(from).args(["--", "true"]);
        let (child, pid) = delayed(&call, name, delay);
        // The sandbox exists and is not empty.
        wait_until("the copy has begun", || {
            let made = pilot.site.entries().first().map(|name| pilot.site.execute().join(name));
            made.is_some_and(|made| fs::read_dir(made).is_ok_and(|entries| entries.count() > 0))
        });
        // It stops and continues during the copy.
        nix::sys::signal::kill(pid, Signal::SIGTSTP).unwrap();
        wait_until("it is stopped", || {
            matches!(state(pid.as_raw().cast_unsigned()), Some('T' | 't'))
        });
        nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
        nix::sys::signal::kill(pid, number).unwrap();
        let ended = ended_early(child);
        assert_eq!(
            (ended.status.code(), messages(&ended).as_str()),
            (Some(128 + number as i32), ""),
            "{name}"
        );
        assert_eq!(snapshot(from), before);
        pilot.is_empty("after it");
    }
}

#[test]
fn a_signal_while_the_sandbox_is_handed_over_ends_that_at_once_and_nothing_is_left() {
    let pilot = Pilot::new();
    let input = pilot.input(much);
    let mut call = pilot.run_named("s");
    call.arg("--input").arg(&input).args(["--", "true"]);
    // pilot_owner.rs has the same for a change of owner.
    call.env("GLEXEC_HELPERS_HANDOVER", "copy");
    // Another thread, which is not delayed, copies the input.
    let (child, pid) = delayed(&call, "openat2", 20);
    wait_until("the agent has begun its copy", || {
        pilot.site.entries().iter().any(|name| name.as_bytes().starts_with(b"s.gh."))
            && retained(&pilot.sandbox("s")).exists()
    });
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let ended = ended_early(child);
    assert_eq!((ended.status.code(), messages(&ended).as_str()), (Some(143), ""));
    pilot.is_empty("after it");
}

#[test]
fn a_signal_while_a_switcher_keeps_it_waiting_ends_it() {
    let pilot = Pilot::new();
    let waiting = pilot.site.path().join("waiting");
    set_mode(pilot.site.path(), 0o777);
    let switcher = pilot.switcher_that(&format!(
        "touch {0}; while [ -e {0} ]; do sleep 0.02; done",
        waiting.display()
    ));
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .args(["--", "true"]);
    let child = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the switcher is called", || waiting.exists());
    signal(&child, Signal::SIGHUP);
    let ended = ended_early(child);
    assert_eq!((ended.status.code(), messages(&ended).as_str()), (Some(129), ""));
    pilot.is_empty("after it");
    fs::remove_file(&waiting).unwrap();
}

#[test]
fn the_second_signal_while_the_files_come_back_leaves_them_to_recover() {
    let pilot = Pilot::new();
    let report = pilot.site.scratch().join("report");
    let mut call = pilot.run_named("s");
    call.env("GLEXEC_HELPERS_HANDOVER", "copy");
    call.arg("--report").arg(&report).arg("--output").arg(pilot.output());
    call.args([
        "--",
        "sh",
        "-c",
        "mkdir d; n=0; while [ $n -lt 2000 ]; do echo $n >d/$n; n=$((n+1)); done; exit 5",
    ]);
    let (mut child, pid) = delayed(&call, "utimensat", 20);
    wait_until("the files begin to come back", || retained(&pilot.sandbox("s")).join("d").exists());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("are coming back; the next signal leaves them for recover"), "{line}");
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(ended_early(child).status.code(), Some(243));
    let printed: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(
        (&printed["payload_end"], &printed["notices"][0]),
        (&"exited 5".into(), &line.trim_end().into())
    );
    assert!(
        printed["failures"][0]["error"].as_str().unwrap().contains("it was interrupted"),
        "{printed}"
    );
    let output = pilot.output().display().to_string();
    succeeded(&pilot.of("recover", &["--output", &output], "s").output().unwrap());
    assert_eq!(fs::read_dir(pilot.output().join("d")).unwrap().count(), 2000);
    pilot.is_empty("after it");
}

#[test]
fn a_payload_whose_time_is_over_ends_and_its_files_come_back() {
    let pilot = Pilot::new();
    let output = pilot.output().display().to_string();
    // On a busy machine the payload may not have begun when the first of these times is over.
    let has_begun = ["1", "10", "60"].into_iter().any(|time| {
        let ended = shell(
            &pilot,
            &["--output", &output, "--timeout", time, "--json"],
            "echo x >file; : >begun; exec sleep 600",
        );
        let json: Value = serde_json::from_str(&failed(&ended, 143, &[])).unwrap();
        assert_eq!(json["ended_by"], "timeout");
        pilot.is_empty("after it");
        let has_begun = pilot.output().join("begun").exists();
        if !has_begun {
            fs::remove_dir_all(pilot.output()).unwrap();
        }
        has_begun
    });
    assert!(has_begun);
    assert_eq!(text(pilot.output().join("file")), "x\n");
}

#[test]
fn a_stop_stops_the_whole_family_and_a_continue_continues_it() {
    let pilot = Pilot::new();
    let mut child = pilot.start("s", &[], "setsid sleep 61 & exec sleep 62");
    let sandbox = pilot.sandbox("s");
    wait_until("both have begun", || family(&sandbox).len() == 2);
    let members = family(&sandbox);
    let all = |what: char| members.iter().all(|pid| state(*pid) == Some(what));
    signal(&child, Signal::SIGTSTP);
    wait_until("the family is stopped", || all('T'));
    wait_until("the pilot is stopped", || state(child.id()) == Some('T'));
    signal(&child, Signal::SIGCONT);
    wait_until("the family goes on", || all('S'));
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_stop_and_a_continue_that_come_together_leave_no_process_stopped() {
    let pilot = Pilot::new();
    let mut child = pilot.start("s", &[], "exec sleep 62");
    let sandbox = pilot.sandbox("s");
    for _ in 0..5 {
        signal(&child, Signal::SIGTSTP);
        signal(&child, Signal::SIGCONT);
    }
    // Wait until the pilot has taken all signals, and no agent is at work with one.
    let pending = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let set =
            status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap().trim().to_owned();
        let bit = |number: Signal| 1 << (number as u64 - 1);
        u64::from_str_radix(&set, 16).unwrap() & (bit(Signal::SIGTSTP) | bit(Signal::SIGCONT)) != 0
    };
    let is_at_rest = || !pending(child.id()) && agents("hunt", &retained(&sandbox)).is_empty();
    let all = || family(&sandbox).iter().chain([&child.id()]).all(|pid| state(*pid) == Some('S'));
    wait_until("all are awake", || is_at_rest() && all());
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn the_warning_signals_of_a_batch_system_are_forwarded() {
    let pilot = Pilot::new();
    let child = pilot.start(
        "s",
        &[],
        "trap 'echo warned; exit 4' USR1; touch ready; while :; do sleep 0.05; done",
    );
    wait_until("it is ready", || pilot.sandbox("s").join("ready").exists());
    signal(&child, Signal::SIGUSR1);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((stdout_of(&ended).as_str(), ended.status.code()), ("warned\n", Some(4)));
}

#[test]
fn what_the_payload_leaves_running_is_ended_before_its_files_come_back() {
    let pilot = Pilot::new();
    let output = pilot.output().display().to_string();
    let script = "(setsid sleep 63 &) ; (env -i sleep 64 &) ; for n in 63 64; do \
        until pgrep -u $(id -u) -xf \"sleep $n\" >>pids; do sleep 0.05; done; done; \
        id -u >user; exit 0";
    succeeded(&shell(&pilot, &["--output", &output], script));
    if support::is_rootless() {
        // The pids are those of another namespace, but no other payload has this user.
        let user = text(pilot.output().join("user")).trim().parse().unwrap();
        assert_eq!(support::glexec::processes_of(user), [0_u32; 0]);
    } else {
        let pids: Vec<u32> =
            text(pilot.output().join("pids")).lines().map(|pid| pid.parse().unwrap()).collect();
        assert!(pids.len() >= 2, "{pids:?}");
        let left = |pid: &u32| {
            is_alive(*pid) && {
                let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                words.ends_with(b"63\0") || words.ends_with(b"64\0")
            }
        };
        assert!(!pids.iter().any(left));
    }
}

#[test]
fn a_signal_to_the_whole_process_group_does_not_keep_the_files_from_coming_back() {
    let pilot = Pilot::new();
    let waiting = pilot.site.path().join("waiting");
    set_mode(pilot.site.path(), 0o777);
    let hold = format!(
        "case $2 in enter) touch {0}.ran ;; serve) if [ -e {0}.ran ]; then touch {0}; while [ -e \
         {0} ]; do sleep 0.02; done; fi ;; esac",
        waiting.display()
    );
    let switcher = pilot.switcher_that(&hold);
    let mut call = support::under(
        pilot
            .run_through_any()
            .arg("--glexec")
            .arg(switcher)
            .arg("--execute")
            .arg(pilot.site.execute())
            .arg("--output")
            .arg(pilot.output())
            .args(["--", "sh", "-c", &format!("echo x >file; {KILL_AGENT}; true")]),
        &["setsid"],
    );
    let mut child = call.spawn().unwrap();
    wait_until("the files begin to come back", || waiting.exists());
    // As a terminal does for Ctrl-C. Because of setsid, the pilot leads a process group.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(-child.id().cast_signed()), Signal::SIGINT)
        .unwrap();
    fs::remove_file(&waiting).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(text(pilot.output().join("file")), "x\n");
}

// The pilot is killed.

#[test]
fn a_family_ends_within_two_seconds_of_a_kill_of_its_pilot_and_recover_brings_back_every_byte() {
    let pilot = Pilot::new();
    let input = pilot.input(|top| {
        for number in 0..30 {
            write(top.join(format!("file{number}")), format!("{number}").repeat(1000), 0o644);
        }
    });
    // A bit longer than an undisturbed run takes.
    let run = |name: &str| {
        let mut call = pilot.run_named(name);
        call.arg("--input").arg(&input).arg("--output").arg(pilot.output());
        call.args([
            "--",
            "sh",
            "-c",
            // The payload runs for a large part of that time.
            "echo begun >begun; (setsid sleep 60 &) ; for n in 1 2 3 4 5; do echo $n >>count; \
             sleep 0.1; done",
        ]);
        call
    };
    let begun = Instant::now();
    succeeded(&run("first").output().unwrap());
    let whole = begun.elapsed().mul_f64(1.1);
    fs::remove_dir_all(pilot.output()).unwrap();
    let mut outlived = Vec::new();
    for round in 0..20 {
        let (name, moment) = (format!("s{round}"), whole.mul_f64(fastrand::f64()));
        let mut child = run(&name).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let killed = Instant::now();
        let sandbox = pilot.sandbox(&name);
        let what = format!("round {round}, killed after {moment:?}");
        if !family(&sandbox).is_empty() {
            wait_until(&format!("{what}: its family has ended"), || family(&sandbox).is_empty());
            outlived.push(killed.elapsed());
        }
        // What the payload wrote, read as root. An agent can still be at work for the killed pilot,
        // and a child of the pilot can be about to execute the switcher.
        wait_until("no agent is at work", || {
            agents("serve", &sandbox).is_empty() && pilots(&name).is_empty()
        });
        let made = pick(&[&sandbox, &retained(&sandbox)], &pilot.output());
        let output = pilot.output().display().to_string();
        let mut recover = pilot.of("recover", &["--output", &output], &name);
        let recovered = recover.output().unwrap();
        // Otherwise the pilot was killed before it made the sandbox, or after it made the output.
        if let Some(files) = made {
            assert!(pilot.output().exists(), "{what}: {}", messages(&recovered));
            assert_eq!(contents(&pilot.output()), files, "{what}");
        }
        pilot.is_empty(&format!("{what}: {}", messages(&recovered)));
        assert!(!pilot.output().join(CREDENTIAL).exists(), "{what}");
        let _ = fs::remove_dir_all(pilot.output());
    }
    // On a busy machine some rounds take longer. If something waited for a timeout, all would.
    let quickest = outlived.iter().min().expect("a moment that met a living payload");
    assert!(*quickest < Duration::from_secs(2), "{outlived:?}");
}

/// The processes of a call whose sandbox has this name.
fn pilots(name: &str) -> Vec<u32> {
    let words = format!("--name\0{name}\0");
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&words) && is_alive(*pid)
    };
    pids.filter(is).collect()
}

/// The files of a directory except the credential, by their names.
fn contents(path: &std::path::Path) -> std::collections::BTreeMap<std::ffi::OsString, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    files
        .filter(|file| file.file_name() != CREDENTIAL)
        .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
        .collect()
}

/// The files of the sandbox, from the place that has a complete copy.
fn pick(
    places: &[&std::path::Path],
    output: &std::path::Path,
) -> Option<std::collections::BTreeMap<std::ffi::OsString, Vec<u8>>> {
    if output.exists() {
        return None;
    }
    let complete = |path: &&&std::path::Path| path.join("file29").exists();
    places.iter().find(complete).map(|path| contents(path))
}

//! The job wrapper: its exchange with the starter, and the start of the job. All tests except one
//! run as the current user.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::installation::install;
use support::starter::{Starter, message, read_to_end};
use support::{failed, program, wait_until, write};

/// A job that must not be started: it would leave a file.
const NEVER: [&str; 5] = ["-", "-", "-", "/usr/bin/touch", "ran"];

/// A job that writes a line when it runs, and waits for inspection.
const WAITS: [&str; 6] = ["-", "-", "-", "/bin/sh", "-c", "echo ready; read _"];

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The wrapper in a directory, executed by the command `before`, if there is one.
fn wrapper(directory: &Path, before: &[&str], words: &[impl AsRef<OsStr>]) -> Command {
    let wrapper = program("condor_glexec_job_wrapper").into_os_string();
    let mut all = before.iter().map(OsString::from).chain([wrapper]);
    let mut command = Command::new(all.next().unwrap());
    command.args(all).args(words).current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn started(words: &[impl AsRef<OsStr>]) -> Starter {
    Starter::start(wrapper(Path::new("/"), &[], words))
}

fn null() -> File {
    File::open("/dev/null").unwrap()
}

/// Sends the environment, three descriptors and the new socket; returns the starter's end of that.
fn send_all(starter: &mut Starter, environment: &[u8]) -> UnixStream {
    starter.environment(environment);
    for _ in 0..3 {
        starter.pass(null());
    }
    starter.pass_error_socket()
}

fn pid(starter: &Starter) -> Pid {
    Pid::from_raw(starter.child.id().cast_signed())
}

/// Waits until the process has stopped.
fn stopped(starter: &Starter) {
    let status = waitpid(pid(starter), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
}

/// What the starter receives after a failure before the new socket: the same on both sockets. The
/// wrapper ends with 1.
fn reported(mut starter: Starter, mut new: UnixStream) -> String {
    let again = read_to_end(&mut new);
    assert_eq!(starter.wait().code(), Some(1));
    assert_eq!(read_to_end(&mut starter.socket), again);
    message(&again)
}

/// The same for an exchange that `exchange` breaks, between the hello and the new socket.
fn refused(words: &[impl AsRef<OsStr>], exchange: impl FnOnce(&mut Starter)) -> String {
    let directory = directory();
    let mut starter = Starter::start(wrapper(directory.path(), &[], words));
    starter.hello();
    exchange(&mut starter);
    let new = starter.pass_error_socket();
    let message = reported(starter, new);
    assert!(!directory.path().join("ran").exists());
    message
}

/// What the starter receives on the new socket if the job cannot be executed; it receives nothing
/// on the first one.
fn not_executed(directory: &Path, words: &[impl AsRef<OsStr>]) -> String {
    let mut starter = Starter::start(wrapper(directory, &[], words));
    let failure = starter.launch(b"A=1", [&null(), &null(), &null()]);
    assert_eq!((starter.wait().code(), read_to_end(&mut starter.socket)), (Some(1), vec![]));
    message(&failure)
}

/// The output of a job that gets all three descriptors from the starter.
fn output(command: Command, environment: &[u8]) -> Vec<u8> {
    let (mut reader, writer) = pipe().unwrap();
    let mut starter = Starter::start(command);
    assert_eq!(starter.launch(environment, [&null(), &writer, &null()]), b"");
    drop(writer);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(starter.wait().code(), Some(0));
    all
}

/// A job that was started and waits; it ends when this is dropped.
struct Running {
    starter: Starter,
    _input: PipeWriter,
}

impl Running {
    fn new(mut starter: Starter, environment: &[u8]) -> Running {
        let (input, kept) = pipe().unwrap();
        let (mut reader, output) = pipe().unwrap();
        assert_eq!(starter.launch(environment, [&input, &output, &null()]), b"");
        drop(output);
        let mut word = [0; 6];
        reader.read_exact(&mut word).expect("the job runs");
        Running { starter, _input: kept }
    }

    /// A file of the job in /proc.
    fn proc(&self, name: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{name}", self.starter.child.id())).unwrap()
    }

    /// The entries of its environment.
    fn environment(&self) -> Vec<Vec<u8>> {
        strings(&self.proc("environ"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.starter.child.kill();
        let _ = self.starter.child.wait();
    }
}

/// Splits strings that end with a NUL each.
fn strings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(all.pop(), Some(vec![]), "the last string ends with a NUL");
    all
}

/// The job's environment, without the wrapper's own PATH, for what the starter sends.
fn environment_from(sent: &[u8]) -> Vec<Vec<u8>> {
    let all = Running::new(started(&WAITS), sent).environment();
    all.into_iter().filter(|entry| entry != b"PATH=/usr/bin:/bin").collect()
}

// The exchange with the starter.

#[test]
fn wrapper_says_the_hello_and_nothing_more_when_all_goes_well() {
    let mut starter = started(&["-", "-", "-", "/bin/true"]);
    assert_eq!(starter.launch(b"", [&null(), &null(), &null()]), b"");
    assert_eq!((starter.wait().code(), read_to_end(&mut starter.socket)), (Some(0), vec![]));
}

#[test]
fn descriptors_come_in_the_order_of_the_streams_that_are_a_dash() {
    let directory = directory();
    let file = |name: &str| directory.path().join(name);
    fs::write(file("in"), "input").unwrap();
    let script = "cat; echo said >&2";
    let cases: [[&str; 3]; 4] =
        [["-", "-", "-"], ["in", "-", "-"], ["-", "out", "-"], ["in", "out", "-"]];
    for streams in cases {
        let (out, err) = (File::create(file("out")).unwrap(), File::create(file("err")).unwrap());
        let words: Vec<_> = streams.into_iter().chain(["/bin/sh", "-c", script]).collect();
        let mut starter = Starter::start(wrapper(directory.path(), &[], &words));
        starter.hello();
        starter.environment(b"PATH=/usr/bin:/bin");
        for (stream, descriptor) in streams.iter().zip([File::open(file("in")).unwrap(), out, err])
        {
            if *stream == "-" {
                starter.pass(descriptor);
            }
        }
        assert_eq!(read_to_end(&mut starter.pass_error_socket()), b"");
        assert_eq!(starter.wait().code(), Some(0));
        let written = [file("out"), file("err")].map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(written, ["input", "said\n"], "{streams:?}");
    }
}

#[test]
fn input_that_looks_like_an_option_is_a_file() {
    let directory = directory();
    fs::write(directory.path().join("--help"), "input").unwrap();
    let mut starter =
        Starter::start(wrapper(directory.path(), &[], &["--help", "--version", "-V", "/bin/cat"]));
    starter.hello();
    starter.environment(b"");
    assert_eq!(read_to_end(&mut starter.pass_error_socket()), b"");
    assert_eq!(starter.wait().code(), Some(0));
    assert_eq!(fs::read_to_string(directory.path().join("--version")).unwrap(), "input");
}

#[test]
fn outputs_are_created_for_the_owner_alone_and_truncated() {
    let directory = directory();
    let file = |name: &str| directory.path().join(name);
    write(file("old"), "longer than what is written", 0o644);
    let before = ["/bin/sh", "-c", "umask 0; exec \"$@\"", "sh"];
    let words = ["/dev/null", "old", "new", "/bin/sh", "-c", "echo out; echo err >&2"];
    let mut starter = Starter::start(wrapper(directory.path(), &before, &words));
    starter.hello();
    starter.environment(b"");
    assert_eq!(read_to_end(&mut starter.pass_error_socket()), b"");
    assert_eq!(starter.wait().code(), Some(0));
    assert_eq!(
        ["old", "new"].map(|name| fs::read_to_string(file(name)).unwrap()),
        ["out\n", "err\n"]
    );
    assert_eq!(fs::metadata(file("new")).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn files_are_opened_to_read_the_input_and_to_write_the_outputs() {
    let directory = directory();
    fs::write(directory.path().join("in"), "").unwrap();
    let words = [
        "in",
        "out",
        "err",
        "/bin/sh",
        "-c",
        "cat /proc/$$/fdinfo/0 /proc/$$/fdinfo/1 /proc/$$/fdinfo/2",
    ];
    let mut starter = Starter::start(wrapper(directory.path(), &[], &words));
    starter.hello();
    starter.environment(b"PATH=/usr/bin:/bin");
    assert_eq!(read_to_end(&mut starter.pass_error_socket()), b"");
    assert_eq!(starter.wait().code(), Some(0));
    let text = fs::read_to_string(directory.path().join("out")).unwrap();
    let flags = text.lines().filter_map(|line| line.strip_prefix("flags:"));
    let access: Vec<_> = flags
        .map(|flags| i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_ACCMODE)
        .collect();
    assert_eq!(access, [libc::O_RDONLY, libc::O_WRONLY, libc::O_WRONLY]);
}

#[test]
fn bytes_may_arrive_one_by_one() {
    let mut starter = started(&["-", "-", "-", "/bin/sh", "-c", "printf %s \"$A\""]);
    starter.hello();
    let (mut reader, writer) = pipe().unwrap();
    let (mut new, theirs) = UnixStream::pair().unwrap();
    let stat = format!("/proc/{}/stat", starter.child.id());
    // It sleeps, so it waits for the next byte: it has read the last one alone.
    let taken = || {
        let asleep =
            || fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().starts_with(" S");
        wait_until("the wrapper waits for more", asleep);
    };
    let text = b"A='one by one'\0";
    for byte in i32::try_from(text.len()).unwrap().to_ne_bytes().iter().chain(text) {
        taken();
        starter.pass_with(&[*byte], &[]);
    }
    let null = null();
    for descriptor in [null.as_raw_fd(), writer.as_raw_fd(), null.as_raw_fd(), theirs.as_raw_fd()] {
        taken();
        starter.pass_with(&[0], &[descriptor]);
    }
    drop((writer, theirs));
    assert_eq!(read_to_end(&mut new), b"");
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), starter.wait().code()), ("one by one", Some(0)));
}

// A starter that ends early.

#[test]
fn starter_that_is_gone_at_any_step_is_an_end_with_status_1_and_no_signal() {
    let steps: [fn(&mut Starter); 9] = [
        |starter| starter.hello(),
        |starter| starter.socket.write_all(&4_i32.to_ne_bytes()[..2]).unwrap(),
        |starter| starter.socket.write_all(&4_i32.to_ne_bytes()[2..]).unwrap(),
        |starter| starter.socket.write_all(b"A=").unwrap(),
        |starter| starter.socket.write_all(b"1").unwrap(),
        |starter| starter.socket.write_all(&[0]).unwrap(),
        |starter| starter.pass(null()),
        |starter| starter.pass(null()),
        |starter| starter.pass(null()),
    ];
    for count in 0..=steps.len() {
        let directory = directory();
        let mut starter = Starter::start(wrapper(directory.path(), &[], &NEVER));
        for step in &steps[..count] {
            step(&mut starter);
        }
        let Starter { mut child, socket } = starter;
        drop(socket);
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(1), None), "after {count} steps");
        assert!(!directory.path().join("ran").exists(), "after {count} steps");
    }
}

/// A starter that sends everything without reading the hello, and closes the first socket while the
/// wrapper is stopped. When the wrapper continues, the connection is reset. Returns the wrapper's
/// status and what arrives on the new socket.
fn reset(words: &[&str], environment: &[u8]) -> (Option<i32>, Vec<u8>) {
    let mut starter = started(words);
    recv(starter.socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK).unwrap();
    kill(pid(&starter), Signal::SIGSTOP).unwrap();
    stopped(&starter);
    close_and_continue(&mut starter, environment)
}

/// Sends everything, closes the first socket, and continues the stopped process.
fn close_and_continue(starter: &mut Starter, environment: &[u8]) -> (Option<i32>, Vec<u8>) {
    let mut new = send_all(starter, environment);
    starter.socket = UnixStream::pair().unwrap().0;
    kill(pid(starter), Signal::SIGCONT).unwrap();
    let arrived = read_to_end(&mut new);
    (starter.wait().code(), arrived)
}

#[test]
fn job_starts_though_the_connection_was_reset_after_all_had_been_sent() {
    let script = ["-", "-", "-", "/bin/sh", "-c", "exit $A"];
    assert_eq!(reset(&script, b"A=7"), (Some(7), vec![]));
}

#[test]
fn job_starts_though_the_starter_was_gone_before_the_hello() {
    let before = ["/bin/sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"];
    let words = ["-", "-", "-", "/bin/sh", "-c", "exit $A"];
    let mut starter = Starter::start(wrapper(Path::new("/"), &before, &words));
    stopped(&starter);
    assert_eq!(close_and_continue(&mut starter, b"A=7"), (Some(7), vec![]));
}

#[test]
fn connection_that_was_reset_reads_as_closed() {
    let mut command = wrapper(Path::new("/"), &[], &NEVER);
    command.stderr(Stdio::piped());
    let Starter { child, socket } = Starter::start(command);
    // It is closed with the hello in it, unread.
    recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK).unwrap();
    drop(socket);
    failed(&child.wait_with_output().unwrap(), 1, &["the starter closed the connection", "length"]);
}

#[test]
fn error_reaches_the_new_socket_though_the_connection_was_reset() {
    let (status, arrived) = reset(&NEVER, b"A='");
    assert_eq!(status, Some(1));
    assert!(message(&arrived).contains("quote"));
}

// Errors before the new socket.

#[test]
fn length_of_the_environment_must_be_positive_and_bounded() {
    for length in [0, -1, i32::MIN, i32::MAX] {
        let message = refused(&NEVER, |starter| {
            starter.socket.write_all(&length.to_ne_bytes()).unwrap();
            starter.socket.write_all(b"A=1\0").unwrap();
            (0..3).for_each(|_| starter.pass(null()));
        });
        assert!(message.contains(&format!("{length} bytes")), "{message}");
    }
}

#[test]
fn environment_must_be_one_string_with_a_final_nul() {
    for text in [&b"A=1"[..], b"A=1\0B=2\0", b"A=1\0\0", b"A"] {
        let message = refused(&NEVER, |starter| {
            starter.socket.write_all(&i32::try_from(text.len()).unwrap().to_ne_bytes()).unwrap();
            starter.socket.write_all(text).unwrap();
            (0..3).for_each(|_| starter.pass(null()));
        });
        assert!(message.contains("NUL"), "{message}");
    }
}

#[test]
fn environment_that_is_not_v2_is_an_error_that_names_the_reason() {
    for (text, reason) in [
        ("A='x", "quote"),
        ("A=1 WORD", "WORD"),
        ("=x", "name"),
        ("''", "'='"),
        ("A=1 '''", "quote"),
    ] {
        let message = refused(&NEVER, |starter| {
            starter.environment(text.as_bytes());
            (0..3).for_each(|_| starter.pass(null()));
        });
        assert!(message.contains("environment") && message.contains(reason), "{text}: {message}");
    }
}

#[test]
fn message_for_a_stream_must_be_a_zero_byte_with_one_descriptor() {
    let (one, two) = (null(), null());
    let both = [one.as_raw_fd(), two.as_raw_fd()];
    let bad: [(&[u8], &[i32]); 3] = [(&[0], &[]), (&[0], &both), (&[1], &both[..1])];
    for (place, stream) in ["input", "output", "error"].into_iter().enumerate() {
        for (bytes, descriptors) in bad {
            let message = refused(&NEVER, |starter| {
                starter.environment(b"A=1");
                (0..place).for_each(|_| starter.pass(null()));
                starter.pass_with(bytes, descriptors);
                (place + 1..3).for_each(|_| starter.pass(null()));
            });
            assert!(
                message.contains("descriptor") && message.contains(stream),
                "{bytes:?} {descriptors:?}: {message}"
            );
        }
    }
}

#[test]
fn message_for_the_new_socket_must_carry_one_descriptor() {
    let directory = directory();
    let mut starter = Starter::start(wrapper(directory.path(), &[], &NEVER));
    starter.hello();
    starter.environment(b"A=1");
    (0..3).for_each(|_| starter.pass(null()));
    starter.pass_with(&[0], &[]);
    let received = message(&read_to_end(&mut starter.socket));
    assert!(received.contains("socket"), "{received}");
    assert_eq!((starter.wait().code(), directory.path().join("ran").exists()), (Some(1), false));
}

#[test]
fn file_that_cannot_be_opened_is_an_error_that_names_it() {
    let cases = [
        (["missing", "-", "-"], "input missing: ENOENT"),
        (["-", "/", "-"], "output /: EISDIR"),
        (["-", "-", "no/err"], "error no/err: ENOENT"),
    ];
    for (streams, words) in cases {
        let all: Vec<_> = streams.into_iter().chain(["/usr/bin/touch", "ran"]).collect();
        let message = refused(&all, |starter| {
            starter.environment(b"A=1");
            (0..2).for_each(|_| starter.pass(null()));
        });
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn message_has_at_most_255_bytes_and_still_names_the_cause() {
    // A NUL, and at most 255 bytes: `message` checks this for every one.
    for part in [&b"directory/"[..], "\u{e9}".as_bytes(), b"\xff", b"\n", b"\x1b"] {
        let long = OsString::from_vec(part.repeat(5000 / part.len()));
        let dash = OsStr::new("-");
        let message = refused(
            &[long.as_os_str(), dash, dash, OsStr::new("/usr/bin/touch"), OsStr::new("ran")],
            |starter| {
                starter.environment(b"A=1");
                (0..2).for_each(|_| starter.pass(null()));
            },
        );
        assert!(
            message.contains("input") && message.contains("ENAMETOOLONG"),
            "{}: {message}",
            part.escape_ascii()
        );
        let message = not_executed(Path::new("/"), &[dash, dash, dash, long.as_os_str()]);
        assert!(
            message.contains("execute") && message.contains("ENAMETOOLONG"),
            "{}: {message}",
            part.escape_ascii()
        );
    }
}

#[test]
fn wrapper_without_a_socket_ends_with_1_and_one_line() {
    let (reader, _writer) = pipe().unwrap();
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    for input in
        [Stdio::null(), Stdio::from(reader), Stdio::from(std::os::fd::OwnedFd::from(datagrams))]
    {
        let directory = directory();
        let output = wrapper(directory.path(), &[], &NEVER)
            .stdin(input)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        failed(&output, 1, &["descriptor 0", "socket"]);
        assert!(!directory.path().join("ran").exists());
    }
}

// The job.

#[test]
fn wrapper_becomes_the_job() {
    let mut starter = started(&["-", "-", "-", "/bin/sh", "-c", "exit 201"]);
    assert_eq!(starter.launch(b"", [&null(), &null(), &null()]), b"");
    assert_eq!(starter.wait().code(), Some(201));
    let running = Running::new(started(&WAITS), b"");
    assert_eq!(running.proc("comm"), b"sh\n", "in the same process");
}

#[test]
fn job_gets_exactly_its_arguments() {
    let extra = [&b""[..], b"--help", b"--", b"-", b"one\ntwo", b"\xff", b" ' \" $A \\ "];
    let words: Vec<OsString> = WAITS
        .iter()
        .map(OsString::from)
        .chain(extra.map(|word| OsString::from_vec(word.to_vec())))
        .collect();
    let running = Running::new(started(&words), b"");
    let expected: Vec<Vec<u8>> = words[3..].iter().map(|word| word.as_bytes().to_vec()).collect();
    assert_eq!(strings(&running.proc("cmdline")), expected);
}

#[test]
fn job_may_have_a_name_and_arguments_that_look_like_options() {
    let directory = directory();
    install("/bin/echo", directory.path().join("--version"));
    let command =
        wrapper(directory.path(), &[], &["-", "-", "-", "--version", "x", "--", "--bogus"]);
    assert_eq!(output(command, b""), b"x -- --bogus\n");
}

#[test]
fn program_is_not_looked_for_in_path() {
    let directory = directory();
    let job = ["-", "-", "-", "echo", "x"];
    assert!(not_executed(directory.path(), &job).contains("echo: ENOENT"));
    install("/bin/echo", directory.path().join("echo"));
    assert_eq!(output(wrapper(directory.path(), &[], &job), b"PATH=/nowhere"), b"x\n");
}

#[test]
fn program_that_cannot_be_executed_is_reported_on_the_new_socket_alone() {
    let directory = directory();
    write(directory.path().join("closed"), "#!/bin/sh\n", 0o644);
    // It is no program: no shell is started for it.
    write(directory.path().join("text"), "touch ran\n", 0o755);
    let cases = [
        ("/missing", "/missing: ENOENT"),
        ("./closed", "./closed: EACCES"),
        ("./text", "./text: ENOEXEC"),
    ];
    for (program, words) in cases {
        let message = not_executed(directory.path(), &["-", "-", "-", program]);
        assert!(message.contains("execute") && message.contains(words), "{message}");
    }
    assert!(!directory.path().join("ran").exists());
}

#[test]
fn job_that_cannot_be_executed_ends_with_1_though_no_process_reads_its_standard_error() {
    let (reader, broken) = pipe().unwrap();
    drop(reader);
    let mut starter = started(&["-", "-", "-", "/missing"]);
    assert!(message(&starter.launch(b"", [&null(), &null(), &broken])).contains("ENOENT"));
    let status = starter.wait();
    assert_eq!((status.code(), status.signal()), (Some(1), None));
}

#[test]
fn job_gets_exactly_the_environment() {
    let sent =
        b"EMPTY= QUOTE='it''s' 'NEWLINE=a\nb' BYTE=\xff DOUBLE=\" EQUALS==a=b 'BLANK NAME=x' \
        $$(MACRO)\r\n\tLAST=$A\\";
    let expected = [
        &b"EMPTY="[..],
        b"QUOTE=it's",
        b"NEWLINE=a\nb",
        b"BYTE=\xff",
        b"DOUBLE=\"",
        b"EQUALS==a=b",
        b"BLANK NAME=x",
        b"$$(MACRO)",
        b"LAST=$A\\",
    ];
    assert_eq!(environment_from(sent), expected);
}

#[test]
fn environment_may_be_large() {
    let entries: Vec<Vec<u8>> =
        (b'A'..=b'D').map(|name| [&[name, b'='][..], &[name].repeat(100_000)].concat()).collect();
    assert_eq!(environment_from(&entries.join(&b' ')), entries);
}

#[test]
fn last_of_two_equal_names_wins() {
    assert_eq!(environment_from(b"A=1 B=2 A=3"), [b"A=3", b"B=2"]);
}

#[test]
fn starter_overrides_what_the_switcher_gave() {
    let mut command = wrapper(Path::new("/"), &[], &WAITS);
    command.env("GIVEN", "kept").env("BOTH", "switcher");
    let mut environment =
        Running::new(Starter::start(command), b"BOTH=starter SENT=x").environment();
    environment.sort();
    assert_eq!(
        environment,
        [&b"BOTH=starter"[..], b"GIVEN=kept", b"PATH=/usr/bin:/bin", b"SENT=x"]
    );
}

#[test]
fn private_variables_of_the_starter_are_dropped() {
    let mut command = wrapper(Path::new("/"), &[], &WAITS);
    command.env("CONDOR_PRIVATE_GIVEN", "secret");
    let sent =
        b"CONDOR_PRIVATE_SENT=secret CONDOR_PRIVATE_= CONDOR_PRIVATE=no _CONDOR_PRIVATE_X=no";
    let environment = Running::new(Starter::start(command), sent).environment();
    assert_eq!(
        environment,
        [&b"PATH=/usr/bin:/bin"[..], b"CONDOR_PRIVATE=no", b"_CONDOR_PRIVATE_X=no"]
    );
}

#[test]
fn family_mark_comes_last_and_is_not_the_starters() {
    let mut command = wrapper(Path::new("/"), &[], &WAITS);
    command.env("_GLEXEC_HELPERS_FAMILY", "true");
    let environment =
        Running::new(Starter::start(command), b"_GLEXEC_HELPERS_FAMILY=false Z=1").environment();
    assert_eq!(environment, [&b"PATH=/usr/bin:/bin"[..], b"Z=1", b"_GLEXEC_HELPERS_FAMILY=true"]);
}

#[test]
fn job_starts_with_descriptors_0_1_and_2_only() {
    let before = ["/bin/sh", "-c", "exec \"$@\" 5</dev/null 9>/dev/null", "sh"];
    let running = Running::new(Starter::start(wrapper(Path::new("/"), &before, &WAITS)), b"");
    let listing = fs::read_dir(format!("/proc/{}/fd", running.starter.child.id())).unwrap();
    let mut open: Vec<_> = listing.map(|entry| entry.unwrap().file_name()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
}

#[test]
fn new_socket_ends_when_the_job_is_executed_though_it_runs_on() {
    let mut running = Running::new(started(&WAITS), b"");
    assert_eq!(running.starter.child.try_wait().unwrap(), None);
}

#[test]
fn job_starts_with_default_signals_and_an_empty_mask() {
    let before =
        ["/usr/bin/env", "--ignore-signal=PIPE,INT,CHLD,40", "--block-signal=TERM,USR1,41", "--"];
    let running = Running::new(Starter::start(wrapper(Path::new("/"), &before, &WAITS)), b"");
    let status = String::from_utf8(running.proc("status")).unwrap();
    for name in ["SigBlk", "SigIgn"] {
        assert!(status.contains(&format!("{name}:\t0000000000000000\n")), "{status}");
    }
}

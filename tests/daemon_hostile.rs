//! A hostile client of the account daemon: what it sends costs no other client anything, and gives
//! it nothing. Root is the client here, which the daemon knows as any other.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, setsockopt,
    socket,
};
use nix::sys::stat::Mode;
use support::daemon::{ACCOUNTS, Daemon, SOCKET, processes_of};
use support::wait_until;
use wire::daemon::{Answer, Change, MAX_ANSWER, Request, Run, length};

/// A machine on which root is a client, too.
fn machine() -> Daemon {
    let daemon = Daemon::with_guests(2, "");
    daemon.write_private("/etc/glexec/clients", "gh-batch\nroot\n");
    daemon
}

fn connect(daemon: &Daemon) -> UnixStream {
    let connection = UnixStream::connect(daemon.machine.path(SOCKET)).unwrap();
    connection.set_read_timeout(Some(support::TIMEOUT)).unwrap();
    connection
}

/// Sends bytes with descriptors. The daemon may have closed its end.
fn send(connection: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) {
    let numbers: Vec<_> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &control[..0] } else { &control[..] };
    let _ = sendmsg::<()>(
        connection.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    );
}

/// The next answer, unless the connection ends.
fn answer(mut connection: &UnixStream) -> Option<Answer> {
    let mut field = [0; 4];
    connection.read_exact(&mut field).ok()?;
    let mut frame = vec![0; length(field, MAX_ANSWER).unwrap()];
    connection.read_exact(&mut frame).unwrap();
    Some(Answer::decode(&frame).unwrap())
}

/// The answers until the end of the connection.
fn answers(connection: &UnixStream) -> Vec<Answer> {
    std::iter::from_fn(|| answer(connection)).collect()
}

/// The status of a refusal, which is the last answer.
fn refusal(answers: &[Answer]) -> (u8, String) {
    match answers.last() {
        Some(Answer::Refused { status, text }) => (*status, text.clone()),
        _ => panic!("it is not refused: {answers:?}"),
    }
}

fn run(command: &[&str]) -> Request {
    Request::Run(Run {
        command: command.iter().map(Into::into).collect(),
        world: Vec::new(),
        environment: vec![("GLEXEC_CLIENT_CERT".into(), "the credential".into())],
        umask: 0o022,
        has_proxy: false,
        lingers: false,
    })
}

/// A credential of root's.
fn credential(daemon: &Daemon) -> OwnedFd {
    let path = daemon.machine.site.scratch().join("of-root");
    support::write(&path, "x", 0o600);
    File::open(path).unwrap().into()
}

fn open(path: &str) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// The descriptors of a request that is served.
fn good(daemon: &Daemon) -> Vec<OwnedFd> {
    let null = || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
    vec![null(), null(), null(), open("/"), credential(daemon)]
}

/// Another client is served, at once.
fn serves_others(daemon: &Daemon) {
    let user = daemon.says("id -u").parse().unwrap();
    assert!([1, 2].map(|number| daemon.guest(number).uid).contains(&user), "{user}");
}

#[test]
fn a_request_with_good_descriptors_is_served() {
    let daemon = machine();
    serves_others(&daemon);
    let connection = connect(&daemon);
    send(&connection, &run(&["/bin/sh", "-c", "exit 7"]).encode(), &good(&daemon));
    let answers = answers(&connection);
    let [Answer::Working, Answer::Started { user, .. }, Answer::Ended(end)] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!((user.as_raw(), end.status()), (daemon.guest(2).uid, 7));
}

/// A client cannot leave its limits and its nice value behind by asking for another process.
#[test]
fn a_request_is_refused_when_the_process_that_has_connected_is_not_there_any_more() {
    let daemon = machine();
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let connection = UnixStream::from(socket.unwrap());
    connection.set_read_timeout(Some(support::TIMEOUT)).unwrap();
    let address = UnixAddr::new(&daemon.machine.path(SOCKET)).unwrap();
    let number = connection.as_raw_fd();
    let mut child = daemon.root("/bin/true");
    // SAFETY: makes one system call.
    unsafe { child.pre_exec(move || Ok(nix::sys::socket::connect(number, &address)?)) };
    assert!(child.status().unwrap().success());
    send(&connection, &run(&["/bin/true"]).encode(), &good(&daemon));
    let (status, text) = refusal(&answers(&connection));
    assert!(status == 201 && text.contains("process that has connected"), "{status} {text}");
    serves_others(&daemon);
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let daemon = machine();
    let valid = run(&["/bin/true"]).encode();
    let mut frames: Vec<Vec<u8>> = vec![
        vec![0, 0, 0, 0],
        vec![1, 0, 0, 0, 1],
        vec![255, 255, 255, 255],
        [&(2_u32 << 20).to_le_bytes()[..], &[1, 0]].concat(),
        [&2_u32.to_le_bytes()[..], &[1, 99]].concat(),
        // A list whose length is longer than the frame.
        [&10_u32.to_le_bytes()[..], &[1, 0, 18, 0, 0, 0, 0, 0, 255, 255]].concat(),
        // A signal without a payload.
        [&4_u32.to_le_bytes()[..], &[1, 64, 9, 0]].concat(),
    ];
    for at in 4..valid.len() {
        let mut changed = valid.clone();
        changed[at] ^= 0x80;
        frames.push(changed);
    }
    let mut refused = 0;
    for frame in frames {
        let connection = connect(&daemon);
        send(&connection, &frame, &[]);
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let (status, text) = refusal(&answers(&connection));
        assert!((201..=202).contains(&status), "{frame:?}: {status} {text}");
        refused += 1;
    }
    assert!(refused > 50);
    serves_others(&daemon);
}

#[test]
fn another_version_of_the_protocol_is_told() {
    let daemon = machine();
    let connection = connect(&daemon);
    send(&connection, &[&2_u32.to_le_bytes()[..], &[9, 0]].concat(), &[]);
    let (status, text) = refusal(&answers(&connection));
    assert!(status == 202 && text.contains("version"), "{status} {text}");
}

#[test]
fn descriptors_that_do_not_fit_are_refused() {
    let daemon = machine();
    let (fifo, _writer) = nix::unistd::pipe().unwrap();
    let memory = memfd_create(c"credential", MFdFlags::MFD_CLOEXEC).unwrap();
    let o_path = |path: &str| nix::fcntl::open(path, OFlag::O_PATH, Mode::empty()).unwrap();
    let shadow = open("/etc/shadow");
    let scratch = daemon.machine.site.scratch().to_owned();
    let of_root = scratch.join("of-root");
    let _ = credential(&daemon);
    let write_only = OwnedFd::from(File::options().write(true).open(&of_root).unwrap());
    let others = daemon.credential("others");
    let others = OwnedFd::from(File::open(others).unwrap());
    for (what, bad) in [
        ("a pipe", fifo),
        ("memory without a file", memory),
        ("O_PATH", o_path(of_root.to_str().unwrap())),
        ("a directory", open("/")),
        ("a device", open("/dev/zero")),
        ("a file that is open to write only", write_only),
        ("a file of another user", others),
        ("a file that a group can read", shadow),
    ] {
        let connection = connect(&daemon);
        let mut descriptors = good(&daemon);
        *descriptors.last_mut().unwrap() = bad;
        send(&connection, &run(&["/bin/true"]).encode(), &descriptors);
        let (status, text) = refusal(&answers(&connection));
        assert_eq!(status, 201, "{what}: {text}");
    }
    // The working directory is none.
    let connection = connect(&daemon);
    let mut descriptors = good(&daemon);
    descriptors[3] = open("/etc/passwd");
    send(&connection, &run(&["/bin/true"]).encode(), &descriptors);
    assert_eq!(refusal(&answers(&connection)).0, 201);
    // Too few and too many of them.
    for count in [0, 4, 6, 100] {
        let connection = connect(&daemon);
        let descriptors: Vec<_> = (0..count).map(|_| open("/dev/null")).collect();
        send(&connection, &run(&["/bin/true"]).encode(), &descriptors);
        assert_eq!(refusal(&answers(&connection)).0, 201, "{count}");
    }
    serves_others(&daemon);
}

#[test]
fn a_directory_that_only_root_may_enter_is_not_entered_by_its_descriptor() {
    let daemon = machine();
    let closed = daemon.machine.site.scratch().join("closed");
    std::fs::create_dir(&closed).unwrap();
    support::handover::set_mode(&closed, 0o700);
    let connection = connect(&daemon);
    let mut descriptors = good(&daemon);
    descriptors[3] = File::open(&closed).unwrap().into();
    send(&connection, &run(&["/bin/true"]).encode(), &descriptors);
    let (status, text) = refusal(&answers(&connection));
    assert!(status == 201 && text.contains("cannot enter"), "{status} {text}");
}

#[test]
fn a_thousand_idle_clients_and_slow_ones_delay_no_other() {
    let daemon = machine();
    let mut idle: Vec<_> = (0..1000).map(|_| connect(&daemon)).collect();
    // Half of a length, and half of a request.
    let slow = (connect(&daemon), connect(&daemon));
    send(&slow.0, &[9, 0], &[]);
    send(&slow.1, &run(&["/bin/true"]).encode()[..20], &good(&daemon));
    serves_others(&daemon);
    // One client does not take the places of all. Each place is a descriptor of the daemon's.
    let places = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    assert!(places < 400, "{places}");
    // They are given up after a time, without an answer or with a refusal.
    let last = idle.pop().unwrap();
    assert_eq!(answers(&last), []);
    assert_eq!(refusal(&answers(&slow.0)).0, 201);
    assert_eq!(refusal(&answers(&slow.1)).0, 201);
}

#[test]
fn a_client_with_too_many_connections_is_told_so_and_others_are_served() {
    let mut daemon = machine();
    daemon.stop();
    daemon.machine.configure("mapping = caller\nmin_uid = 900\nmin_gid = 900\nclient_limit = 5\n");
    daemon.start();
    // The connection with which the test has seen that the daemon listens may count for a moment.
    let held: Vec<_> = (0..5).map(|_| connect(&daemon)).collect();
    wait_until("the daemon has accepted them", || {
        let connection = connect(&daemon);
        connection.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut field = [0; 4];
        (&connection).read_exact(&mut field).is_ok()
    });
    serves_others(&daemon);
    drop(held);
    wait_until("a connection is free again", || {
        let connection = connect(&daemon);
        send(&connection, &run(&["/bin/true"]).encode(), &good(&daemon));
        matches!(answers(&connection).last(), Some(Answer::Ended(_)))
    });
}

#[test]
fn bytes_after_the_request_that_are_no_signal_end_the_payload() {
    let daemon = machine();
    let connection = connect(&daemon);
    send(&connection, &run(&["/bin/sleep", "1000"]).encode(), &good(&daemon));
    send(&connection, &[2, 0, 0, 0, 1, 7], &[]);
    // The connection is over: there is no answer.
    let answers = answers(&connection);
    let Some(Answer::Started { user, .. }) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(processes_of(user.as_raw()), [0; 0]);
}

#[test]
fn a_client_that_floods_its_payload_with_signals_ends_it_by_a_frame_as_ever() {
    let daemon = machine();
    let connection = connect(&daemon);
    let script = "trap '' USR1; exec sleep 1000";
    send(&connection, &run(&["/bin/sh", "-c", script]).encode(), &good(&daemon));
    assert_eq!(answer(&connection), Some(Answer::Working));
    assert!(matches!(answer(&connection), Some(Answer::Started { .. })));
    // More than the socket's queue has room for, which is some hundreds. A few that cost the daemon
    // more: it looks for all processes of the payload.
    for number in 0..2000 {
        let number = if number % 50 == 0 { libc::SIGCONT } else { libc::SIGUSR1 };
        let signal = wire::daemon::Signal { number, to_group: false };
        send(&connection, &signal.encode(), &[]);
    }
    let kill = wire::daemon::Signal { number: libc::SIGKILL, to_group: false };
    send(&connection, &kill.encode(), &[]);
    let answers = answers(&connection);
    assert!(
        matches!(answers.last(), Some(Answer::Ended(end)) if end.status() == 137),
        "{answers:?}"
    );
    serves_others(&daemon);
}

/// A connection whose close waits for its other end, which reads nothing (SO_LINGER, socket(7)).
fn lingering(listener: &TcpListener) -> OwnedFd {
    let mut connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    connection.set_nonblocking(true).unwrap();
    while connection.write(&[0; 65_536]).is_ok() {}
    let linger = libc::linger { l_onoff: 1, l_linger: 3600 };
    setsockopt(&connection, Linger, &linger).unwrap();
    connection.set_nonblocking(false).unwrap();
    connection.into()
}

#[test]
fn descriptors_whose_close_waits_delay_no_other_client_however_many_connections_have_them() {
    let mut daemon = machine();
    daemon.stop();
    daemon.machine.configure("mapping = caller\nmin_uid = 900\nmin_gid = 900\nclient_limit = 1\n");
    daemon.start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // All of them are there before the daemon accepts the first: so most are over the limit.
    support::daemon::kill(daemon.pid(), libc::SIGSTOP);
    let connections: Vec<_> = (0..40).map(|_| connect(&daemon)).collect();
    for connection in &connections[30..] {
        send(connection, &[0], &[lingering(&listener)]);
    }
    support::daemon::kill(daemon.pid(), libc::SIGCONT);
    serves_others(&daemon);
}

#[test]
fn connections_for_which_no_process_can_be_started_are_served_later() {
    let mut daemon = machine();
    daemon.stop();
    let trace = daemon.machine.site.scratch().join("trace");
    let trace = trace.to_str().unwrap();
    let fault = "--inject=clone:error=EAGAIN:when=1..12";
    daemon.start_under(&["strace", "-D", "-o", trace, "-e", "trace=clone", fault]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connections: Vec<_> = (0..3).map(|_| connect(&daemon)).collect();
    for connection in &connections {
        send(connection, &[0], &[lingering(&listener)]);
    }
    serves_others(&daemon);
    let trace = std::fs::read_to_string(trace).unwrap();
    assert_eq!(trace.matches("(INJECTED)").count(), 12, "{trace}");
}

/// A call of root's that waits for the lock of its proxy after the begin of its lease of guest01.
/// The call goes on when the lock is dropped.
fn waiting_call(daemon: &Daemon) -> (UnixStream, nix::fcntl::Flock<File>) {
    let path = daemon.machine.site.scratch().join("proxy");
    support::write(&path, "x", 0o600);
    let proxy = File::open(&path).unwrap();
    let writer = nix::fcntl::Flock::lock(
        File::open(&path).unwrap(),
        nix::fcntl::FlockArg::LockExclusiveNonblock,
    );
    let Request::Run(plain) = run(&["/bin/sleep", "1000"]) else { unreachable!() };
    let mut environment = plain.environment.clone();
    environment.push(("GLEXEC_SOURCE_PROXY".into(), "the proxy".into()));
    let request = Request::Run(Run { has_proxy: true, environment, ..plain });
    let connection = connect(daemon);
    let mut descriptors = good(daemon);
    descriptors.push(proxy.into());
    send(&connection, &request.encode(), &descriptors);
    let lease = daemon.machine.path(ACCOUNTS).join("guest01/lease.0");
    wait_until("the lease has begun", || lease.exists());
    (connection, writer.unwrap())
}

#[test]
fn a_call_that_a_file_of_its_client_holds_ends_when_its_guest_account_is_released() {
    let daemon = machine();
    let (connection, _writer) = waiting_call(&daemon);
    let mut release = daemon.root(support::program("glexec_accounts"));
    let released = release.args(["release", "guest01"]).output().unwrap();
    let said = String::from_utf8_lossy(&released.stdout).into_owned();
    assert_eq!(said, "guest01: 1 leases, 0 payloads ended\n", "{}", support::messages(&released));
    assert_eq!(daemon.files_of("guest01"), ["use"]);
    assert_eq!(answers(&connection), [Answer::Working]);
}

#[test]
fn a_call_that_a_file_of_its_client_holds_ends_when_its_account_with_an_owner_is_released() {
    let daemon = machine();
    daemon.write_private("/etc/glexec/accounts", "guest01 root\n");
    let (connection, _writer) = waiting_call(&daemon);
    let mut release = daemon.root(support::program("glexec_accounts"));
    let released = release.args(["release", "guest01"]).output().unwrap();
    let said = String::from_utf8_lossy(&released.stdout).into_owned();
    assert_eq!(said, "guest01: 1 leases, 0 payloads ended\n", "{}", support::messages(&released));
    assert_eq!(answers(&connection), [Answer::Working]);
    assert_eq!(daemon.files_of("guest01"), ["use"]);
}

#[test]
fn connections_of_before_a_restart_count() {
    let mut daemon = machine();
    daemon.machine.configure("mapping = caller\nmin_uid = 900\nmin_gid = 900\nclient_limit = 2\n");
    let begun: Vec<_> = (0..2)
        .map(|_| {
            let connection = connect(&daemon);
            send(&connection, &run(&["/bin/sleep", "1000"]).encode(), &good(&daemon));
            assert_eq!(answer(&connection), Some(Answer::Working));
            assert!(matches!(answer(&connection), Some(Answer::Started { .. })));
            connection
        })
        .collect();
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        daemon.signal(signal);
        daemon.start();
        let third = connect(&daemon);
        let (status, why) = refusal(&answers(&third));
        assert!(status == 202 && why.contains("client_limit"), "{status}: {why}");
        serves_others(&daemon);
    }
    drop(begun);
    wait_until("both are over, and do not count any more", || {
        let connection = connect(&daemon);
        send(&connection, &run(&["/bin/true"]).encode(), &good(&daemon));
        matches!(answers(&connection).last(), Some(Answer::Ended(_)))
    });
}

#[test]
#[ignore = "takes long: 20 seconds"]
fn a_payload_whose_supervisor_does_not_end_it_is_ended_by_a_release() {
    let daemon = machine();
    let connection = connect(&daemon);
    send(&connection, &run(&["/bin/sh", "-c", "sleep 1000"]).encode(), &good(&daemon));
    assert_eq!(answer(&connection), Some(Answer::Working));
    let Some(Answer::Started { pid, .. }) = answer(&connection) else { panic!("it has not") };
    let supervisor = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let supervisor = supervisor.split(' ').nth(3).unwrap().parse().unwrap();
    support::daemon::kill(supervisor, libc::SIGSTOP);
    let mut release = daemon.root(support::program("glexec_accounts"));
    let released = release.args(["release", "guest01"]).output().unwrap();
    let said = String::from_utf8_lossy(&released.stdout).into_owned();
    assert_eq!(said, "guest01: 1 leases, 1 payloads ended\n", "{}", support::messages(&released));
    assert_eq!(processes_of(daemon.guest(1).uid), [0; 0]);
}

#[test]
fn a_call_whose_lease_its_client_ends_before_the_payload_runs_nothing() {
    let daemon = machine();
    daemon.write_private("/etc/glexec/accounts", "guest01 root\n");
    let (connection, writer) = waiting_call(&daemon);
    let other = connect(&daemon);
    send(&other, &Request::Release.encode(), &[credential(&daemon)]);
    let said = answers(&other);
    assert!(
        matches!(said.last(), Some(Answer::Text(text)) if text.contains("\"leases\":1")),
        "{said:?}"
    );
    drop(writer);
    let (status, text) = refusal(&answers(&connection));
    assert!(status == 202 && text.contains("has ended"), "{status} {text}");
}

#[test]
fn a_change_of_owner_takes_directories_alone_and_as_many_as_its_options_name() {
    let daemon = machine();
    let scratch = daemon.machine.site.scratch();
    let fifo = scratch.join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let fifo = || OwnedFd::from(File::options().read(true).write(true).open(&fifo).unwrap());
    let top = scratch.join("top");
    let options = |words: &[&str]| {
        let words = words.iter().map(|word| word.replace("TOP", top.to_str().unwrap()).into());
        words.collect::<Vec<_>>()
    };
    let directory = || open("/");
    let cases: [(&[&str], Vec<OwnedFd>, &str); 7] = [
        (&["give", "TOP"], vec![credential(&daemon)], "ENOTDIR"),
        (&["give", "TOP"], vec![fifo()], "ENOTDIR"),
        (&["give", "TOP", "to", "TOPS"], vec![directory(), fifo()], "ENOTDIR"),
        (&["give", "TOP", "to", "TOPS"], vec![directory()], "no valid change of owner"),
        (&["give", "TOP"], vec![directory(), directory()], "no valid change of owner"),
        (&["give", "/.."], vec![directory()], "absolute path of a directory"),
        (&["hand-over", "TOP"], vec![directory()], "no valid change of owner"),
    ];
    for (words, directories, why) in cases {
        let request = Request::Owner(Change {
            options: options(words),
            environment: Vec::new(),
            directories: directories.len().try_into().unwrap(),
        });
        let mut descriptors = good(&daemon);
        descriptors.remove(3);
        descriptors.extend(directories);
        let connection = connect(&daemon);
        send(&connection, &request.encode(), &descriptors);
        let (status, text) = refusal(&answers(&connection));
        assert!(status == 201 && text.contains(why), "{words:?}: {status} {text}");
    }
    serves_others(&daemon);
}

#[test]
fn a_client_that_connects_as_its_subordinate_users_leaves_no_file_for_each() {
    let mut daemon = machine();
    let script = "use Socket; \
        for my $user (1 .. 20) { \
            fork and next; \
            $< = $> = $user; \
            socket(my $socket, AF_UNIX, SOCK_STREAM, 0); \
            connect($socket, pack_sockaddr_un(shift)) or die $!; \
            syswrite($socket, q(xxxxxxxx)); \
            sysread($socket, my $answer, 10); \
            exit 0; \
        } \
        while (wait > 0) { exit 1 if $? }";
    let mut client = daemon.machine.command(support::Account::batch(), "unshare");
    client.args(["--user", "--map-root-user", "--map-auto", "--", "perl", "-e", script, SOCKET]);
    let output = client.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let count = |daemon: &Daemon| {
        let directory = daemon.machine.path("/run/glexec/connections");
        std::fs::read_dir(directory).map_or(0, Iterator::count)
    };
    // Looked for when the daemon starts, and then every few seconds. Root has connected since then.
    daemon.stop();
    assert!(count(&daemon) >= 20);
    daemon.start();
    wait_until("the files are gone", || count(&daemon) <= 1);
}

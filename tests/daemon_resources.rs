//! The account daemon on a machine that lacks something for a time: room on a disk, descriptors, or
//! processes. Each call says so by 202 and what to do, the daemon lives on, and no lease is lost or
//! doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use support::daemon::{ACCOUNTS, Daemon, SOCKET, kill};
use support::handover::set_mode;
use support::setuid::ends;
use support::{failed, messages, wait_until};

/// Runs a shell script of root's there.
fn as_root(daemon: &Daemon, script: &str) {
    let output = daemon.root("sh").args(["-euc", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", messages(&output));
}

/// Makes a file that takes all the room of a small file system.
fn fill(daemon: &Daemon, mount: &str) {
    as_root(
        daemon,
        &format!(
            "mount -o remount,size=1m {mount}
             ! dd if=/dev/zero of={mount}/all bs=4k 2>/dev/null
             ! dd if=/dev/zero of={mount}/rest bs=1 2>/dev/null"
        ),
    );
}

/// The account that a payload of a credential has.
fn account(daemon: &Daemon, credential: &Path) -> String {
    let output = daemon.script(credential, "id -un").output().unwrap();
    assert!(output.status.success(), "{}", messages(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Fails unless a call gets status 202, with these words.
fn refused(daemon: &Daemon, credential: &Path, words: &[&str]) {
    let output = daemon.script(credential, "id -un").output().unwrap();
    failed(&output, 202, words);
}

#[test]
fn with_a_full_disk_a_call_gets_202_and_no_lease_is_lost_or_doubled() {
    let daemon = Daemon::with_guests(3, "");
    let [first, over, second] = ["first", "over", "second"].map(|name| daemon.credential(name));
    let mut call = daemon.script(&first, "echo ready; read line; exit 7");
    let mut running = call.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(account(&daemon, &over), "guest02");
    let lease = daemon.lease("guest01").unwrap();
    fill(&daemon, "/run/glexec");
    let room = ["cannot ", "/run/glexec/accounts/", "ENOSPC", "an administrator can make room"];
    refused(&daemon, &second, &room);
    refused(&daemon, &first, &room);
    // What runs goes on, and its status arrives.
    running.stdin.take().unwrap().write_all(b"x\n").unwrap();
    assert_eq!(ends(&mut running).code(), Some(7));
    fs::remove_file(&over).unwrap();
    refused(&daemon, &second, &room);
    as_root(&daemon, "rm /run/glexec/all /run/glexec/rest");
    let users = [&first, &second].map(|credential| account(&daemon, credential));
    assert_eq!((users[0].as_str(), daemon.lease("guest01").unwrap()), ("guest01", lease));
    assert_ne!(users[0], users[1]);
    for name in ["guest01", "guest02", "guest03"] {
        let files = daemon.files_of(name);
        assert!(!files.iter().any(|file| file == "quarantine" || file == "new"), "{files:?}");
    }
}

#[test]
fn a_full_disk_of_the_audit_costs_no_call_and_the_system_log_has_what_it_lacks() {
    let daemon = Daemon::new();
    daemon.says("true");
    let _ = daemon.machine.logged();
    as_root(&daemon, "rm /var/log/glexec/accounts.jsonl");
    fill(&daemon, "/var/log");
    daemon.says("exit 0");
    let logged = daemon.machine.logged();
    for words in ["payload_started", "payload_ended", "the audit is not complete"] {
        assert!(logged.iter().any(|line| line.contains(words)), "{words}: {logged:?}");
    }
    as_root(&daemon, "rm /var/log/all /var/log/rest");
    daemon.says("echo again");
    let audit = fs::read_to_string(daemon.machine.path("/var/log/glexec/accounts.jsonl")).unwrap();
    assert!(audit.lines().last().unwrap().contains("payload_ended"), "{audit}");
}

#[test]
fn idle_clients_that_have_taken_all_descriptors_make_place_for_others() {
    let daemon = Daemon::new();
    daemon.write_private("/etc/glexec/clients", "gh-batch\nroot\n");
    daemon.says("true");
    as_root(&daemon, &format!("prlimit --pid {} --nofile=40:40", daemon.pid()));
    let connect = || UnixStream::connect(daemon.machine.path(SOCKET)).unwrap();
    let idle: Vec<_> = (0..100).map(|_| connect()).collect();
    let open = format!("/proc/{}/fd", daemon.pid());
    wait_until("no descriptor is left", || fs::read_dir(&open).unwrap().count() >= 39);
    for _ in 0..3 {
        daemon.says("true");
    }
    drop(idle);
    daemon.says("true");
    wait_until("the descriptors are closed", || fs::read_dir(&open).unwrap().count() < 20);
}

#[test]
fn without_processes_a_call_gets_202_and_no_lease_is_lost_or_doubled() {
    let mut daemon = Daemon::with_guests(2, "");
    let [first, second, third] = ["first", "second", "third"].map(|name| daemon.credential(name));
    assert_eq!(account(&daemon, &first), "guest01");
    let lease = daemon.lease("guest01").unwrap();
    daemon.stop();
    // The daemon tries its first ones again. So each process that serves a call starts none.
    let trace = daemon.machine.site.scratch().join("trace");
    let fault = "inject=clone,clone3,fork,vfork:error=EAGAIN:when=1..9";
    let trace = trace.to_str().unwrap();
    // A signal ends this strace, and the daemon goes on (-I2).
    daemon.start_under(&["strace", "-D", "-I2", "-f", "-o", trace, "-e", fault]);
    refused(&daemon, &first, &["EAGAIN", "try again"]);
    refused(&daemon, &second, &["guest02", "EAGAIN", "try again"]);
    assert_eq!((daemon.lease("guest01"), daemon.lease("guest02")), (Some(lease), None));
    fs::remove_file(&first).unwrap();
    refused(&daemon, &third, &["EAGAIN", "try again"]);
    // Without strace the same daemon has what it lacked.
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:\t")).unwrap();
    kill(tracer.parse().unwrap(), libc::SIGTERM);
    wait_until("the daemon is not traced", || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        status.contains("TracerPid:\t0\n")
    });
    let users: BTreeSet<_> =
        [&second, &third].map(|credential| account(&daemon, credential)).into();
    assert_eq!(users.len(), 2, "{users:?}");
}

#[test]
fn a_call_that_was_given_up_before_the_daemon_served_it_runs_nothing() {
    let daemon = Daemon::new();
    let ran = daemon.machine.site.scratch().join("ran");
    fs::create_dir(&ran).unwrap();
    set_mode(&ran, 0o777);
    let script = format!("touch {}/$0", ran.display());
    kill(daemon.pid(), libc::SIGSTOP);
    for lingers in [false, true] {
        let mut call = daemon.script(&daemon.machine.credential(), &script);
        if lingers {
            call.env("GLEXEC_LINGER", "1");
        }
        let mut child = call.arg("given-up").spawn().unwrap();
        let receives = format!("{} ", libc::SYS_recvfrom);
        let path = format!("/proc/{}/syscall", child.id());
        wait_until("the client has sent its request", || {
            fs::read_to_string(&path).unwrap().starts_with(&receives)
        });
        kill(child.id(), libc::SIGKILL);
        child.wait().unwrap();
    }
    kill(daemon.pid(), libc::SIGCONT);
    let served = daemon.script(&daemon.machine.credential(), &script).arg("served").status();
    assert!(served.unwrap().success());
    // The daemon has served the others before: it has no process of theirs any more.
    let pid = daemon.pid();
    wait_until("the others are over", || {
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().is_empty()
    });
    assert!(ran.join("served").exists() && !ran.join("given-up").exists());
    let payloads = daemon.machine.path(ACCOUNTS).join("guest01/payloads");
    assert_eq!(fs::read_dir(payloads).unwrap().count(), 0);
}

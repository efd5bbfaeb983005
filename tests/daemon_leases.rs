//! Leases of the account daemon under load and after kills: no account has two leases at a time,
//! and none is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::daemon::{ACCOUNTS, Daemon, SOCKET, processes_of};
use support::handover::set_mode;
use support::setuid::ends;
use support::{Account, messages, program, wait_until};

/// What a payload of a guest does: it takes a name that no other payload of its user can have
/// meanwhile, looks for secrets of others, and leaves one.
const GUEST: &str = "\
    mkdir \"$1/$(id -u)\" || { echo 'two payloads have one account'; exit 1; }
    found=$(find /tmp /dev/shm -maxdepth 1 -name \"secret-$2.*\" -readable 2>/dev/null)
    [ -z \"$found\" ] || { echo \"it can read $found\"; exit 1; }
    umask 077
    echo x >\"/tmp/secret-$2.$$\"
    echo x >\"/dev/shm/secret-$2.$$\"
    setsid sleep 1000 &
    rmdir \"$1/$(id -u)\"";

/// So many clients get so many leases of so many accounts, all of them one after the other.
fn contend(clients: usize, accounts: u32, leases: usize) {
    let daemon = Daemon::with_guests(accounts, "lease_wait = 3600\n");
    let held = daemon.machine.site.scratch().join("held");
    fs::create_dir(&held).unwrap();
    set_mode(&held, 0o1777);
    // The commands are made here: what a machine holds is for one thread.
    let calls: Vec<_> = (0..leases)
        .map(|number| {
            let credential = daemon.credential(&format!("lease{number}"));
            let mut call = daemon.script(&credential, GUEST);
            call.arg("sh").arg(&held).arg(daemon.pid().to_string());
            Mutex::new((credential, call))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let client = || {
        let mut failures = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = calls.get(number) else { return failures };
            let (credential, call) = &mut *call.lock().unwrap();
            let output = call.output().unwrap();
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                failures.push(format!("{number}: {said}{}", messages(&output)));
            }
            fs::remove_file(credential).unwrap();
        }
    };
    let failures = std::thread::scope(|scope| {
        let all: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        all.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{} of {leases} leases: {:?}", failures.len(), failures.first());
    let users = (1..=accounts).map(|number| daemon.guest(number).uid);
    wait_until("no process and no lease is left", || {
        users.clone().all(|user| processes_of(user).is_empty())
            && (1..=accounts).all(|number| daemon.lease(&format!("guest{number:02}")).is_none())
    });
}

#[test]
fn clients_that_contend_for_accounts_never_share_one() {
    contend(12, 4, 60);
}

#[test]
#[ignore = "takes long: 2000 leases"]
fn a_hundred_clients_get_two_thousand_leases_of_twenty_accounts() {
    contend(100, 20, 2000);
}

/// The calls that change something which another process can see.
const CHANGES: [&str; 12] = [
    "mkdir",
    "rename",
    "unlink",
    "rmdir",
    "flock",
    "write",
    "ftruncate",
    "sendto",
    "clone",
    "execve",
    "setresuid",
    "kill",
];

#[test]
#[ignore = "takes long: it kills the daemon and its processes at each changing call"]
fn after_a_kill_at_any_changing_call_no_lease_is_lost_or_doubled() {
    // A call waits while the daemon itself cleans the account after the lease before.
    let mut daemon = Daemon::with_guests(1, "lease_wait = 60\n");
    let mut kills = 0;
    for call in CHANGES {
        for number in 1.. {
            if !kill_at(&mut daemon, call, number) {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 30, "{kills}");
}

/// That the audit has the beginning of each lease before all else of it, and its end; the end of
/// each payload; and this lease, as its file names it. No lease and no payload is left.
fn audit_is_whole(daemon: &Daemon, lease: Option<&str>, at: &str) {
    let (mut begun, mut open) = (BTreeSet::new(), BTreeSet::new());
    let mut payloads = BTreeSet::new();
    for line in daemon.audit() {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let (event, lease, payload) = (text("event"), text("lease"), text("payload"));
        match event.as_str() {
            "lease_begun" if begun.insert(lease.clone()) => drop(open.insert(lease)),
            // Told again.
            "lease_begun" => assert!(open.contains(&lease), "{at}: {line}"),
            "lease_ended" => {
                assert!(begun.contains(&lease), "{at}: {line}");
                open.remove(&lease);
            }
            "payload_started" => {
                assert!(open.contains(&lease), "{at}: {line}");
                payloads.insert(payload);
            }
            "payload_ended" | "payload_lost" => drop(payloads.remove(&payload)),
            _ => {}
        }
    }
    assert!(open.is_empty() && payloads.is_empty(), "{at}: {open:?} {payloads:?}");
    if let Some(lease) = lease.and_then(|line| line.strip_prefix("lease ")) {
        assert!(begun.contains(lease), "{at}: {lease}");
    }
}

#[test]
fn after_a_kill_around_the_begin_of_a_lease_the_audit_tells_the_truth() {
    let mut daemon = Daemon::with_guests(1, "lease_wait = 60\n");
    // The file of the lease, its line for the system log, and that the file notes the line.
    let moments = [("rename", 1..=3), ("sendto", 1..=3)];
    for (call, number) in moments.into_iter().flat_map(|(call, all)| all.map(move |at| (call, at)))
    {
        assert!(kill_at(&mut daemon, call, number), "{call} {number}");
    }
}

/// Makes a call of `glexec` through a daemon of which each process is killed at its `number`th call
/// of this kind, and then two with another daemon. Whether a process was killed.
fn kill_at(daemon: &mut Daemon, call: &str, number: u32) -> bool {
    let at = format!("{call} {number}");
    let trace = daemon.machine.site.scratch().join("trace");
    daemon.stop_if_it_runs();
    daemon.start_under(&[
        "strace",
        "-D",
        "-f",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        &format!("trace={call}"),
        &format!("--inject={call}:signal=SIGKILL:when={number}"),
    ]);
    let (first, second) = (daemon.credential("first"), daemon.credential("second"));
    // What is left of it does not hold the output of the call.
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo x >/tmp/left-$$";
    let _ = daemon.script(&first, script).output().unwrap();
    daemon.stop_if_it_runs();
    let begun = daemon.lease("guest01");
    // A process that a killed daemon has begun may listen there for a moment longer: what is seen
    // to listen must be the next one.
    let _ = fs::remove_file(daemon.machine.path(SOCKET));
    daemon.start();
    let again = daemon.script(&first, "true").output().unwrap();
    assert!(again.status.success(), "{at}: {}", messages(&again));
    fs::remove_file(&first).unwrap();
    let script = "find /tmp -maxdepth 1 -name 'left-*' -user $(id -u)";
    let other = daemon.script(&second, script).output().unwrap();
    assert!(other.status.success(), "{at}: {}", messages(&other));
    assert!(other.stdout.is_empty(), "{at}: {}", String::from_utf8_lossy(&other.stdout));
    let released = daemon.glexec().env("GLEXEC_CLIENT_CERT", &second).arg("--release").output();
    let released = released.unwrap();
    assert!(released.status.success(), "{at}: {}", messages(&released));
    assert_eq!(processes_of(daemon.guest(1).uid), [0; 0], "{at}");
    assert_eq!(daemon.lease("guest01"), None, "{at}");
    audit_is_whole(daemon, begun.as_deref(), &at);
    // A call without a result: what the daemon itself has killed made none of this kind.
    fs::read_to_string(&trace).unwrap_or_default().lines().any(|line| line.ends_with("= ?"))
}

/// Starts a payload that runs a script, and kills the process above it once `is_due`. The client
/// knows then that the payload has started: a signal of the client's has reached it.
fn kill_supervisor(daemon: &Daemon, credential: &Path, script: &str, is_due: impl Fn() -> bool) {
    let script = format!(
        "trap go=1 USR1; echo $PPID; while [ -z \"$go\" ]; do sleep 0.01; done; echo; {script}"
    );
    let mut call = daemon.script(credential, &script);
    let mut child = call.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let supervisor = lines.next().unwrap().unwrap().parse().unwrap();
    support::daemon::kill(child.id(), libc::SIGUSR1);
    assert_eq!(lines.next().unwrap().unwrap(), "");
    wait_until("the payload does what it has to", is_due);
    support::daemon::kill(supervisor, libc::SIGKILL);
    assert_eq!(ends(&mut child).code(), Some(137));
}

#[test]
fn a_payload_without_its_supervisor_is_ended() {
    let daemon = Daemon::new();
    let credential = daemon.credential("credential");
    kill_supervisor(&daemon, &credential, "setsid sleep 1000 & sleep 1001", || true);
    // What it has started ends with the lease.
    fs::remove_file(&credential).unwrap();
    let other = daemon.script(&daemon.credential("other"), "true").output().unwrap();
    assert!(other.status.success(), "{}", messages(&other));
    assert_eq!(processes_of(daemon.guest(1).uid), [0; 0]);
}

#[test]
fn after_a_restart_of_the_machine_an_account_is_cleaned_before_its_first_lease() {
    let mut daemon = Daemon::new();
    let left = daemon.says("f=/var/tmp/left-$(id -u); mkdir -m 700 $f && echo x >$f/x && echo $f");
    assert!(std::path::Path::new(&left).exists());
    // /run is empty then, and /var/tmp is as it was.
    daemon.stop();
    fs::remove_dir_all(daemon.machine.path(ACCOUNTS)).unwrap();
    daemon.start();
    let other = daemon.credential("other");
    let output = daemon.script(&other, &format!("test ! -e {left}")).output().unwrap();
    assert!(output.status.success(), "{}", messages(&output));
    assert_eq!(
        daemon.files_of("guest01"),
        [format!("lease.{}", Account::batch().uid), "payloads".into(), "use".into()]
    );
}

#[test]
fn an_account_that_a_guest_has_is_no_owners_before_it_is_clean() {
    let daemon = Daemon::new();
    daemon.says("true");
    daemon.write_private("/etc/glexec/accounts", "guest01 gh-batch\n");
    let refused = daemon.runs("true");
    assert_eq!(refused.status.code(), Some(202));
    assert!(messages(&refused).contains("glexec_accounts release guest01"));
}

#[test]
fn processes_of_a_guest_that_stop_all_others_of_their_user_end_with_the_lease() {
    let daemon = Daemon::new();
    let credential = daemon.credential("credential");
    let stop = "while :; do kill -s STOP -- -1; done";
    let script = format!("setsid setsid sh -c '{stop}' & sleep 1000");
    kill_supervisor(&daemon, &credential, &script, || {
        let uid = daemon.guest(1).uid;
        processes_of(uid).into_iter().any(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.contains("\nState:\tT")
        })
    });
    fs::remove_file(&credential).unwrap();
    let other = daemon.script(&daemon.credential("other"), "true").output().unwrap();
    assert!(other.status.success(), "{}", messages(&other));
    assert_eq!(processes_of(daemon.guest(1).uid), [0; 0]);
}

#[test]
fn processes_of_a_guest_whose_account_was_deleted_end_with_the_lease() {
    let daemon = Daemon::new();
    let credential = daemon.credential("credential");
    let uid = daemon.guest(1).uid;
    let sleeps = || processes_of(uid).len() > 1;
    kill_supervisor(&daemon, &credential, "setsid sleep 1000 & sleep 1001", sleeps);
    assert!(!processes_of(uid).is_empty());
    let passwd = fs::read_to_string(daemon.machine.path("/etc/passwd")).unwrap();
    let others = passwd.lines().filter(|line| !line.starts_with("guest01:"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    let release = || {
        let mut release = daemon.root(program("glexec_accounts"));
        let output = release.args(["release", "guest01"]).output().unwrap();
        (output.status.code(), messages(&output))
    };
    // An account that has the id now may have processes of its own: none is ended.
    daemon.machine.write("/etc/passwd", format!("{others}new:x:{uid}:{uid}::/:/bin/sh\n"));
    let (code, said) = release();
    assert!(code != Some(0) && said.contains("another account's now"), "{code:?} {said}");
    assert!(!processes_of(uid).is_empty());
    daemon.machine.write("/etc/passwd", &others);
    let (code, said) = release();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(processes_of(uid), [0; 0]);
    assert_eq!(daemon.files_of("guest01"), ["use"]);
}

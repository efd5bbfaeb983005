//! Leases of the account daemon under load and after kills: no account has two leases at a time,
//! and none is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use support::daemon::{ACCOUNTS, Daemon, SOCKET, processes_of};
use support::handover::set_mode;
use support::setuid::ends;
use support::{Account, is_long, messages, moments, program, wait_until};

/// What a payload of a guest does: it takes a name that no other payload of its user can have
/// meanwhile, looks for secrets and processes of others, and leaves some.
const GUEST: &str = "\
    mkdir \"$1/$(id -u)\" || { echo 'two payloads have one account'; exit 1; }
    found=$(find /tmp /dev/shm -maxdepth 1 -name \"secret-$2.*\" -readable 2>/dev/null)
    [ -z \"$found\" ] || { echo \"it can read $found\"; exit 1; }
    for process in $(pgrep -x sleep); do
        ! kill -0 \"$process\" 2>/dev/null || { echo \"it can signal $process\"; exit 1; }
    done
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
#[ignore = "takes long: 10,000 leases"]
fn a_hundred_clients_get_ten_thousand_leases_of_twenty_accounts() {
    contend(100, 20, 10_000);
}

#[test]
fn the_audit_of_a_run_tells_what_really_ran() {
    let daemon = Daemon::with_guests(3, "lease_wait = 3600\n");
    // Process id, user, and how it ended.
    let calls: Vec<_> = (0..24)
        .map(|number| {
            let credential = daemon.credential(&format!("lease{number}"));
            let (end, how) = match number % 3 {
                0 => ("kill -TERM $$".to_owned(), "killed 15".to_owned()),
                _ => (format!("exit {number}"), format!("exited {number}")),
            };
            let call = daemon.script(&credential, &format!("echo $$ $(id -u); {end}"));
            (credential, Mutex::new(call), how)
        })
        .collect();
    let ran = |(credential, call, how): &(PathBuf, Mutex<Command>, String)| {
        let output = call.lock().unwrap().output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        fs::remove_file(credential).unwrap();
        format!("{} {how}", said.trim())
    };
    let mut ran: Vec<String> = std::thread::scope(|scope| {
        let clients = calls.chunks(4).map(|own| {
            let client = move || own.iter().map(ran).collect::<Vec<_>>();
            scope.spawn(client)
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let release = daemon.root(program("glexec_accounts")).args(["release", "--all"]).output();
    assert!(release.as_ref().unwrap().status.success(), "{release:?}");
    let audit = daemon.audit();
    let of = |event: &str| {
        let event = event.to_owned();
        audit.iter().filter(move |line| line["event"] == event)
    };
    let mut told: Vec<String> = of("payload_started")
        .map(|started| {
            let is_its = |ended: &&Value| ended["payload"] == started["payload"];
            let mut ended = of("payload_ended").filter(is_its);
            let end = ended.next().unwrap()["end"].as_str().unwrap();
            assert_eq!(ended.next(), None);
            format!("{} {} {end}", started["payload_pid"], started["uid"])
        })
        .collect();
    ran.sort();
    told.sort();
    assert_eq!(told, ran);
    // Each account has one lease after the other, with a payload in each.
    for account in ["guest01", "guest02", "guest03"] {
        let own: Vec<_> = audit.iter().filter(|line| line["account"] == account).collect();
        for lease in own.chunks(4) {
            let events: Vec<_> = lease.iter().map(|line| line["event"].as_str().unwrap()).collect();
            assert_eq!(events, ["lease_begun", "payload_started", "payload_ended", "lease_ended"]);
            assert!(lease.iter().all(|line| line["lease"] == lease[0]["lease"]), "{lease:?}");
        }
    }
    assert_eq!(of("lease_begun").count(), 24);
}

/// The calls that change something which another process can see.
const CHANGES: [&str; 16] = [
    "openat",
    "mkdir",
    "rename",
    "unlink",
    "unlinkat",
    "rmdir",
    "flock",
    "write",
    "ftruncate",
    "utimensat",
    "sendto",
    "clone",
    "execve",
    "setresuid",
    "kill",
    "pidfd_send_signal",
];

#[test]
fn after_a_kill_at_any_changing_call_no_lease_is_lost_or_doubled() {
    // A call waits until the process of the one before has ended.
    let mut daemon = Daemon::with_guests(1, "lease_wait = 60\n");
    let trace = daemon.machine.site.scratch().join("trace");
    leave(&daemon);
    serve_under(&mut daemon, &[&format!("trace={}", CHANGES.join(","))]);
    let most = most_calls(&fs::read_to_string(&trace).unwrap());
    serve_again(&mut daemon, "without a kill");
    let all: Vec<_> = most
        .iter()
        .flat_map(|(call, most)| (1..=*most).map(move |number| (call, number)))
        .collect();
    assert!(all.len() > 100, "{most:?}");
    let is_tried = moments(all.len() / 6, "kills of the daemon");
    let mut kills = 0;
    for (_, (call, number)) in all.iter().enumerate().filter(|(index, _)| is_tried(*index)) {
        kills += u32::from(kill_at(&mut daemon, call, *number));
    }
    let least = if is_long() { 100 } else { 1 };
    assert!(kills >= least, "{kills} kills at {} calls", all.len());
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
    // The files of leases and payloads, and the lines for the system log.
    let moments = [("rename", 1..=3), ("sendto", 1..=5)];
    let mut kills = 0;
    for (call, number) in moments.into_iter().flat_map(|(call, all)| all.map(move |at| (call, at)))
    {
        kills += u32::from(kill_at(&mut daemon, call, number));
    }
    assert!(kills >= 6, "{kills}");
}

/// Makes a call of `glexec` through a daemon of which each process is killed at its `number`th call
/// of this kind, and then two with another daemon. Whether a process was killed.
fn kill_at(daemon: &mut Daemon, call: &str, number: usize) -> bool {
    let at = format!("{call} {number}");
    leave(daemon);
    let kill = format!("inject={call}:signal=SIGKILL:when={number}");
    serve_under(daemon, &[&format!("trace={call}"), &kill]);
    let begun = daemon.lease("guest01");
    let trace = daemon.machine.site.scratch().join("trace");
    // Not each process has made as many calls this time: some wait, or look once more.
    let seen = fs::read_to_string(trace).unwrap_or_default();
    serve_again(daemon, &at);
    audit_is_whole(daemon, begun.as_deref(), &at);
    most_calls(&seen).get(call).is_some_and(|most| *most >= number)
}

/// How often the process that makes the most calls of a kind makes it.
fn most_calls(trace: &str) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let mut words = line.split_whitespace();
        if let (Some(pid), Some((call, _))) = (words.next(), words.next().and_then(begins)) {
            *counts.entry((pid, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in counts {
        let found: &mut usize = most.entry(call.to_owned()).or_default();
        *found = (*found).max(count);
    }
    most
}

/// The name and the rest of a word of strace that begins a call.
fn begins(word: &str) -> Option<(&str, &str)> {
    word.split_once('(').filter(|(call, _)| CHANGES.contains(call))
}

/// What a payload leaves that is not ended or removed before the end of its lease, if the process
/// above it is killed. It keeps no stream of its client's open.
fn leaving(name: &str) -> String {
    format!("setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo x >/tmp/left-{name}-$(id -u)")
}

/// Makes a lease whose credential is gone, and which has left something.
fn leave(daemon: &Daemon) {
    let before = daemon.credential("before");
    let output = daemon.script(&before, &leaving("before")).output().unwrap();
    assert!(output.status.success(), "{}", messages(&output));
    fs::remove_file(&before).unwrap();
}

/// Makes a call of `glexec` through a daemon below strace. It ends the lease of before, and begins
/// one.
fn serve_under(daemon: &mut Daemon, expressions: &[&str]) {
    let trace = daemon.machine.site.scratch().join("trace");
    daemon.stop_if_it_runs();
    let mut words = vec!["strace", "-D", "-f", "-o", trace.to_str().unwrap()];
    for expression in expressions {
        words.extend(["-e", expression]);
    }
    daemon.start_under(&words);
    let first = daemon.credential("first");
    let _ = daemon.script(&first, &leaving("first")).output().unwrap();
    daemon.stop_if_it_runs();
}

/// Makes the same call through another daemon, and one with another credential, which finds nothing
/// of those before.
fn serve_again(daemon: &mut Daemon, after: &str) {
    let (first, second) = (daemon.credential("first"), daemon.credential("second"));
    // A process that a killed daemon has begun may listen there for a moment longer: what is seen
    // to listen must be the next one.
    let _ = fs::remove_file(daemon.machine.path(SOCKET));
    daemon.start();
    let finds = |credential: &Path, name: &str| {
        let script = format!("find /tmp -maxdepth 1 -name \"left-{name}-$(id -u)\"");
        let output = daemon.script(credential, &script).output().unwrap();
        assert!(output.status.success(), "{after}: {}", messages(&output));
        assert!(output.stdout.is_empty(), "{after}: {}", String::from_utf8_lossy(&output.stdout));
    };
    finds(&first, "before");
    fs::remove_file(&first).unwrap();
    finds(&second, "*");
    let released = daemon.glexec().env("GLEXEC_CLIENT_CERT", &second).arg("--release").output();
    let released = released.unwrap();
    assert!(released.status.success(), "{after}: {}", messages(&released));
    assert_eq!(processes_of(daemon.guest(1).uid), [0; 0], "{after}");
    assert_eq!(daemon.files_of("guest01"), ["use"], "{after}");
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

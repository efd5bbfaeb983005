//! `glexec` as the client of the account daemon: what a call does, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Instant;

use support::daemon::{Daemon, SOCKET, kill, processes_of};
use support::doors;
use support::handover::set_mode;
use support::setuid::{LIBEXEC, ends};
use support::{Account, messages, own, wait_until, write};

/// Status, standard output and standard error.
fn text_of(output: &Output) -> (Option<i32>, String, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text, messages(output))
}

#[test]
fn the_payload_has_the_ids_of_the_leased_account_and_no_capability() {
    let daemon = Daemon::new();
    doors::payloads_run_as(&daemon.machine, daemon.guest(1));
}

#[test]
fn the_status_is_the_payloads_or_tells_by_which_signal_it_ended() {
    doors::statuses_are_the_payloads(&Daemon::new().machine);
}

#[test]
fn a_caller_that_asks_for_it_sees_the_payloads_own_end() {
    doors::a_call_ends_as_its_payload(&Daemon::new().machine);
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_one_that_does_not_exist_127() {
    let daemon = Daemon::new();
    for (word, status, why) in [
        ("/etc/passwd", 126, "no user may execute it"),
        ("/nonexistent/x", 127, "/nonexistent/x"),
        ("nonexistent", 127, "there is no such program"),
    ] {
        let output = daemon.glexec().arg(word).output().unwrap();
        let (code, _, said) = text_of(&output);
        assert!(code == Some(status) && said.contains(why), "{word}: {code:?} {said}");
    }
}

#[test]
fn the_payload_has_its_clients_streams_directory_umask_limits_and_nice_value() {
    let daemon = Daemon::new();
    let directory = daemon.machine.site.scratch().join("directory");
    fs::create_dir(&directory).unwrap();
    set_mode(&directory, 0o755);
    let input = directory.join("input");
    write(&input, "from the input\n", 0o644);
    let script = "ulimit -S -n 512; ulimit -S -c 4; umask 027; cd \"$1\" && \
                  exec nice -n 5 \"$GLEXEC\" /bin/sh -c \
                  'cat; pwd; umask; ulimit -n; ulimit -c; nice; echo bad >&2'";
    let mut shell = daemon.machine.shell(script);
    shell.arg("sh").arg(&directory).stdin(File::open(&input).unwrap());
    let output = shell.output().unwrap();
    let (code, said, errors) = text_of(&output);
    let expected = format!("from the input\n{}\n0027\n512\n4\n5\n", directory.display());
    assert_eq!((code, said, errors), (Some(0), expected, "bad\n".to_owned()));
}

/// What a payload says of the settings that its process has inherited.
const SETTINGS: &str = "nice; cat /proc/self/oom_score_adj /proc/self/coredump_filter \
                        /proc/self/timerslack_ns; taskset -p $$ | sed 's/.*: //'; ionice; \
                        chrt -p $$ | sed -n 's/.*policy: //p'";

/// Words that make a process unlike others: less nice, on one processor, first at the disk; and
/// protected, where root may do that (CAP_SYS_RESOURCE).
const UNLIKE: &str = "{ echo -500 >/proc/self/oom_score_adj; } 2>/dev/null; \
                      echo 0x7 >/proc/self/coredump_filter; \
                      exec taskset 1 ionice -c 1 -n 2 nice -n -5 \"$@\"";

#[test]
fn the_payload_is_scheduled_as_its_client_is_and_not_as_the_daemon() {
    let mut daemon = Daemon::new();
    daemon.stop();
    daemon.start_under(&["sh", "-c", UNLIKE, "sh"]);
    let plain = |command: &mut std::process::Command| {
        let output = command.args(["/bin/sh", "-c", SETTINGS]).output().unwrap();
        assert_eq!(messages(&output), "");
        String::from_utf8(output.stdout).unwrap()
    };
    // Those of a process that no daemon has started.
    let job = daemon.guest(1);
    let expected = plain(&mut daemon.machine.command(job, "env"));
    assert_eq!(plain(&mut daemon.glexec()), expected);
    // The client's own; what only root may set is not given.
    let mut client = daemon.machine.shell(
        "echo 300 >/proc/self/oom_score_adj; echo 0x13 >/proc/self/coredump_filter; \
         exec taskset 2 ionice -c 2 -n 7 chrt -b 0 nice -n 5 \"$GLEXEC\" \"$@\"",
    );
    let found = plain(client.arg("sh"));
    let expected =
        ["5", "300", "00000013", "50000", "2", "best-effort: prio 7", "SCHED_BATCH", ""].join("\n");
    assert_eq!(found, expected);
}

#[test]
fn nothing_that_only_root_may_set_comes_from_a_client() {
    let daemon = Daemon::new();
    let mut client = daemon.root("sh");
    let uid = Account::batch().uid;
    client.args(["-c", UNLIKE, "sh", "chrt", "-f", "1", "setpriv"]);
    client.args([&format!("--reuid={uid}"), "--regid", &format!("{}", Account::batch().gid)]);
    client.args(["--clear-groups", &format!("{LIBEXEC}/glexec"), "/bin/sh", "-c", SETTINGS]);
    client.env("GLEXEC_CLIENT_CERT", daemon.machine.credential());
    let (code, said, errors) = text_of(&client.output().unwrap());
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("0"), "{said}");
    assert_eq!(lines.next(), Some("0"), "{said}");
    assert!(said.ends_with("SCHED_OTHER\n") && !said.contains("realtime"), "{said}");
}

#[test]
fn the_environment_is_the_accounts_with_glexecs_variables_of_the_client() {
    let daemon = Daemon::with_guests(1, "preserve_env_variables = KEPT\n");
    let mut call = daemon.glexec();
    call.env("GLEXEC_ENV", "e").env("KEPT", "k").env("LOST", "l").env("LD_PRELOAD", "/x");
    let output = call.args(["/usr/bin/env"]).output().unwrap();
    let (_, said, _) = text_of(&output);
    for line in ["GLEXEC_ENV=e", "KEPT=k", "USER=guest01", "LOGNAME=guest01"] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    assert!(!said.contains("LOST") && !said.contains("LD_PRELOAD"), "{said}");
}

#[test]
fn it_works_under_no_new_privs() {
    let daemon = Daemon::new();
    let mut call = daemon.machine.command(Account::batch(), "setpriv");
    call.env("GLEXEC_CLIENT_CERT", daemon.machine.credential());
    call.args(["--no-new-privs", "/mnt/libexec/glexec", "/usr/bin/id", "-un"]);
    let output = call.output().unwrap();
    assert_eq!(text_of(&output), (Some(0), "guest01\n".to_owned(), String::new()));
}

#[test]
fn a_user_that_is_not_listed_gets_203() {
    let daemon = Daemon::new();
    let other = Account::other();
    let credential = daemon.machine.site.scratch().join("others");
    write(&credential, "x\n", 0o600);
    own(&credential, other);
    let batch = Account::batch().gid;
    for (groups, why) in [(&[][..], "may not connect"), (&[batch][..], "/etc/glexec/clients")] {
        let glexec = Path::new(LIBEXEC).join("glexec");
        let mut call = daemon.machine.command_with_groups(other, groups, glexec);
        call.env("GLEXEC_CLIENT_CERT", &credential).arg("/usr/bin/id");
        let (code, _, said) = text_of(&call.output().unwrap());
        assert!(code == Some(203) && said.contains(why), "{groups:?}: {code:?} {said}");
    }
}

#[test]
fn a_credential_must_be_the_clients_own_and_private() {
    let daemon = Daemon::new();
    let credential = daemon.credential("shared");
    set_mode(&credential, 0o644);
    let (code, _, said) = text_of(&daemon.script(&credential, "true").output().unwrap());
    assert!(code == Some(201) && said.contains("accessible to group"), "{code:?} {said}");
    let (code, _, said) =
        text_of(&daemon.script(Path::new("/nonexistent"), "true").output().unwrap());
    assert!(code == Some(201) && said.contains("/nonexistent"), "{code:?} {said}");
}

#[test]
fn a_proxy_is_copied_for_the_payload() {
    let daemon = Daemon::new();
    let mut call = daemon.glexec();
    call.env("GLEXEC_SOURCE_PROXY", daemon.machine.credential());
    let script = "stat -c %a:%U \"$X509_USER_PROXY\"; cat \"$X509_USER_PROXY\"";
    let output = call.args(["/bin/sh", "-c", script]).output().unwrap();
    let expected = "600:guest01\na token\n".to_owned();
    assert_eq!(text_of(&output), (Some(0), expected, String::new()));
}

#[test]
fn signals_of_the_client_reach_the_payload() {
    let daemon = Daemon::new();
    let script = "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done";
    let mut call = daemon.script(&daemon.machine.credential(), script);
    let mut child = call.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill(child.id(), libc::SIGUSR1);
    assert_eq!(lines.next().unwrap().unwrap(), "got");
    assert_eq!(ends(&mut child).code(), Some(5));
}

#[test]
fn the_end_of_the_client_ends_all_that_the_payload_has_started() {
    let daemon = Daemon::new();
    let script = "setsid sleep 1001 & sleep 1002 & echo ready; sleep 1003";
    let mut call = daemon.script(&daemon.machine.credential(), script);
    let mut child = call.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!processes_of(daemon.guest(1).uid).is_empty());
    kill(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    wait_until("no process is left", || processes_of(daemon.guest(1).uid).is_empty());
}

#[test]
fn what_a_payload_has_started_ends_with_it_whatever_the_configuration_says() {
    let daemon = Daemon::with_guests(1, "end_family = no\ndoor = daemon\n");
    let log = daemon.machine.logged();
    let why = "end_family = no has no effect here: what a payload has started always ends with it";
    assert!(log.iter().any(|line| line.contains(why)), "{log:#?}");
    assert!(daemon.runs("setsid sleep 1000 &").status.success());
    assert!(processes_of(daemon.guest(1).uid).is_empty());
    let output = daemon.glexec().arg("--check-config").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("end_family: no effect: with door = daemon"), "{said}");
}

#[test]
fn a_payload_that_lingers_goes_on_without_its_client() {
    let daemon = Daemon::new();
    let done = daemon.machine.site.scratch().join("done");
    write(&done, "", 0o666);
    set_mode(&done, 0o666);
    let script = format!("echo ready; read line; echo over >{}", done.display());
    let mut call = daemon.script(&daemon.machine.credential(), &script);
    let (reader, writer) = nix::unistd::pipe().unwrap();
    call.env("GLEXEC_LINGER", "1").stdin(reader).stdout(Stdio::piped());
    let mut child = call.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    kill(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    let mut writer = File::from(writer);
    writer.write_all(b"go\n").unwrap();
    wait_until("the payload goes on", || fs::read_to_string(&done).unwrap() == "over\n");
}

#[test]
fn payloads_go_on_when_the_daemon_is_killed_and_their_status_arrives() {
    let mut daemon = Daemon::with_guests(10, "");
    let mut calls: Vec<_> = (0..10)
        .map(|number| {
            let credential = daemon.credential(&format!("c{number}"));
            let script = format!("echo ready; read line; exit {number}");
            let mut call = daemon.script(&credential, &script);
            let mut child = call.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            child
        })
        .collect();
    daemon.signal(libc::SIGKILL);
    // The first half ends without a daemon, the other half beside a new one.
    for (number, child) in calls.iter_mut().enumerate() {
        if number == 5 {
            daemon.start();
        }
        child.stdin.take().unwrap().write_all(b"x\n").unwrap();
        assert_eq!(ends(child).code(), Some(i32::try_from(number).unwrap()));
    }
    // The leases are as before.
    let credential = daemon.machine.site.scratch().join("c3");
    let before = daemon.lease("guest04").unwrap();
    let output = daemon.script(&credential, "id -un").output().unwrap();
    assert_eq!(text_of(&output).1, "guest04\n");
    assert_eq!(daemon.lease("guest04").unwrap(), before);
}

#[test]
fn a_credential_keeps_its_account_and_no_two_have_one() {
    let daemon = Daemon::with_guests(3, "");
    let credentials: Vec<_> = (0..3).map(|at| daemon.credential(&format!("c{at}"))).collect();
    let user = |credential: &Path| {
        text_of(&daemon.script(credential, "id -un").output().unwrap()).1.trim().to_owned()
    };
    let first: Vec<_> = credentials.iter().map(|credential| user(credential)).collect();
    let mut different = first.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 3, "{first:?}");
    let second: Vec<_> = credentials.iter().map(|credential| user(credential)).collect();
    assert_eq!(first, second);
    let fourth = daemon.credential("c4");
    let (code, _, said) = text_of(&daemon.script(&fourth, "true").output().unwrap());
    assert!(code == Some(202) && said.contains("no guest account is free"), "{code:?} {said}");
    // The lease of a credential that is gone ends, and the account is used again.
    fs::remove_file(&credentials[1]).unwrap();
    assert_eq!(user(&fourth), first[1]);
}

#[test]
fn an_account_is_clean_before_it_has_another_lease() {
    let daemon = Daemon::with_guests(1, "");
    let (first, second) = (daemon.credential("first"), daemon.credential("second"));
    let files = ["/tmp", "/var/tmp", "/dev/shm"].map(|at| format!("{at}/left-{}", daemon.pid()));
    let script = format!(
        "for at in {}; do mkdir -p $at/deep && echo secret >$at/deep/file; chmod 0 $at/deep; done; \
         ipcmk -M 64 >/dev/null",
        files.join(" ")
    );
    assert_eq!(text_of(&daemon.script(&first, &script).output().unwrap()).0, Some(0));
    let list = format!("ls -d {} 2>/dev/null; ipcs -m | grep -c guest01", files.join(" "));
    let (_, before, _) = text_of(&daemon.script(&first, &list).output().unwrap());
    assert_eq!(before.lines().count(), 4, "{before}");
    fs::remove_file(&first).unwrap();
    let (code, after, said) = text_of(&daemon.script(&second, &list).output().unwrap());
    assert_eq!((after.as_str(), said.as_str()), ("0\n", ""), "{code:?}");
}

#[test]
fn an_account_that_cannot_be_cleaned_is_not_leased_again() {
    let daemon = Daemon::with_guests(1, "");
    let (first, second) = (daemon.credential("first"), daemon.credential("second"));
    let left = format!("/var/tmp/left-{}", daemon.pid());
    let output = daemon.script(&first, &format!("mkdir {left}")).output().unwrap();
    assert_eq!(text_of(&output).0, Some(0));
    // Another user's file in it: the account cannot remove that directory's content.
    let inner = daemon.machine.path(&left).join("others");
    fs::create_dir(&inner).unwrap();
    write(inner.join("file"), "", 0o600);
    fs::remove_file(&first).unwrap();
    let output = daemon.script(&second, "true").output().unwrap();
    fs::remove_dir_all(daemon.machine.path(&left)).unwrap();
    let (code, _, said) = text_of(&output);
    assert!(code == Some(202) && said.contains("no guest account is free"), "{code:?} {said}");
    assert!(daemon.files_of("guest01").contains(&"quarantine".to_owned()));
}

#[test]
fn an_owner_has_his_account_for_all_credentials_and_nothing_of_his_is_touched() {
    let daemon = Daemon::with("guest01 gh-batch\nguest02\n", "");
    let mut own = daemon.guest(1).command("sleep").arg("1000").spawn().unwrap();
    let file = format!("/tmp/own-{}", daemon.pid());
    let credentials = [daemon.credential("a"), daemon.credential("b")];
    for credential in &credentials {
        let script = format!("echo x >>{file}; id -un; setsid sleep 1001 &");
        let output = daemon.script(credential, &script).output().unwrap();
        assert_eq!(text_of(&output).1, "guest01\n");
    }
    for credential in &credentials {
        fs::remove_file(credential).unwrap();
    }
    assert_eq!(own.try_wait().unwrap(), None);
    let (_, said, _) = text_of(
        &daemon
            .script(&daemon.credential("c"), &format!("cat {file}; rm {file}"))
            .output()
            .unwrap(),
    );
    assert_eq!(said, "x\nx\n");
    // What the payloads have started is ended.
    assert_eq!(processes_of(daemon.guest(1).uid), [own.id()]);
    own.kill().unwrap();
    own.wait().unwrap();
}

#[test]
fn calls_that_wait_get_a_guest_account_in_the_order_in_which_they_came() {
    let daemon = Daemon::with_guests(1, "lease_wait = 60\n");
    let holder = daemon.credential("holder");
    assert_eq!(text_of(&daemon.script(&holder, "true").output().unwrap()).0, Some(0));
    let order = daemon.machine.site.scratch().join("order");
    write(&order, "", 0o666);
    set_mode(&order, 0o666);
    let mut waiting = Vec::new();
    for number in 0..4 {
        let credential = daemon.credential(&format!("w{number}"));
        // Removes its own credential, and so ends its lease.
        let script = format!("echo {number} >>{}", order.display());
        let mut shell =
            daemon.machine.shell("\"$GLEXEC\" /bin/sh -c \"$1\"; rm \"$GLEXEC_CLIENT_CERT\"");
        shell.env("GLEXEC_CLIENT_CERT", &credential).args(["sh", &script]);
        waiting.push(shell.spawn().unwrap());
        let queue = daemon.machine.path("/run/glexec/queue");
        wait_until("it waits", || {
            fs::read_dir(&queue).is_ok_and(|entries| entries.count() == number + 1)
        });
    }
    fs::remove_file(&holder).unwrap();
    for child in &mut waiting {
        assert_eq!(ends(child).code(), Some(0));
    }
    assert_eq!(fs::read_to_string(&order).unwrap(), "0\n1\n2\n3\n");
}

#[test]
fn no_new_lease_begins_while_the_accounts_are_drained() {
    let daemon = Daemon::with_guests(2, "");
    let (first, second) = (daemon.credential("first"), daemon.credential("second"));
    assert_eq!(text_of(&daemon.script(&first, "true").output().unwrap()).0, Some(0));
    daemon.machine.write("/run/glexec/drain", "");
    assert_eq!(text_of(&daemon.script(&first, "true").output().unwrap()).0, Some(0));
    let (code, _, said) = text_of(&daemon.script(&second, "true").output().unwrap());
    assert!(code == Some(202) && said.contains("drain"), "{code:?} {said}");
}

#[test]
fn a_daemon_that_is_not_there_is_told_by_202_and_auto_takes_another_way() {
    let mut daemon = Daemon::with_guests(1, "door = daemon\n");
    daemon.signal(libc::SIGKILL);
    let (code, _, said) = text_of(&daemon.runs("true"));
    assert!(code == Some(202) && said.contains("systemctl status glexecd"), "{code:?} {said}");
    daemon.machine.configure("door = auto\nmapping = caller\n");
    fs::remove_file(daemon.machine.path(SOCKET)).unwrap();
    let ids = daemon.says("id -u");
    assert!(support::SUBORDINATE.contains(&ids.parse().unwrap()), "{ids}");
}

#[test]
fn fifty_payloads_run_at_once() {
    let daemon = Daemon::with_guests(50, "");
    let mut calls: Vec<_> = (0..50)
        .map(|number| {
            let credential = daemon.credential(&format!("c{number}"));
            let mut call = daemon.script(&credential, "id -u; read line");
            call.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut users = BTreeSet::new();
    for child in &mut calls {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(users.insert(line.trim().parse::<u32>().unwrap()), "{line}");
    }
    assert_eq!(users.len(), 50);
    for child in &mut calls {
        drop(child.stdin.take());
        ends(child);
    }
}

#[test]
fn a_client_sees_and_ends_its_payloads_and_its_lease() {
    let daemon = Daemon::with_guests(2, "");
    let (first, second) = (daemon.credential("first"), daemon.credential("second"));
    let mut children = [&first, &second].map(|credential| {
        let mut call = daemon.script(credential, "echo ready; exec sleep 1000");
        let mut child = call.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        child
    });
    let ask = |option: &str| {
        let mut call = daemon.glexec();
        let output = call.env("GLEXEC_CLIENT_CERT", &first).arg(option).output().unwrap();
        assert_eq!(text_of(&output).0, Some(0), "{}", messages(&output));
        text_of(&output).1
    };
    let status = ask("--status");
    assert_eq!(status.matches("\"is_running\":true").count(), 2, "{status}");
    assert!(status.contains("\"account\":\"guest01\""), "{status}");
    assert_eq!(ask("--end-payloads"), "{\"payloads\":1}\n");
    assert_eq!(ends(&mut children[0]).code(), Some(137));
    assert_eq!(children[1].try_wait().unwrap(), None);
    assert!(daemon.lease("guest01").is_some());
    assert_eq!(ask("--release"), "{\"leases\":1,\"payloads\":0}\n");
    assert_eq!((daemon.lease("guest01"), daemon.lease("guest02").is_some()), (None, true));
    kill(children[1].id(), libc::SIGTERM);
    assert_eq!(ends(&mut children[1]).code(), Some(143));
}

#[test]
#[ignore = "takes long: 1,000 payloads at the same time"]
fn a_thousand_payloads_are_ended_by_one_call() {
    const COUNT: usize = 1000;
    let daemon = Daemon::with_guests(1, "client_limit = 2000\n");
    let mut children: Vec<_> = (0..COUNT)
        .map(|_| {
            let mut call = daemon.script(&daemon.machine.credential(), "exec sleep 10000");
            call.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    wait_until("all payloads run", || processes_of(daemon.guest(1).uid).len() == COUNT);
    let begun = Instant::now();
    let output = daemon.glexec().arg("--end-payloads").output().unwrap();
    println!("{COUNT} payloads were ended in {:.2?}", begun.elapsed());
    assert_eq!(text_of(&output).1, format!("{{\"payloads\":{COUNT}}}\n"), "{output:?}");
    for child in &mut children {
        // By SIGTERM, or by SIGKILL if that took too long.
        assert!(matches!(ends(child).code(), Some(137 | 143)));
    }
    assert_eq!(processes_of(daemon.guest(1).uid), [0; 0]);
}

#[test]
fn a_payload_is_stopped_and_continued_with_all_that_it_has_started() {
    let daemon = Daemon::new();
    // Each of two threads starts one.
    let script = "exec perl -Mthreads -e '$| = 1; \
        threads->create(sub { fork or exec qw(setsid sleep 1001); sleep 1003 }); \
        fork or exec qw(sleep 1002); print qq(ready\\n); sleep 1003'";
    let mut call = daemon.script(&daemon.machine.credential(), script);
    let mut child = call.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let states = || {
        let processes = processes_of(daemon.guest(1).uid);
        let state = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().unwrap_or_default().trim().chars().next()
        };
        let states: BTreeSet<_> = processes.iter().map(state).collect();
        (processes.len(), states.into_iter().flatten().collect::<String>())
    };
    wait_until("all run", || states() == (3, "S".to_owned()));
    kill(child.id(), libc::SIGTSTP);
    wait_until("all are stopped", || states() == (3, "T".to_owned()));
    kill(child.id(), libc::SIGCONT);
    wait_until("all go on", || states() == (3, "S".to_owned()));
    kill(child.id(), libc::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(143));
}

//! Change of owner through the account daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};
use support::daemon::{AUDIT, Daemon, kill};
use support::doors::{self, all_belong_to, change, entries, output, tree};
use support::setuid::LIBEXEC;
use support::{Account, failed, own, succeeded, wait_until, write};

/// A call that gives a tree, and waits for its confirmation.
fn waiting(daemon: &Daemon, top: &Path, more: &[&Path]) -> (Child, BufReader<ChildStdout>) {
    let mut call = change(&daemon.machine, "--give", top);
    call.arg("--confirm");
    for path in more {
        call.arg("--to").arg(path);
    }
    call.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = call.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("given "), "{line}");
    (child, said)
}

/// The process of the daemon that serves the only connection.
fn supervisor(daemon: &Daemon) -> u32 {
    let pid = daemon.pid();
    let mut child = None;
    // Those of earlier connections may not have ended yet.
    wait_until("there is one such process", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let mut children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        child = children.next();
        children.next().is_none()
    });
    child.expect("it serves a connection")
}

#[test]
fn a_directory_is_given_and_taken_back_without_a_copy() {
    let daemon = Daemon::new();
    doors::a_tree_is_given_and_taken_back(&daemon.machine, daemon.guest(1));
}

/// The lines of the audit about changes of owner: event, direction, directory, further name, and
/// result.
fn changes(daemon: &Daemon) -> Vec<[String; 5]> {
    let lines = daemon.audit().into_iter().filter(|line| !line["change"].is_null());
    let facts = |line: Value| {
        assert_eq!(
            (&line["account"], &line["client_name"]),
            (&json!("guest01"), &json!("gh-batch"))
        );
        ["event", "direction", "directory", "to", "result"]
            .map(|name| line[name].as_str().unwrap_or_default().to_owned())
    };
    lines.map(facts).collect()
}

#[test]
fn each_change_is_in_the_audit_with_who_what_and_how_it_ended() {
    let daemon = Daemon::new();
    let top = tree(&daemon.machine, "tree");
    let new = top.with_file_name("new");
    let (tree_name, new_name) = (top.display().to_string(), new.display().to_string());
    succeeded(&change(&daemon.machine, "--give", &top).arg("--to").arg(&new).output().unwrap());
    succeeded(&output(&daemon.machine, "--take", &new));
    // One that is undone, one that is killed, and its repair.
    let (mut child, _said) = waiting(&daemon, &new, &[]);
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(!child.wait_with_output().unwrap().status.success());
    let (mut child, _said) = waiting(&daemon, &new, &[]);
    let _input = child.stdin.take();
    kill(supervisor(&daemon), libc::SIGKILL);
    assert!(!child.wait_with_output().unwrap().status.success());
    succeeded(&output(&daemon.machine, "--undo", &new));
    let line = |event: &str, direction: &str, directory: &str, to: &str, result: &str| {
        [event, direction, directory, to, result].map(str::to_owned)
    };
    let mut found = changes(&daemon);
    let undone = &mut found[5][4];
    assert!(undone.starts_with("202: ") && undone.contains("not confirmed"), "{undone}");
    undone.clear();
    let expected = [
        line("change_begun", "give", &tree_name, &new_name, ""),
        line("change_ended", "give", &tree_name, &new_name, "done"),
        line("change_begun", "take", &new_name, "", ""),
        line("change_ended", "take", &new_name, "", "done"),
        line("change_begun", "give", &new_name, "", ""),
        line("change_ended", "give", &new_name, "", ""),
        line("change_begun", "give", &new_name, "", ""),
        line("change_begun", "undo", &new_name, "", ""),
        line("change_ended", "undo", &new_name, "", "done"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_name_of_a_directory_cannot_bring_a_line_into_the_audit() {
    let daemon = Daemon::new();
    let hostile = "x\n{\"time\":\"2026-01-01T00:00:00.000Z\",\"event\":\"lease_begun\"}\u{1b}[2J";
    let top = tree(&daemon.machine, hostile);
    succeeded(&output(&daemon.machine, "--give", &top));
    let lines = changes(&daemon);
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(line[2].ends_with("\\u{1b}[2J") && line[2].contains("/x\\n{"), "{}", line[2]);
    }
    let text = fs::read_to_string(daemon.machine.path(AUDIT)).unwrap();
    for line in text.lines() {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        assert!(!line.starts_with("{\"time\":\"2026-01-01"), "{line}");
    }
}

#[test]
fn what_belongs_to_root_or_to_another_client_is_not_changed() {
    let daemon = Daemon::with_guests(2, "");
    daemon.write_private("/etc/glexec/clients", "gh-batch\ngh-other\n");
    let top = tree(&daemon.machine, "tree");
    let before = entries(&top);
    let credential = daemon.machine.site.scratch().join("others");
    write(&credential, "x\n", 0o600);
    own(&credential, Account::other());
    for option in ["--give", "--take", "--undo"] {
        let groups = [Account::batch().gid];
        let glexec = Path::new(LIBEXEC).join("glexec");
        let mut call = daemon.machine.command_with_groups(Account::other(), &groups, glexec);
        call.env("GLEXEC_CLIENT_CERT", &credential).arg(option).arg(&top);
        let why = format!("belongs to uid {}", Account::batch().uid);
        failed(&call.output().unwrap(), 201, &[&why]);
        for of_root in ["/usr/share", "/root", LIBEXEC] {
            let refused = output(&daemon.machine, option, Path::new(of_root));
            failed(&refused, 201, &["belongs to uid 0"]);
        }
    }
    assert_eq!(entries(&top), before);
    // Below a directory of the client's.
    let secret = daemon.machine.site.execute().join("secret");
    write(&secret, "secret", 0o600);
    fs::hard_link(&secret, top.join("below/planted")).unwrap();
    let before = entries(&top);
    failed(&output(&daemon.machine, "--give", &top), 205, &["planted"]);
    assert_eq!(entries(&top), before);
}

#[test]
fn what_is_no_directory_is_not_changed() {
    let daemon = Daemon::new();
    let parent = daemon.machine.site.execute();
    let file = parent.join("file");
    write(&file, "content", 0o644);
    own(&file, Account::batch());
    let fifo = parent.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    own(&fifo, Account::batch());
    let link = parent.join("link");
    symlink(tree(&daemon.machine, "tree"), &link).unwrap();
    for path in [&file, &fifo, &link] {
        let output = output(&daemon.machine, "--give", path);
        assert!(matches!(output.status.code(), Some(201 | 205)), "{path:?}: {output:?}");
        assert_ne!(Account::of(path), daemon.guest(1));
    }
    for path in [&file, &fifo] {
        failed(&output(&daemon.machine, "--give", &path.join("below")), 201, &["--give"]);
    }
}

#[test]
fn a_directory_that_is_swapped_meanwhile_is_not_given_and_the_first_is_as_it_was() {
    let daemon = Daemon::new();
    let top = tree(&daemon.machine, "tree");
    let (aside, new) = (top.with_file_name("aside"), top.with_file_name("new"));
    let (mut child, _said) = waiting(&daemon, &top, &[&new]);
    fs::rename(&top, &aside).unwrap();
    let other = tree(&daemon.machine, "tree");
    let before = entries(&other);
    child.stdin.take().unwrap().write_all(b"c").unwrap();
    let output = child.wait_with_output().unwrap();
    failed(&output, 202, &["another process put something else there", "as it was before"]);
    assert_eq!(entries(&other), before);
    assert!(all_belong_to(&aside, Account::batch()));
    assert!(!new.exists());
}

#[test]
fn the_client_confirms_what_is_given_by_its_own_standard_streams() {
    let daemon = Daemon::new();
    let top = tree(&daemon.machine, "tree");
    let before = entries(&top);
    let (mut child, _said) = waiting(&daemon, &top, &[]);
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    let output = child.wait_with_output().unwrap();
    failed(&output, 202, &["not confirmed", "as it was before"]);
    assert_eq!(entries(&top), before);
    let new = top.with_file_name("new");
    let (mut child, mut said) = waiting(&daemon, &top, &[&new]);
    child.stdin.take().unwrap().write_all(b"c").unwrap();
    let mut line = String::new();
    said.read_to_string(&mut line).unwrap();
    assert!(line.starts_with("{\"operation\":\"give\"") && line.lines().count() == 1, "{line}");
    assert!(child.wait().unwrap().success());
    assert!(all_belong_to(&new, daemon.guest(1)));
}

#[test]
fn a_signal_or_the_end_of_the_client_undoes_what_is_not_committed() {
    let daemon = Daemon::new();
    let top = tree(&daemon.machine, "tree");
    let before = entries(&top);
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        let (child, _said) = waiting(&daemon, &top, &[]);
        kill(child.id(), signal);
        failed(&child.wait_with_output().unwrap(), 202, &["as it was before"]);
        assert_eq!(entries(&top), before, "{signal}");
    }
    let (mut child, _said) = waiting(&daemon, &top, &[]);
    // This end stays open: the end of the standard input is not what ends it.
    let _input = child.stdin.take();
    kill(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    wait_until("the tree is as it was", || entries(&top) == before);
}

#[test]
fn undo_takes_back_what_a_killed_call_was_giving() {
    let daemon = Daemon::new();
    let top = tree(&daemon.machine, "tree");
    let (mut child, _said) = waiting(&daemon, &top, &[]);
    // The standard input stays open: its end would undo it.
    let _input = child.stdin.take();
    kill(supervisor(&daemon), libc::SIGKILL);
    failed(&child.wait_with_output().unwrap(), 202, &["the same call again finishes it"]);
    assert!(!all_belong_to(&top, Account::batch()));
    succeeded(&output(&daemon.machine, "--undo", &top));
    assert!(all_belong_to(&top, Account::batch()));
}

#[test]
fn what_is_taken_is_completed_without_the_client() {
    let daemon = Daemon::new();
    let top = tree(&daemon.machine, "tree");
    succeeded(&output(&daemon.machine, "--give", &top));
    kill(daemon.pid(), libc::SIGSTOP);
    let mut call = change(&daemon.machine, "--take", &top).spawn().unwrap();
    let receives = format!("{} ", libc::SYS_recvfrom);
    let path = format!("/proc/{}/syscall", call.id());
    wait_until("the client has sent its request", || {
        fs::read_to_string(&path).unwrap().starts_with(&receives)
    });
    kill(call.id(), libc::SIGKILL);
    call.wait().unwrap();
    kill(daemon.pid(), libc::SIGCONT);
    wait_until("the tree is taken", || all_belong_to(&top, Account::batch()));
}

#[test]
fn a_hostile_job_gets_no_file_of_root_or_of_the_client() {
    doors::a_hostile_job_gets_no_file(&Daemon::new().machine);
}

#[test]
fn the_helpers_hand_a_sandbox_over_without_a_copy() {
    let daemon = Daemon::new();
    doors::helpers_change_the_owner(&daemon.machine, daemon.guest(1));
}

//! `glexec --give`, `--take` and `--undo`: as the batch user, with its real subordinate ids.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use support::glexec::processes_of;
use support::handover::{assert_owner, mode, set_mode, text};
use support::mounts::Mounts;
use support::owner::inode;
use support::owner_calls::{Calls, large, number, owners, report, send, set_list, worker_of};
use support::snapshot::{make_fifo, snapshot};
use support::{Account, failed, is_long, messages, own, variables_of, wait_until, write};

// Both directions.

#[test]
fn a_tree_is_given_and_taken_back_as_it_was() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let (before, inodes) = (snapshot(&top), [inode(&top), inode(&top.join("input"))]);
    let given = calls.done(&[("--give", &top)], &[]);
    calls.is_whole(&top, calls.user, &["tree"]);
    assert_eq!(snapshot(&top), before);
    assert_eq!(number(&given, "directories"), 2, "{given}");
    assert_eq!(number(&given, "uid"), u64::from(calls.user.uid), "{given}");
    // The payload's user has it.
    let script = format!("cat {}/below/closed && echo more >>{0}/input", top.display());
    assert_eq!(calls.rootless.says(&script), "secret");
    let changed = snapshot(&top);
    let taken = calls.done(&[("--take", &top)], &[]);
    calls.is_whole(&top, Account::batch(), &["tree"]);
    assert_eq!(text(top.join("input")), "the inputmore\n");
    let mut expected = changed;
    // The owner of what comes back can write to it.
    expected.get_mut(Path::new("below/closed")).unwrap().mode = 0o600;
    assert_eq!(snapshot(&top), expected);
    assert_eq!([inode(&top), inode(&top.join("input"))], inodes);
    assert_eq!(number(&taken, "files"), 3, "{taken}");
    assert_eq!(number(&taken, "hard_links"), 1, "{taken}");
    assert_eq!(number(&taken, "copied/written"), 0, "{taken}");
}

#[test]
fn a_directory_gets_its_new_name_in_a_directory_of_roots() {
    let calls = Calls::new();
    let (top, new) = (calls.furnished("tree"), calls.path("new"));
    let (before, was) = (snapshot(&top), inode(&top));
    let given = calls.done(&[("--give", &top), ("--to", &new)], &["--mode", "711"]);
    assert!(given.contains(&new.display().to_string()), "{given}");
    calls.is_whole(&new, calls.user, &["new"]);
    assert_eq!((inode(&new), mode(&new)), (was, 0o711));
    // The same call again finds that all is done, with the mode that it asks for.
    calls.done(&[("--give", &top), ("--to", &new)], &[]);
    let empty = calls.empty("tree");
    let taken = calls.done(&[("--take", &new), ("--exchange", &empty)], &["--links=keep"]);
    assert!(taken.contains(&top.display().to_string()), "{taken}");
    assert_eq!(inode(&top), was);
    assert_owner(&top, Account::batch());
    calls.is_whole(&new, Account::batch(), &["new", "tree"]);
    assert_eq!(fs::read_dir(&new).unwrap().count(), 0);
    let mut expected = before;
    expected.get_mut(Path::new("")).unwrap().mode = 0o711;
    expected.get_mut(Path::new("below/closed")).unwrap().mode = 0o600;
    assert_eq!(snapshot(&top), expected);
    // And the same call again finds that, too.
    calls.done(&[("--take", &new), ("--exchange", &empty)], &[]);
    assert_eq!(snapshot(&top), expected);
}

#[test]
fn links_that_lead_out_are_copied_with_the_payload_users_rights() {
    let calls = Calls::new();
    for (policy, kept) in
        [(&[][..], "copied"), (&["--links", "keep"], "link"), (&["--links", "drop"], "")]
    {
        let top = calls.empty("tree");
        calls.done(&[("--give", &top)], &[]);
        let open = calls.rootless.site.scratch().join("open");
        write(&open, "copied", 0o644);
        let closed = calls.rootless.site.scratch().join("credential");
        let script = format!(
            "cd {} && ln -s {} open && ln -s {} closed && echo x >file && ln -s file inside",
            top.display(),
            open.display(),
            closed.display()
        );
        calls.rootless.says(&script);
        let taken = calls.done(&[("--take", &top)], policy);
        assert_owner(&top, Account::batch());
        let found = fs::symlink_metadata(top.join("open"));
        match kept {
            "copied" => assert_eq!(text(top.join("open")), "copied"),
            "link" => assert!(found.unwrap().is_symlink()),
            _ => assert!(found.is_err()),
        }
        assert!(kept == "copied" || !found_file(&top.join("open")), "{policy:?}");
        // What the payload's user cannot read is not copied for it.
        assert_eq!(fs::symlink_metadata(top.join("closed")).is_ok(), kept == "link", "{policy:?}");
        let removed = match kept {
            "copied" => 1,
            "link" => 0,
            _ => 2,
        };
        assert_eq!(number(&taken, "dropped/links"), removed, "{taken}");
        assert!(fs::symlink_metadata(top.join("inside")).unwrap().is_symlink());
        assert_eq!(calls.rootless.site.entries(), ["tree"]);
        fs::remove_dir_all(&top).unwrap();
    }
}

fn found_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

#[test]
fn a_writer_that_is_left_behind_cannot_write_to_what_was_taken() {
    let calls = Calls::new();
    let top = calls.empty("tree");
    write(top.join("file"), "before", 0o644);
    write(top.join("other"), "other", 0o644);
    own(&top, Account::batch());
    calls.done(&[("--give", &top)], &[]);
    // Another account's process has a descriptor from the payload's user.
    let mut writer = fs::File::options().write(true).open(top.join("file")).unwrap();
    let taken = calls.done(&[("--take", &top)], &[]);
    assert_eq!(number(&taken, "copied/written"), 1, "{taken}");
    writer.write_all(b"AFTER!").unwrap();
    assert_eq!(text(top.join("file")), "before");
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

// Refusals.

/// Why a tree is refused, and what is done to it before.
type Change<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn what_cannot_change_hands_is_refused_and_stays_as_it_was() {
    let calls = Calls::new();
    let cases: [Change; 11] = [
        ("neither the batch user's nor the job user's", &|top| {
            Account::named("root").owns(top.join("input"));
        }),
        ("neither the batch user's nor the job user's", &|top| {
            std::os::unix::fs::chown(top.join("input"), None, Some(0)).unwrap();
        }),
        ("a device, a socket or a FIFO", &|top| {
            make_fifo(&top.join("fifo"));
            Account::batch().owns(top.join("fifo"));
        }),
        ("hard links outside", &|top| {
            fs::hard_link(top.join("below/closed"), top.with_file_name("outside")).unwrap();
        }),
        ("set-user-ID", &|top| set_mode(top.join("below"), 0o2755)),
        ("set-user-ID", &|top| set_mode(top, 0o2751)),
        ("set-user-ID", &|top| set_mode(top, 0o1751)),
        ("may write to this directory", &|top| set_mode(top.join("below"), 0o777)),
        ("posix_acl_access", &|top| set_list(&top.join("input"), "u:gh-other:r")),
        ("posix_acl_access", &|top| set_list(top, "u:gh-other:rx")),
        ("posix_acl_default", &|top| set_list(top, "d:u:gh-other:rx")),
    ];
    for (why, change) in cases {
        let top = calls.furnished("tree");
        change(&top);
        let (before, owners) = (snapshot(&top), owners(&top));
        calls.refused(205, &[("--give", &top)], &[], &[why]);
        assert_eq!((snapshot(&top), self::owners(&top)), (before, owners), "{why}");
        fs::remove_dir_all(&top).unwrap();
        let _ = fs::remove_file(top.with_file_name("outside"));
        assert!(calls.rootless.site.entries().is_empty(), "{why}");
    }
    let top = calls.furnished("tree");
    calls.done(&[("--give", &top)], &[]);
    Account::named("root").owns(top.join("below/closed"));
    let (before, owners) = (snapshot(&top), owners(&top));
    let empty = calls.empty("empty");
    let why = "neither the batch user's nor the job user's";
    calls.refused(205, &[("--take", &top), ("--exchange", &empty)], &[], &[why]);
    assert_eq!((snapshot(&top), self::owners(&top)), (before, owners));
}

#[test]
fn a_file_of_a_supplementary_group_is_refused_until_its_owner_changes_the_group() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let group = Account::other().gid;
    let file = top.join("below/closed");
    std::os::unix::fs::chown(&file, None, Some(group)).unwrap();
    // A call of the batch user with this group, too.
    let call = |paths: &[(&str, &Path)]| {
        let call = calls.call(paths, &[]);
        let mut command = Command::new("setpriv");
        let Account { uid, gid } = Account::batch();
        command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
        command.arg(format!("--groups={group}")).arg(call.get_program()).args(call.get_args());
        command.env_clear().envs(variables_of(&call)).current_dir("/").stdin(Stdio::null());
        command.output().unwrap()
    };
    let (before, owners) = (snapshot(&top), owners(&top));
    failed(&call(&[("--give", &top)]), 205, &["below/closed", "(chgrp)"]);
    assert_eq!((snapshot(&top), self::owners(&top)), (before, owners));
    std::os::unix::fs::chown(&file, None, Some(Account::batch().gid)).unwrap();
    report(&call(&[("--give", &top)]));
    calls.is_whole(&top, calls.user, &["tree"]);
    // One that the payload's user has, too, but the caller's namespace does not map.
    std::os::unix::fs::chown(&file, None, Some(group)).unwrap();
    failed(&call(&[("--take", &top)]), 205, &["below/closed", "(chgrp)"]);
    assert_eq!(Account::of(&top), calls.user);
}

#[test]
fn a_parent_directory_that_is_closed_to_the_caller_is_refused_with_the_callers_own_uid() {
    let calls = Calls::new();
    let parent = calls.path("closed");
    fs::create_dir(&parent).unwrap();
    let top = calls.furnished("closed/tree");
    let who = format!("uid {} cannot create anything here (EACCES", Account::batch().uid);
    for (option, account) in [("--give", Account::batch()), ("--take", calls.user)] {
        own(&top, account);
        let before = snapshot(&top);
        calls.refused(205, &[(option, &top)], &[], &[&who, &parent.display().to_string()]);
        assert_eq!(snapshot(&top), before);
        assert_owner(&top, account);
    }
}

#[test]
fn a_mount_point_is_refused() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let mounts = Mounts::below(calls.rootless.site.path());
    mounts.add(&["-t", "tmpfs", "none"], &top.join("below/deep"));
    calls.refused(205, &[("--give", &top)], &[], &["mount point"]);
    drop(mounts);
    calls.is_whole(&top, Account::batch(), &["tree"]);
    let mounts = Mounts::below(calls.rootless.site.path());
    let options = format!("mode=755,uid={0},gid={0}", Account::batch().uid);
    mounts.add(&["-t", "tmpfs", "-o", &options, "none"], &top);
    calls.refused(205, &[("--give", &top)], &[], &["mount point"]);
    calls.refused(205, &[("--take", &top)], &[], &["mount point"]);
}

#[test]
fn what_is_no_directory_of_the_two_users_is_a_usage_error() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let link = calls.path("link");
    symlink(&top, &link).unwrap();
    Account::batch().owns(&link);
    let others = calls.path("others");
    fs::create_dir(&others).unwrap();
    Account::other().owns(&others);
    let missing = calls.path("missing");
    for option in ["--give", "--take", "--undo"] {
        let cases: [(&Path, &str); 7] = [
            (&others, "neither to you"),
            (&link, "no directory"),
            (&top.join("input"), "no directory"),
            (&missing, "does not exist"),
            (Path::new("tree"), "absolute path"),
            (&top.join(".."), "absolute path"),
            (Path::new("/"), "absolute path"),
        ];
        for (path, why) in cases {
            calls.refused(201, &[(option, path)], &[], &[why]);
        }
        calls.refused(201, &[(option, "/etc".as_ref())], &[], &["neither to you"]);
    }
    for paths in [&[("--give", &*top), ("--to", &*others)], &[("--give", &*top), ("--to", &*link)]]
    {
        calls.refused(201, paths, &[], &["it exists"]);
    }
    let inside = calls.path("tree/below/credential");
    write(&inside, "a token", 0o600);
    Account::batch().owns(&inside);
    let mut call = calls.rootless.glexec_with(&inside);
    let output = call.arg("--give").arg(&top).output().unwrap();
    failed(&output, 201, &[&format!("it contains {}", inside.display())]);
    let table = calls.rootless.table("table", std::iter::empty(), &[]);
    let mut call = calls.call(&[("--give", &table)], &[]);
    let output = call.env("GLEXEC_STATE_DIR", &table).output().unwrap();
    failed(&output, 201, &[&format!("it contains {}", table.display())]);
    let temporary = calls.path("tree.gh.01234567");
    calls.refused(201, &[("--give", &top), ("--to", &temporary)], &[], &["temporary name"]);
    let elsewhere = Path::new("/dev/shm/gh-elsewhere");
    calls.refused(201, &[("--give", &top), ("--to", elsewhere)], &[], &["another file system"]);
    calls.done(&[("--give", &top)], &[]);
    for other in [&top, &others, &link] {
        let paths = [("--take", &*top), ("--exchange", &**other)];
        calls.refused(201, &paths, &[], &[&other.display().to_string()]);
    }
    assert_owner(&top, calls.user);
}

#[test]
fn options_that_make_no_order_are_a_usage_error() {
    let calls = Calls::new();
    for (words, why) in [
        (&["--give"][..], "needs a value"),
        (&["--to", "/a"], "exactly one of --give, --take, --undo and --hand-over"),
        (&["--give", "/a", "--take", "/b"], "exactly one"),
        (&["--give", "/a", "--exchange", "/b"], "--exchange cannot be given together with --give"),
        (&["--give", "/a", "--undo", "/b"], "exactly one"),
        (&["--undo", "/a", "--links", "keep"], "--links cannot be given together with --undo"),
        (&["--give", "/tmp/a", "--top-limit", "-1"], "not a number"),
        (&["--take", "/a", "--confirm"], "--confirm cannot be given together with --take"),
        (&["--give", "/a", "--give", "/b"], "twice"),
        (&["--give", "/a", "/bin/true"], "/bin/true cannot be given"),
        (&["--give", "/tmp/a", "--mode", "8"], "octal"),
        (&["--give", "/tmp/a", "--mode", "4755"], "octal"),
        (&["--take", "/tmp/a", "--links", "move"], "copy, keep or drop"),
    ] {
        calls.refused(201, &[], words, &[why]);
    }
    // After a command they are its arguments.
    let output = calls.rootless.glexec().args(["/bin/echo", "--give", "x"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--give x\n");
}

#[test]
fn a_lease_with_processes_is_not_used_unless_they_may_be_killed() {
    let calls = Calls::new();
    let (top, other) = (calls.furnished("tree"), calls.furnished("other"));
    calls.done(&[("--give", &top)], &[]);
    let mut payload = calls.rootless.glexec();
    payload.args(["/bin/sh", "-c", "setsid sleep 1000 & echo started; wait"]);
    let mut payload = payload.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(payload.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    calls.refused(205, &[("--give", &other)], &[], &["is alive", "wait until it has ended"]);
    calls.refused(205, &[("--take", &top)], &[], &["is alive", "--end"]);
    assert_owner(&other, Account::batch());
    assert_owner(&top, calls.user);
    calls.done(&[("--take", &top)], &["--end"]);
    assert!(processes_of(calls.user.uid).is_empty());
    assert_eq!(payload.wait().unwrap().code(), Some(137));
    assert_owner(&top, Account::batch());
}

#[test]
fn no_payload_begins_while_an_owner_changes() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let (mut child, output) = calls.waiting(&[("--give", &top)]);
    let payload = calls.rootless.glexec().arg("/bin/true").output().unwrap();
    failed(&payload, 202, &["changes the owner of a directory"]);
    // Other leases are not held up.
    let another = calls.rootless.credential("another");
    let payload = calls.rootless.glexec_with(&another).arg("/bin/true").output().unwrap();
    assert_eq!((payload.status.code(), messages(&payload).as_str()), (Some(0), ""));
    child.stdin.take().unwrap().write_all(b"c").unwrap();
    assert!(child.wait().unwrap().success());
    drop(output);
    assert_owner(&top, calls.user);
    assert_eq!(calls.rootless.says("echo runs"), "runs");
}

// Two phases, signals, kills.

#[test]
fn a_caller_that_is_asked_decides() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let before = snapshot(&top);
    for decision in [&b""[..], b"x", b"xc", b"\n"] {
        let (mut child, _output) = calls.waiting(&[("--give", &top)]);
        // The payload's user cannot reach what it has been given.
        assert_eq!((mode(&top), Account::of(&top)), (0o1700, Account::batch()));
        assert_eq!(Account::of(&top.join("input")), calls.user);
        child.stdin.take().unwrap().write_all(decision).unwrap();
        failed(&child.wait_with_output().unwrap(), 202, &["not confirmed", "as it was before"]);
        calls.is_whole(&top, Account::batch(), &["tree"]);
        assert_eq!(snapshot(&top), before, "{decision:?}");
    }
    let new = calls.path("new");
    let (mut child, mut output) = calls.waiting(&[("--give", &top), ("--to", &new)]);
    child.stdin.take().unwrap().write_all(b"c").unwrap();
    let mut line = String::new();
    output.read_to_string(&mut line).unwrap();
    assert!(line.starts_with("{\"operation\":\"give\"") && line.lines().count() == 1, "{line}");
    assert!(child.wait().unwrap().success());
    calls.is_whole(&new, calls.user, &["new"]);
    assert_eq!(snapshot(&new), before);
}

#[test]
fn a_signal_undoes_what_is_not_committed() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let before = snapshot(&top);
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let (child, _output) = calls.waiting(&[("--give", &top)]);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        failed(&output, 202, &["as it was before"]);
        calls.is_whole(&top, Account::batch(), &["tree"]);
        assert_eq!(snapshot(&top), before, "{signal}");
    }
}

#[test]
fn a_new_name_that_is_taken_meanwhile_undoes_all() {
    let calls = Calls::new();
    let (top, new) = (calls.furnished("tree"), calls.path("new"));
    let before = snapshot(&top);
    let (mut child, _output) = calls.waiting(&[("--give", &top), ("--to", &new)]);
    fs::create_dir(&new).unwrap();
    child.stdin.take().unwrap().write_all(b"c").unwrap();
    failed(&child.wait_with_output().unwrap(), 202, &["EEXIST", "as it was before"]);
    calls.is_whole(&top, Account::batch(), &["new", "tree"]);
    assert_eq!(snapshot(&top), before);
}

#[test]
fn what_is_put_at_the_name_meanwhile_is_not_renamed() {
    let calls = Calls::new();
    let (top, new) = (calls.furnished("tree"), calls.path("new"));
    let before = snapshot(&top);
    for planted in ["link", "directory"] {
        let (mut child, _output) = calls.waiting(&[("--give", &top), ("--to", &new)]);
        let aside = calls.path("aside");
        fs::rename(&top, &aside).unwrap();
        match planted {
            "link" => symlink("/etc", &top).unwrap(),
            _ => fs::create_dir(&top).unwrap(),
        }
        child.stdin.take().unwrap().write_all(b"c").unwrap();
        failed(&child.wait_with_output().unwrap(), 202, &["something else", "as it was before"]);
        calls.is_whole(&aside, Account::batch(), &["aside", "tree"]);
        assert_eq!(Account::of(&top), Account::named("root"), "{planted}");
        assert_eq!(snapshot(&aside), before);
        let _ = fs::remove_file(&top).or_else(|_| fs::remove_dir(&top));
        fs::rename(&aside, &top).unwrap();
    }
}

#[test]
fn a_call_that_is_killed_while_it_waits_leaves_a_closed_tree_that_goes_either_way() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let before = snapshot(&top);
    for victim in ["caller", "worker"] {
        let (mut child, output) = calls.waiting(&[("--give", &top)]);
        // Open until both have ended: its end would undo.
        let input = child.stdin.take();
        let worker = worker_of(&child);
        if victim == "caller" {
            send(&child, SIGKILL);
        } else {
            let pid = nix::unistd::Pid::from_raw(worker.cast_signed());
            nix::sys::signal::kill(pid, SIGKILL).unwrap();
        }
        let status = child.wait().unwrap();
        assert_eq!(status.code(), (victim == "worker").then_some(202));
        wait_until("the worker has ended", || !support::families::is_alive(worker));
        drop((input, output));
        assert_eq!((mode(&top), Account::of(&top)), (0o1700, Account::batch()));
        if victim == "caller" {
            calls.done(&[("--give", &top)], &["--mode", "751"]);
            calls.is_whole(&top, calls.user, &["tree"]);
            assert_eq!(snapshot(&top), before);
            calls.done(&[("--take", &top)], &["--links", "keep"]);
            set_mode(top.join("below/closed"), 0o400);
        } else {
            calls.done(&[("--undo", &top)], &[]);
            assert_eq!(mode(&top), 0o700);
            let why = ["it is yours, and no call was giving it"];
            calls.refused(201, &[("--undo", &top)], &[], &why);
        }
        calls.is_whole(&top, Account::batch(), &["tree"]);
        set_mode(&top, 0o751);
        assert_eq!(snapshot(&top), before, "{victim}");
    }
}

#[test]
fn a_directory_with_more_entries_than_the_limit_is_refused_in_both_directions() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let entries = fs::read_dir(&top).unwrap().count();
    let (fits, too_low) = (entries.to_string(), (entries - 1).to_string());
    let why = [&*format!("{entries} entries"), "--top-limit"];
    calls.refused(205, &[("--give", &top)], &["--top-limit", &too_low], &why);
    calls.is_whole(&top, Account::batch(), &["tree"]);
    calls.done(&[("--give", &top)], &["--top-limit", &fits]);
    calls.refused(205, &[("--take", &top)], &["--top-limit", &too_low], &why);
    calls.is_whole(&top, calls.user, &["tree"]);
    calls.done(&[("--take", &top)], &["--top-limit", &fits]);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

#[test]
fn what_a_killed_call_has_left_beside_the_directory_is_removed_by_the_next() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let directory = |name: &str, below: &str, account: Account| {
        let path = calls.path(name);
        fs::create_dir_all(path.join(below).parent().unwrap()).unwrap();
        write(path.join(below), "a copy", 0o600);
        own(&path, account);
        set_mode(&path, 0o700);
    };
    // A credential of the helpers, a tree that is being built, a third user's, another sandbox's.
    let kept = ["tree.gh.00000001", "tree.gh.00000002", "tree.gh.00000003", "trees.gh.00000004"];
    directory(kept[0], "x509_proxy", Account::batch());
    directory(kept[1], "input", calls.user);
    directory(kept[2], "0000000001", Account::other());
    directory(kept[3], "0000000001", Account::batch());
    write(calls.path("tree.gh.00000005"), "no directory", 0o600);
    Account::batch().owns(calls.path("tree.gh.00000005"));
    for option in ["--give", "--take"] {
        directory("tree.gh.0000000a", "0000000001", Account::batch());
        directory("tree.gh.0000000b", "tree.gh.01234567/0000000001", calls.user);
        calls.done(&[(option, &top)], &[]);
        let mut names = [&kept[..3], &["tree.gh.00000005"], &kept[3..]].concat();
        names.insert(0, "tree");
        assert_eq!(calls.rootless.site.entries(), names, "{option}");
    }
}

#[test]
fn a_call_that_is_killed_at_any_moment_is_finished_by_the_same_call() {
    let calls = Calls::new();
    let (mut top, mut other) = (calls.furnished("tree"), calls.path("new"));
    large(&top);
    symlink("/etc/passwd", top.join("out")).unwrap();
    Account::batch().owns(top.join("out"));
    set_mode(top.join("below/closed"), 0o600);
    let mut expected = snapshot(&top);
    let link = expected.get_mut(Path::new("out")).unwrap();
    link.kind = "file";
    link.content = fs::read("/etc/passwd").unwrap();
    link.mode = mode(Path::new("/etc/passwd")) | 0o600;
    let mut random = fastrand::Rng::with_seed(11);
    let mut killed = [0, 0];
    let least = if is_long() { 16 } else { 6 };
    // A call can end before its kill. Further rounds are made until one of each kind was killed.
    for round in 0.. {
        if round >= least && !killed.contains(&0) {
            break;
        }
        assert!(round < 100, "{killed:?}");
        let give = round % 2 == 0;
        let paths = if give {
            [("--give", top.clone()), ("--to", other.clone())]
        } else {
            calls.empty(other.file_name().unwrap().to_str().unwrap());
            [("--take", top.clone()), ("--exchange", other.clone())]
        };
        let paths: Vec<(&str, &Path)> =
            paths.iter().map(|(option, path)| (*option, path.as_path())).collect();
        let more: &[&str] = if give { &["--mode", "751"] } else { &[] };
        for _ in 0..3 {
            let mut child = calls.call(&paths, more).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random.u64(2000..40_000)));
            if random.bool() {
                send(&child, SIGKILL);
            } else if let Ok(list) =
                fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()))
            {
                for pid in list.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    let _ = nix::sys::signal::kill(pid, SIGKILL);
                }
            }
            let status = child.wait().unwrap();
            killed[usize::from(give)] += u32::from(!status.success());
            wait_until("the lease is free", || calls.is_idle());
        }
        calls.done(&paths, more);
        if !give {
            fs::remove_dir(&top).unwrap();
        }
        std::mem::swap(&mut top, &mut other);
        let account = if give { calls.user } else { Account::batch() };
        assert_owner(&top, account);
        // What the killed calls have left beside it is gone.
        assert_eq!(calls.rootless.site.entries(), [top.file_name().unwrap()]);
        let mut found = snapshot(&top);
        if round == 0 {
            found.insert("out".into(), expected[Path::new("out")].clone());
            expected.get_mut(Path::new("out")).unwrap().modified = found[Path::new("out")].modified;
        }
        for all in [&mut found, &mut expected] {
            // A copy of a link's target has the target's time.
            all.get_mut(Path::new("out")).unwrap().modified = (0, 0);
            // A top that was renamed between two parents or lost a link has another time.
            all.get_mut(Path::new("")).unwrap().modified = (0, 0);
        }
        assert!(found == expected, "round {round}");
    }
}

#[test]
fn a_caller_that_newuidmap_refuses_is_told() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let mut call = calls.call(&[("--give", &top)], &[]);
    // Its group is not the one that the account database gives it.
    call.gid(Account::other().gid);
    failed(&call.output().unwrap(), 202, &["newuidmap failed"]);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

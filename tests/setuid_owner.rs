//! Change of owner by a `glexec` that is set-user-ID root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::path::Path;

use support::doors::{self, all_belong_to, change, entries, output, tree};
use support::handover::set_mode;
use support::setuid::{LIBEXEC, Setuid, ends};
use support::{Account, failed, messages, succeeded, wait_until, write};

const ROOT: Account = Account { uid: 0, gid: 0 };

#[test]
fn a_directory_is_given_and_taken_back_without_a_copy() {
    doors::a_tree_is_given_and_taken_back(&Setuid::new(), Account::job());
}

#[test]
fn what_belongs_to_root_or_to_a_third_user_is_never_changed() {
    let setuid = Setuid::new();
    for (number, account) in [ROOT, Account::other()].into_iter().enumerate() {
        let top = tree(&setuid, "tree");
        let secret = setuid.site.execute().join(format!("secret{number}"));
        write(&secret, "secret", 0o600);
        account.owns(&secret);
        // A further name of a file, a file and a directory, of that user.
        let plants: [&dyn Fn(); 3] = [
            &|| fs::hard_link(&secret, top.join("below/planted")).unwrap(),
            &|| {
                write(top.join("below/planted"), "secret", 0o600);
                account.owns(top.join("below/planted"));
            },
            &|| {
                fs::create_dir(top.join("below/planted")).unwrap();
                account.owns(top.join("below/planted"));
            },
        ];
        for plant in plants {
            plant();
            let before = entries(&top);
            failed(&output(&setuid, "--give", &top), 205, &["planted"]);
            assert_eq!(entries(&top), before);
            let planted = top.join("below/planted");
            if planted.is_dir() {
                fs::remove_dir(&planted).unwrap();
            } else {
                fs::remove_file(&planted).unwrap();
            }
        }
        fs::remove_dir_all(&top).unwrap();
    }
    for top in ["/usr/share", "/root", "/mnt/libexec"] {
        let refused = output(&setuid, "--give", Path::new(top));
        failed(&refused, 201, &["belongs to uid 0"]);
    }
    failed(&output(&setuid, "--take", Path::new("/root")), 201, &["belongs to uid 0"]);
}

#[test]
fn a_hostile_job_gets_no_file_of_root_or_of_the_caller() {
    doors::a_hostile_job_gets_no_file(&Setuid::new());
}

#[test]
fn other_calls_of_the_account_go_on_and_cannot_write_to_what_was_taken() {
    let setuid = Setuid::new();
    let top = tree(&setuid, "tree");
    succeeded(&output(&setuid, "--give", &top));
    let go_on = setuid.site.execute().join("go-on");
    let script = format!(
        "exec 3>>{0}/file 4>>{0}/below/program; echo begun >&3; : >{1}.begun
         until [ -e {1} ]; do sleep 0.01; done; echo late >&3; echo late >&4",
        top.display(),
        go_on.display()
    );
    let mut other = setuid.glexec().args(["/bin/sh", "-c", &script]).spawn().unwrap();
    wait_until("the other call has files open", || go_on.with_extension("begun").exists());
    succeeded(&output(&setuid, "--take", &top));
    write(&go_on, "", 0o644);
    assert!(ends(&mut other).success());
    assert_eq!(fs::read_to_string(top.join("file")).unwrap(), "contentbegun\n");
    assert_eq!(fs::read_to_string(top.join("below/program")).unwrap(), "#!/bin/sh\n");
    assert!(all_belong_to(&top, Account::batch()));
    let ended = change(&setuid, "--take", &top).arg("--end").output().unwrap();
    failed(&ended, 205, &["--end"]);
}

#[test]
fn a_directory_that_the_caller_cannot_reach_is_not_changed() {
    let setuid = Setuid::new();
    let closed = setuid.site.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let top = closed.join("tree");
    fs::create_dir(&top).unwrap();
    Account::batch().owns(&top);
    set_mode(&closed, 0o700);
    let refused = output(&setuid, "--give", &top);
    failed(&refused, 202, &["Permission denied"]);
    assert_eq!(Account::of(&top), Account::batch());
}

#[test]
fn without_user_namespaces_a_directory_is_copied() {
    let setuid = Setuid::new();
    let top = tree(&setuid, "tree");
    let mut strace = setuid.command(ROOT, "strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-u", "gh-batch"]);
    strace.args(["-e", "inject=clone:error=ENOSPC", &format!("{LIBEXEC}/glexec"), "--give"]);
    strace.arg(&top).env("GLEXEC_CLIENT_CERT", setuid.credential());
    failed(&strace.output().unwrap(), 205, &["user namespace", "copy it"]);
    assert!(all_belong_to(&top, Account::batch()));
}

#[test]
fn a_fault_while_the_worker_becomes_the_caller_changes_nothing() {
    let setuid = Setuid::new();
    let top = tree(&setuid, "tree");
    let before = entries(&top);
    for (name, result) in [
        ("setresuid", "error=EPERM"),
        ("setresuid", "retval=0"),
        ("setresgid", "error=EPERM"),
        ("setresgid", "retval=0"),
        ("setgroups", "retval=0"),
        ("prctl", "error=EPERM"),
    ] {
        for number in 1..=8 {
            let mut strace = setuid.command(ROOT, "strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-u", "gh-batch", "-e"]);
            strace.arg(format!("inject={name}:{result}:when={number}"));
            strace.arg(format!("{LIBEXEC}/glexec")).arg("--give").arg(&top);
            let done = strace.env("GLEXEC_CLIENT_CERT", setuid.credential()).output().unwrap();
            match done.status.code() {
                Some(0) => {
                    assert!(all_belong_to(&top, Account::job()));
                    succeeded(&output(&setuid, "--take", &top));
                }
                _ => assert_eq!(entries(&top), before, "{name} {number}: {}", messages(&done)),
            }
        }
    }
}

#[test]
fn the_helpers_hand_a_sandbox_over_without_a_copy() {
    doors::helpers_change_the_owner(&Setuid::new(), Account::job());
}

//! A sandbox before setup and after cleanup, and the output of both.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::families::Target;
use support::handover::{
    AGENT, CLEANUP, ODD, PendingRename, SETUP, UPDATE, assert_is_back, assert_is_handed_over,
    assert_owner, data, field, filled, handed_over, kill, mode, new_proxy, set_mode, text, update,
};
use support::installation::install;
use support::snapshot::{make_fifo, snapshot};
use support::{
    Account, MAP, PROXY, Site, failed, messages, own, owner, program, retained, succeeded, write,
};

// Before and after.

#[test]
fn setup_takes_only_a_directory_of_the_batch_users_with_a_proxy() {
    let site = Site::new();
    let spoil: [PendingRename; 7] = [
        ("missing", &|sandbox| fs::remove_dir_all(sandbox).unwrap()),
        ("another-users", &|sandbox| Account::other().owns(sandbox)),
        ("file", &|sandbox| {
            fs::remove_dir_all(sandbox).unwrap();
            write(sandbox, "a file", 0o644);
            Account::batch().owns(sandbox);
        }),
        ("link", &|sandbox| {
            fs::rename(sandbox, site.path().join("elsewhere")).unwrap();
            symlink(site.path().join("elsewhere"), sandbox).unwrap();
            Account::batch().owns(sandbox);
        }),
        ("no-proxy", &|sandbox| fs::remove_file(sandbox.join(PROXY)).unwrap()),
        ("empty-proxy", &|sandbox| fs::write(sandbox.join(PROXY), "").unwrap()),
        ("linked-proxy", &|sandbox| {
            fs::rename(sandbox.join(PROXY), sandbox.join("other")).unwrap();
            symlink("other", sandbox.join(PROXY)).unwrap();
        }),
    ];
    for (name, spoil) in spoil {
        let sandbox = site.sandbox(name);
        spoil(&sandbox);
        let before = site.entries();
        let output = site.call(SETUP, &site.switcher(), &sandbox).output().unwrap();
        failed(&output, 1, &[name]);
        assert_eq!(site.entries(), before, "{name}");
    }
}

#[test]
fn after_setup_all_of_the_sandbox_is_the_job_users_with_a_proxy_of_its_own() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let before = snapshot(&sandbox);
    site.set_up(&sandbox);
    assert_owner(&sandbox, Account::job());
    assert_eq!(snapshot(&sandbox), before);
    assert_eq!(text(sandbox.join(PROXY)), "the proxy\n");
}

#[test]
fn after_setup_the_batch_user_retains_the_proxy_alone_out_of_the_jobs_reach() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    assert_is_handed_over(&site, &sandbox, "after setup");
    let proxy = retained(&sandbox).join(PROXY);
    assert_eq!((text(&proxy).as_str(), mode(&proxy)), ("the proxy\n", 0o600));
    for (program, path) in [
        ("cat", &proxy),
        ("ls", &retained(&sandbox)),
        ("rm", &proxy),
        ("rmdir", &retained(&sandbox)),
    ] {
        let output = Account::job().command(program).arg(path).output().unwrap();
        assert!(messages(&output).contains("ermi"), "{program} says {}", messages(&output));
    }
}

#[test]
fn every_call_of_the_switcher_gets_the_retained_proxy() {
    let site = Site::new();
    let log = site.scratch().join("log");
    let body =
        format!(r#"(echo "$GLEXEC_CLIENT_CERT"; cat "$GLEXEC_CLIENT_CERT") >> {}"#, log.display());
    let switcher =
        site.script("logs", &format!("{body}\nexec {} \"$@\"", site.switcher().display()));
    let sandbox = filled(&site, "s");
    let credential = retained(&sandbox).join(PROXY);
    let new = new_proxy(&site, "the proxy\n");
    succeeded(&site.call(SETUP, &switcher, &sandbox).output().unwrap());
    let mut target = Target::start(&sandbox);
    let mut run = site.helper("condor_glexec_run");
    run.arg(&switcher).arg(PROXY).arg(&sandbox).args(["/bin/true", "-", "-", "-", "/bin/true"]);
    let mut calls = [
        run,
        update(&site, &switcher, &new, &sandbox),
        kill(&site, &switcher, &sandbox, target.pid, "KILL"),
        site.call(CLEANUP, &switcher, &sandbox),
    ];
    for call in &mut calls {
        succeeded(&call.output().unwrap());
    }
    assert_eq!(target.killed_by(), 9);
    assert_eq!(
        text(&log),
        format!("{}\nthe proxy\n", credential.display()).repeat(1 + calls.len())
    );
}

#[test]
fn after_cleanup_the_sandbox_is_the_batch_users_and_stands_alone() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    write(sandbox.join("output"), "the output", 0o600);
    own(&sandbox, Account::job());
    let left = data(&sandbox);
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &left, "after cleanup");
}

#[test]
fn cleanup_puts_the_retained_proxy_in_place_of_whatever_the_job_left() {
    let site = Site::new();
    let secret = site.scratch().join("secret");
    write(&secret, "secret", 0o644);
    let leave: [PendingRename; 5] = [
        ("nothing", &|_| ()),
        ("file", &|proxy| write(proxy, "forged", 0o777)),
        ("link", &|proxy| symlink(&secret, proxy).unwrap()),
        ("fifo", &|proxy| make_fifo(proxy)),
        ("directory", &|proxy| fs::create_dir_all(proxy.join("a/b")).unwrap()),
    ];
    for (name, leave) in leave {
        let sandbox = handed_over(&site, name);
        let proxy = sandbox.join(PROXY);
        fs::remove_file(&proxy).unwrap();
        leave(&proxy);
        own(&sandbox, Account::of(&sandbox));
        site.clean_up(&sandbox);
        assert_eq!((text(&proxy).as_str(), mode(&proxy)), ("the proxy\n", 0o600), "{name}");
        assert_eq!(owner(&proxy), Account::batch(), "{name}");
        assert!(fs::symlink_metadata(&proxy).unwrap().is_file(), "{name}");
    }
    assert_eq!(text(&secret), "secret");
}

#[test]
fn an_error_names_the_directory_that_keeps_the_job_user_out_and_what_to_do() {
    let site = Site::new();
    let closed = site.execute().join("closed");
    fs::create_dir_all(closed.join("parent")).unwrap();
    set_mode(closed.join("parent"), 0o1777);
    set_mode(&closed, 0o700);
    own(&closed, Account::batch());
    let sandbox = closed.join("parent/s");
    fs::create_dir(&sandbox).unwrap();
    write(sandbox.join(PROXY), "the proxy\n", 0o600);
    own(&sandbox, Account::batch());
    let before = snapshot(&site.execute());
    let set_up = || site.call(SETUP, &site.switcher(), &sandbox).output().unwrap();
    failed(
        &set_up(),
        2,
        &[&format!("may not search the directory {0}: run chmod o+x {0}", closed.display())],
    );
    set_mode(closed.join("parent"), 0o755);
    set_mode(&closed, 0o711);
    failed(&set_up(), 2, &[&closed.join("parent").display().to_string(), "chmod 1777"]);
    set_mode(closed.join("parent"), 0o1777);
    set_mode(&closed, 0o700);
    let mut after = snapshot(&site.execute());
    // Its modification time has changed, because of temporary names.
    let parent = Path::new("closed/parent");
    after.get_mut(parent).unwrap().modified = before[parent].modified;
    assert_eq!(after, before);
    set_mode(&closed, 0o711);
    succeeded(&set_up());
}

#[test]
fn the_parent_may_be_roots_with_mode_1777() {
    let site = Site::new();
    assert_eq!((owner(&site.execute()).uid, mode(&site.execute())), (0, 0o1777));
    let sandbox = filled(&site, "s");
    let before = data(&sandbox);
    site.set_up(&sandbox);
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &before, "there and back");
}

#[test]
fn cleanup_has_deleted_everything_when_it_ends() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    for number in 0..300 {
        write(sandbox.join(number.to_string()), "content", 0o644);
    }
    own(&sandbox, Account::batch());
    site.set_up(&sandbox);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
}

// Odd names.

#[test]
fn odd_paths_of_a_sandbox_go_through_setup_update_proxy_and_cleanup() {
    let site = Site::new();
    for odd in ODD.map(OsStr::from_bytes) {
        let parent = site.execute().join(odd);
        fs::create_dir(&parent).unwrap();
        set_mode(&parent, 0o1777);
        let sandbox = handed_over(&site, Path::new(odd).join(odd));
        assert_owner(&sandbox, Account::job());
        succeeded(
            &update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox)
                .output()
                .unwrap(),
        );
        assert_eq!(text(sandbox.join(PROXY)), "renewed");
        let left = data(&sandbox);
        site.clean_up(&sandbox);
        assert_eq!(data(&sandbox), left, "{odd:?}");
        assert_eq!(text(sandbox.join(PROXY)), "renewed");
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 1, "{odd:?}");
    }
}

#[test]
fn an_odd_name_of_the_proxy_goes_through_setup_update_proxy_and_cleanup() {
    let site = Site::new();
    for odd in ODD.map(OsStr::from_bytes) {
        let sandbox = site.sandbox("s");
        fs::rename(sandbox.join(PROXY), sandbox.join(odd)).unwrap();
        let call = |name| {
            let mut call = site.helper(name);
            call.arg(site.switcher()).arg(odd).arg(&sandbox).args(["0", "0"]);
            succeeded(&call.output().unwrap());
        };
        call(SETUP);
        let mut update = site.helper(UPDATE);
        update.arg(site.switcher()).arg(new_proxy(&site, "renewed")).arg(odd).arg(&sandbox);
        succeeded(&update.output().unwrap());
        for copy in [&sandbox, &retained(&sandbox)] {
            assert_eq!(text(copy.join(odd)), "renewed", "{odd:?}");
        }
        call(CLEANUP);
        assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 1, "{odd:?}");
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

#[test]
fn a_failure_in_an_odd_sandbox_is_still_one_line() {
    let site = Site::new();
    let sandbox = site.sandbox(OsStr::from_bytes(b"new\nline\xff"));
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    let output = site.call(SETUP, &site.switcher(), &sandbox).output().unwrap();
    failed(&output, 1, &["new\\nline\\xff", PROXY]);
}

// Exit statuses.

#[test]
fn setup_ends_with_0_1_2_or_3() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let status = |mut call: Command| {
        let output = call.output().unwrap();
        (output.status.code().unwrap(), messages(&output).lines().count())
    };
    let call = |switcher: &Path| site.call(SETUP, switcher, &sandbox);
    let mut forbidden = call(&site.switcher());
    site.forbid(&mut forbidden);
    assert_eq!(status(forbidden), (3, 4), "it is not allowed: the cause, two pauses, and the end");
    assert_eq!(status(call(Path::new("/bin/false"))), (2, 1));
    assert_eq!(status(call(&site.switcher())), (0, 0));
    assert_eq!(status(call(&site.switcher())), (1, 1), "it is set up already");
}

#[test]
fn cleanup_ends_with_0_or_1() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let call = |switcher: &Path, sandbox: &Path| site.call(CLEANUP, switcher, sandbox);
    let status = |mut call: Command| call.output().unwrap().status.code();
    let mut forbidden = call(&site.switcher(), &sandbox);
    site.forbid(&mut forbidden);
    assert_eq!(status(forbidden), Some(1), "retries used up");
    assert_eq!(status(call(Path::new("/bin/false"), &sandbox)), Some(1), "retries do not help");
    assert_eq!(
        status(call(&site.switcher(), &site.execute().join("none"))),
        Some(1),
        "no such sandbox"
    );
    assert_eq!(status(call(&site.switcher(), &sandbox)), Some(0));
    let usage = site.helper(CLEANUP).arg(site.switcher()).output().unwrap();
    failed(&usage, 1, &["usage"]);
}

// The switcher's pipe, and the agent.

#[test]
fn nothing_that_outlives_a_helper_holds_its_callers_output() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let lingering = site.scratch().join("lingering");
    let body = format!(
        "sleep 20 & echo $! > {}\nexec {} \"$@\"",
        lingering.display(),
        site.switcher().display()
    );
    let switcher = site.script("lingers", &body);
    let check = |mut call: Command| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut helper = call.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        drop(call); // it has a copy of the writing end
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        let pid = nix::unistd::Pid::from_raw(text(&lingering).trim().parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL)
            .expect("what lingers is still alive at the end of file");
        assert_eq!((all.as_str(), helper.wait().unwrap().code()), ("", Some(0)));
    };
    check(site.call(SETUP, &switcher, &sandbox));
    let mut target = Target::start(&sandbox);
    let calls = [
        update(&site, &switcher, &new_proxy(&site, "renewed"), &sandbox),
        kill(&site, &switcher, &sandbox, target.pid, "KILL"),
        site.call(CLEANUP, &switcher, &sandbox),
    ];
    calls.into_iter().for_each(check);
    assert_eq!(target.killed_by(), 9);
}

#[test]
fn what_the_switcher_says_becomes_part_of_the_message() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let switcher = site.script("talks", "echo the moon\necho '  is wrong\x1b[m' >&2\nexit 201");
    let output = site.call(SETUP, &switcher, &sandbox).output().unwrap();
    failed(&output, 2, &["talks", "201", "the moon; is wrong\\u{1b}"]);
    assert_eq!(output.stdout, b"");
}

#[test]
fn the_agent_is_the_one_beside_the_helper() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let (programs, log) = (site.path().join("programs"), site.scratch().join("log"));
    fs::create_dir(&programs).unwrap();
    for name in [SETUP, CLEANUP, AGENT] {
        install(program(name), programs.join(name));
    }
    let body =
        format!("echo \"$1\" >> {}\nexec {} \"$@\"", log.display(), site.switcher().display());
    let switcher = site.script("logs", &body);
    for name in [SETUP, CLEANUP] {
        let mut call = Account::batch().command(programs.join(name));
        call.env("GLEXEC_SUDO_MAP", MAP).env("GLEXEC_HELPERS_IDLE_TIMEOUT", "30");
        call.arg(&switcher).arg(PROXY).arg(&sandbox).args(["0", "0"]);
        succeeded(&call.output().unwrap());
    }
    assert_eq!(text(&log), format!("{}\n", programs.join(AGENT).display()).repeat(2));
    // Without it, no other agent is used.
    fs::remove_file(programs.join(AGENT)).unwrap();
    let mut call = Account::batch().command(programs.join(SETUP));
    call.env("GLEXEC_SUDO_MAP", MAP).env("GLEXEC_HELPERS_IDLE_TIMEOUT", "30");
    call.arg(&switcher).arg(PROXY).arg(&sandbox).args(["0", "0"]);
    failed(&call.output().unwrap(), 2, &[AGENT]);
}

// The log.

#[test]
fn the_log_says_in_one_line_each_what_was_moved_and_what_was_dropped() {
    let site = Site::new();
    let log = site.scratch().join("log");
    let sandbox = filled(&site, "new\nline");
    let logged = |mut call: Command| {
        call.env("GLEXEC_HELPERS_LOG", &log);
        call.output().unwrap()
    };
    succeeded(&logged(site.call(SETUP, &site.switcher(), &sandbox)));
    make_fifo(&sandbox.join("fifo"));
    write(sandbox.join("set-user-id"), "content", 0o755);
    own(&sandbox, Account::job());
    // A change of the owner would clear the bit.
    set_mode(sandbox.join("set-user-id"), 0o4755);
    let refused = logged(site.call(CLEANUP, &site.script("refuses", "exit 203"), &sandbox));
    assert_eq!(refused.status.code(), Some(1), "{}", messages(&refused));
    succeeded(&logged(site.call(CLEANUP, &site.switcher(), &sandbox)));
    let text = fs::read_to_string(&log).unwrap();
    // The switcher may use the same log.
    let of_helpers = text.lines().filter(|line| field(line, "helper") != "\"glexec\"");
    let [setup, refused, cleanup] = of_helpers.collect::<Vec<_>>()[..] else {
        panic!("three lines: {text}")
    };
    assert_eq!(
        (field(setup, "helper"), field(setup, "outcome")),
        ("\"condor_glexec_setup\"", "\"ok\"")
    );
    assert_eq!((field(refused, "outcome"), field(refused, "status")), ("\"failed\"", "1"));
    assert!(refused.contains("\"switcher_failures\":[203,203,203]"), "{refused}");
    assert_eq!((field(cleanup, "special_files"), field(cleanup, "mode_bits")), ("1", "1"));
    let files = |line| field(line, "files").parse::<u32>().unwrap();
    assert_eq!(files(cleanup), files(setup), "the proxy is not sent back, and one file is new");
    assert_eq!(mode(&log), 0o600);
}

#[test]
fn a_log_that_cannot_be_written_is_no_failure() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let mut call = site.call(SETUP, &site.switcher(), &sandbox);
    let output = call.env("GLEXEC_HELPERS_LOG", "/nonexistent/log").output().unwrap();
    failed(&output, 0, &["warning", "/nonexistent/log"]);
}

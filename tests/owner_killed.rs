//! The processes of a change of owner are killed, the switcher's included, and what every way to
//! finish it makes of that.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::glexec::processes_of;
use support::handover::{CLEANUP, SETUP, assert_owner, mode, set_mode, text};
use support::trial::{Side, Trial};
use support::{
    Account, PROXY, failed, is_long, messages, moments, owner, program, retained, succeeded,
    variables_of, wait_until,
};

/// A helper below strace(1), all its processes, with this fault for a system call. As root:
/// newuidmap(1) has to be set-user-ID.
fn traced(trial: &Trial, helper: &str, faults: &[&str], retries: [&str; 2]) -> Command {
    let log = trial.log(Side::Helper);
    let _ = fs::remove_file(&log);
    let mut call = trial.site.helper(helper);
    call.arg(&trial.quick).arg(PROXY).arg(&trial.sandbox).args(retries);
    let mut strace = Command::new("strace");
    strace.args(["-u", "gh-batch", "-f", "-q", "-o"]).arg(&log);
    let calls: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    strace.args(["-e", &format!("trace={}", calls.join(","))]);
    for fault in faults {
        strace.args(["-e", &format!("inject={fault}")]);
    }
    strace.arg(call.get_program()).args(call.get_args()).stdin(Stdio::null());
    strace.env_clear().envs(variables_of(&call)).current_dir("/");
    strace
}

/// Kills each process of a helper at a system call of this number. None if no process made so many.
fn killed_at(trial: &Trial, helper: &str, call: &str, number: u32) -> Option<Output> {
    let fault = format!("{call}:signal=SIGKILL:when={number}");
    let output = traced(trial, helper, &[&fault], ["1", "0"]).output().unwrap();
    trial.seen(Side::Helper).contains("by SIGKILL").then_some(output)
}

/// The calls that change something. Only the switcher changes an owner.
const CHANGING: [&str; 9] = [
    "fchown",
    "fchownat",
    "fchmod",
    "renameat2",
    "renameat",
    "unlinkat",
    "mkdirat",
    "utimensat",
    "fremovexattr",
];

/// Kills processes of a helper at each changing call, and then finishes in a way. It is each call
/// in a long run, else one of four, which another `way` has others of.
fn at_each_call(helper: &str, way: &str, finish: impl Fn(&Trial, &str)) {
    let mut kills = 0;
    let is_tried = moments(4, way);
    let mut index = 0;
    for call in CHANGING {
        let mut trial = Trial::owning();
        for number in 1.. {
            index += 1;
            if !is_tried(index) {
                continue;
            }
            trial.before(helper);
            let Some(output) = killed_at(&trial, helper, call, number) else { break };
            kills += 1;
            let what = format!("{helper}: {call} {number}: {}", messages(&output));
            trial.one_copy(&what);
            // It may have been unable to undo what it did, since that is another call.
            let is_left = messages(&output).contains("run condor_glexec_cleanup");
            if helper == SETUP && output.status.code() == Some(2) && !is_left {
                trial.back(&what);
            }
            finish(&trial, &what);
            if !trial.sandbox.exists() {
                trial = Trial::owning();
            }
        }
    }
    assert!(kills > if is_long() { 20 } else { 4 }, "only {kills} kills");
}

/// `condor_glexec_pilot recover`, as the batch user.
fn recover(trial: &Trial, options: &[&str]) -> Command {
    let mut call = trial.site.helper("condor_glexec_pilot");
    call.arg("recover").arg("--glexec").arg(&trial.quick).args(options).arg(&trial.sandbox);
    call
}

/// Whether the sandbox is back already: then it is an ordinary directory. The directory that was
/// beside it may be left without the proxy.
fn is_back(trial: &Trial) -> bool {
    let is_marked = |name: &OsString| {
        name.as_encoded_bytes().starts_with(b"s.gh.")
            && mode(&trial.site.execute().join(name)) == 0o1700
    };
    owner(&trial.sandbox) == Account::batch()
        && fs::read_dir(retained(&trial.sandbox)).map_or(0, Iterator::count) == 0
        && !trial.site.entries().iter().any(is_marked)
}

fn recovered(trial: &Trial, what: &str) {
    if trial.sandbox.exists() && is_back(trial) {
        return trial.brought_back(what);
    }
    let output = recover(trial, &[]).output().unwrap();
    let found = (output.status.code(), messages(&output));
    assert_eq!(found, (Some(0), String::new()), "{what}: {:?}", trial.site.entries());
    trial.back(what);
    trial.alone(what);
}

fn discarded(trial: &Trial, what: &str) {
    if trial.sandbox.exists() && is_back(trial) {
        return trial.brought_back(what);
    }
    let output = recover(trial, &["--discard"]).output().unwrap();
    let found = (output.status.code(), messages(&output));
    assert_eq!(found, (Some(0), String::new()), "{what}: {:?}", trial.site.entries());
    wait_until(what, || trial.site.entries().is_empty());
}

#[test]
fn a_setup_whose_processes_are_killed_anywhere_is_undone_by_cleanup() {
    at_each_call(SETUP, "cleanup", Trial::brought_back);
}

#[test]
fn a_cleanup_whose_processes_are_killed_anywhere_is_completed_by_the_next() {
    at_each_call(CLEANUP, "cleanup", Trial::brought_back);
}

#[test]
fn recover_finishes_what_a_setup_left_whose_processes_were_killed_anywhere() {
    at_each_call(SETUP, "recover", recovered);
}

#[test]
fn recover_finishes_what_a_cleanup_left_whose_processes_were_killed_anywhere() {
    at_each_call(CLEANUP, "recover", recovered);
}

#[test]
fn recover_discards_what_a_setup_left_whose_processes_were_killed_anywhere() {
    at_each_call(SETUP, "discard!", discarded);
}

#[test]
fn recover_discards_what_a_cleanup_left_whose_processes_were_killed_anywhere() {
    at_each_call(CLEANUP, "discard!", discarded);
}

/// The helper below a strace that was started.
fn helper_of(strace: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let found = text(children).split_whitespace().next().unwrap().parse().unwrap();
    Pid::from_raw(found)
}

/// Starts a cleanup, whose call waits a moment before it exchanges the names, and kills the helper.
fn cleanup_whose_call_goes_on(trial: &Trial) -> Child {
    trial.set_up();
    let delay = "renameat2:delay_enter=3000000:when=1";
    let mut strace = traced(trial, CLEANUP, &[delay], ["0", "0"]);
    strace.stdout(Stdio::null()).stderr(Stdio::null());
    let child = strace.spawn().unwrap();
    wait_until("the call runs", || {
        let words = format!("--take\0{}\0", trial.sandbox.display());
        let of_call = |name: &str| {
            fs::read(format!("/proc/{name}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&words))
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter(|entry| of_call(&entry.file_name().to_string_lossy())).count() >= 2
    });
    kill(helper_of(&child), Signal::SIGKILL).unwrap();
    child
}

#[test]
fn a_cleanup_beside_a_call_of_a_killed_one_loses_no_file() {
    for handover in ["own", "copy"] {
        let trial = Trial::owning();
        let mut orphan = cleanup_whose_call_goes_on(&trial);
        let mut call = trial.site.helper(CLEANUP);
        call.arg(&trial.quick).arg(PROXY).arg(&trial.sandbox).args(["9", "1"]);
        let output = call.env("GLEXEC_HELPERS_HANDOVER", handover).output().unwrap();
        orphan.wait().unwrap();
        let what = format!("{handover}: {}", messages(&output));
        trial.one_copy(&what);
        trial.brought_back(&what);
    }
}

#[test]
fn a_cleanup_beside_a_call_that_undoes_what_a_killed_setup_did_waits_for_it() {
    let trial = Trial::owning();
    // The helper has made the sandbox the retained directory then.
    let faults = ["renameat2:signal=SIGKILL:when=7", "fchownat:delay_exit=150000"];
    let mut strace = traced(&trial, SETUP, &faults, ["0", "0"]);
    let mut child = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the helper is killed", || trial.seen(Side::Helper).contains("by SIGKILL"));
    trial.clean_up();
    child.wait().unwrap();
    trial.back("after the call");
    trial.alone("after the call");
}

#[test]
fn a_cleanup_that_is_refused_after_the_exchange_of_names_is_completed_by_the_next() {
    let trial = Trial::owning();
    trial.set_up();
    let user = owner(&trial.sandbox);
    // The first change of an owner is that of a directory beside the sandbox.
    let mut strace = traced(&trial, CLEANUP, &["fchown:signal=SIGKILL:when=2"], ["1", "4"]);
    let child = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first call has ended", || trial.seen(Side::Helper).contains("by SIGKILL"));
    // It makes the second call when it is continued.
    kill(helper_of(&child), Signal::SIGSTOP).unwrap();
    // A process of the lease keeps the second call from taking anything.
    let mut payload = Account::batch().command(program("glexec"));
    payload.env_clear().env("PATH", "/usr/bin:/bin");
    payload.env("GLEXEC_STATE_DIR", trial.site.leases());
    payload.env("GLEXEC_CLIENT_CERT", retained(&trial.sandbox).join(PROXY));
    payload.args(["/bin/sh", "-c", "echo begun; exec sleep 60"]).stdin(Stdio::null());
    payload.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut started = None;
    // The processes that were killed may still have the lease.
    wait_until("a process of the lease runs", || {
        let mut child = payload.spawn().unwrap();
        let has_begun = child.stdout.as_mut().unwrap().read_exact(&mut [0]).is_ok();
        if !has_begun {
            child.wait().unwrap();
        }
        started = Some(child).filter(|_| has_begun);
        has_begun
    });
    let mut payload = started.unwrap();
    kill(helper_of(&child), Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    payload.kill().unwrap();
    payload.wait().unwrap();
    wait_until("the processes of the lease have ended", || processes_of(user.uid).is_empty());
    assert_eq!(output.status.code(), Some(1), "{}", messages(&output));
    assert!(messages(&output).contains("is alive"), "{}", messages(&output));
    trial.one_copy("a cleanup that was refused");
    trial.brought_back("a cleanup that was refused");
}

#[test]
fn a_directory_that_others_may_write_to_does_not_keep_a_cleanup_from_being_completed() {
    let trial = Trial::owning();
    trial.set_up();
    assert!(killed_at(&trial, CLEANUP, "fchown", 2).is_some());
    assert_eq!((owner(&trial.sandbox), mode(&trial.sandbox)), (Account::batch(), 0o1700));
    let outer = retained(&trial.sandbox);
    let mut names = fs::read_dir(&outer).unwrap().map(|entry| entry.unwrap().path());
    let of_job = names.find(|path| path.join("d").is_dir()).unwrap();
    set_mode(&of_job, 0o777);
    set_mode(of_job.join("d"), 0o777);
    trial.clean_up();
    assert_eq!((mode(&trial.sandbox), mode(&trial.sandbox.join("d"))), (0o755, 0o755));
    assert_owner(&trial.sandbox, Account::batch());
}

#[test]
fn a_setup_after_the_end_of_all_is_as_the_first() {
    let trial = Trial::owning();
    assert!(killed_at(&trial, SETUP, "fchown", 1).is_some());
    trial.brought_back("a killed setup");
    trial.set_up();
    let output = trial.site.call(SETUP, &trial.quick, &trial.sandbox).output().unwrap();
    failed(&output, 1, &["it is set up already"]);
    trial.clean_up();
    succeeded(&trial.site.call(CLEANUP, &trial.quick, &trial.sandbox).output().unwrap());
    trial.back("twice");
}

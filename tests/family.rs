//! kill of complete families: real processes of real accounts, through the real switcher.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use support::families::{
    Family, Target, agents, as_job_of, family_program, hunt, is_alive, marked_with, report, state,
};
use support::glexec::processes_of;
use support::handover::{KILL, field, handed_over, kill, text};
use support::installation::Installation;
use support::job::{Job, run};
use support::mounts::{Mounts, on_image};
use support::starter::Starter;
use support::{
    Account, PROXY, Site, as_job, executable, failed, is_rootless, messages, own, retained,
    variables_of, wait_until, write,
};

/// A site with a sandbox that is set up.
fn prepared() -> (Site, PathBuf) {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    (site, sandbox)
}

/// Ends a family by its first process. Fails unless all members have ended, and the report has this
/// number.
fn assert_ended(kind: &str, members: usize, killed: usize) {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, kind, members);
    let output = hunt(&site, &["--family"], &sandbox, &family.child.id().to_string(), "KILL")
        .output()
        .unwrap();
    assert_eq!(family.alive(), [0; 0], "{kind}: {}", messages(&output));
    let (processes, said) = (if killed == 1 { "process" } else { "processes" }, report(&output));
    assert!(
        said.starts_with(&format!("killed {killed} {processes} of 1 family in ")),
        "{kind}: {said}"
    );
    assert!(said.contains(" rounds; 0 left"), "{kind}: {said}");
}

#[test]
fn a_chain_is_ended() {
    assert_ended("chain,20", 20, 20);
}

#[test]
fn a_wide_family_is_ended() {
    assert_ended("wide,100", 100, 100);
}

#[test]
fn a_member_that_left_session_and_parent_is_ended_by_its_mark() {
    assert_ended("detached", 2, 2);
}

#[test]
fn a_member_without_a_mark_is_ended_with_the_leader_of_its_session() {
    assert_ended("session", 2, 2);
}

#[test]
fn a_member_without_a_mark_is_ended_with_the_leader_of_its_group() {
    assert_ended("group", 2, 2);
}

#[test]
fn members_that_ignore_sigterm_are_ended() {
    assert_ended("ignores-term", 1, 1);
}

#[test]
fn members_that_were_stopped_before_are_ended() {
    assert_ended("stopped", 2, 2);
}

#[test]
fn a_member_that_changes_its_process_group_all_the_time_is_ended() {
    assert_ended("changes-group", 2, 2);
}

#[test]
fn a_zombie_counts_as_gone() {
    assert_ended("zombie", 2, 1);
}

#[test]
fn a_member_whose_first_thread_has_ended_is_ended() {
    assert_ended("zombie-leader", 1, 1);
}

#[test]
fn the_rest_of_a_family_whose_root_has_ended_is_ended() {
    let (site, sandbox) = prepared();
    for (option, root) in [("--family", true), ("--sandbox", false)] {
        let mut family = Family::of(&sandbox, "orphan", 1);
        let pid = family.child.id().to_string();
        assert!(family.child.wait().unwrap().success());
        let pid = if root { pid.as_str() } else { "-" };
        let output = hunt(&site, &[option], &sandbox, pid, "KILL").output().unwrap();
        assert!(report(&output).starts_with("killed 1 process of 1 family in "), "{option}");
        assert_eq!(family.alive(), [0; 0], "{option}");
    }
}

#[test]
fn killing_a_family_without_members_reports_0_processes() {
    let (site, sandbox) = prepared();
    for (option, pid) in [("--family", "2147483647"), ("--sandbox", "-")] {
        let output = hunt(&site, &[option], &sandbox, pid, "KILL").output().unwrap();
        let said = report(&output);
        assert!(
            said.starts_with("killed 0 processes of 1 family in 1 round; 0 left"),
            "{option}: {said}"
        );
    }
}

#[test]
fn a_signal_that_reaches_no_process_is_a_failure() {
    let (site, sandbox) = prepared();
    for signal in ["TERM", "STOP", "CONT"] {
        let output = hunt(&site, &["--sandbox"], &sandbox, "-", signal).output().unwrap();
        failed(&output, 2, &["there is no process"]);
    }
}

#[test]
fn what_a_job_started_by_run_leaves_is_ended_by_sandbox() {
    let (site, sandbox) = prepared();
    let mut job =
        Job::start(&site, &sandbox, "setsid /bin/sleep 100 >/dev/null & echo $!; read end");
    let straggler: u32 = job.read_line().parse().unwrap();
    job.write_line("end");
    assert_eq!(job.status(), Some(0));
    assert!(is_alive(straggler));
    report(&hunt(&site, &["--sandbox"], &sandbox, "-", "KILL").output().unwrap());
    assert!(!is_alive(straggler));
}

#[test]
fn a_family_of_1000_is_ended_in_one_call_of_the_switcher() {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, "wide,1000", 1000);
    let calls = site.scratch().join("calls");
    let script = format!("echo >>{}; exec {} \"$@\"", calls.display(), site.switcher().display());
    let counting = site.script("counting", &script);
    let mut command = site.helper("condor_glexec_kill");
    command.arg("--family").arg(counting).arg(retained(&sandbox).join(PROXY));
    let output = command.args([&family.child.id().to_string(), "KILL", "0", "0"]).output().unwrap();
    assert!(report(&output).starts_with("killed 1000 processes of 1 family in "));
    assert_eq!((family.alive(), text(&calls).as_str()), (vec![], "\n"));
}

#[test]
fn a_family_larger_than_the_limit_of_descriptors_is_ended() {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, "wide,200", 200);
    let call = hunt(&site, &["--family"], &sandbox, &family.child.id().to_string(), "KILL");
    let mut few = Account::batch().command("/bin/sh");
    few.args(["-c", "ulimit -n 60; exec \"$@\"", "sh"])
        .arg(call.get_program())
        .args(call.get_args());
    few.env_clear().envs(variables_of(&call));
    let said = report(&few.output().unwrap());
    assert_eq!(family.alive(), [0; 0], "{said}");
    // If the first of them is the first process of the payload's pid namespace, the kernel ends the
    // rest with it.
    assert!(is_rootless() || said.starts_with("killed 200 processes of 1 family in "), "{said}");
}

// Processes that must survive.

#[test]
fn other_processes_of_the_same_and_of_another_user_survive() {
    let (site, sandbox) = prepared();
    let other = handed_over(&site, "another sandbox");
    let bystanders = [
        Family::unmarked(Account::job(), "wide,3", 3),
        Family::of(&other, "wide,3", 3),
        Family::unmarked(Account::other(), "single", 1),
        Family::unmarked(Account::batch(), "single", 1),
    ];
    for (option, root) in [("--family", true), ("--sandbox", false)] {
        let family = Family::of(&sandbox, "wide,3", 3);
        let pid = if root { family.child.id().to_string() } else { "-".to_owned() };
        report(&hunt(&site, &[option], &sandbox, &pid, "KILL").output().unwrap());
        assert_eq!(family.alive(), [0; 0]);
    }
    for family in &bystanders {
        assert_eq!(family.alive(), family.pids);
    }
}

#[test]
fn a_process_that_is_only_in_the_pilots_session_and_group_survives() {
    let (site, sandbox) = prepared();
    // A pilot of the same user leads the session of the job and of another process.
    let script = "\"$0\" single & _GLEXEC_HELPERS_FAMILY=$1 \"$0\" single & wait";
    let mut pilot = as_job_of(&sandbox);
    pilot.args(["/bin/sh", "-c", script]).arg(family_program()).arg(retained(&sandbox));
    let pilot = Family::start(&mut pilot, 2).pid_here(Account::of(&sandbox));
    let marked =
        |pid: &&u32| text(format!("/proc/{pid}/environ")).contains("_GLEXEC_HELPERS_FAMILY=");
    let (jobs, bystanders): (Vec<u32>, Vec<u32>) = pilot.pids.iter().partition(marked);
    report(&hunt(&site, &["--family"], &sandbox, &jobs[0].to_string(), "KILL").output().unwrap());
    assert_eq!(pilot.alive(), bystanders);
    assert!(is_alive(pilot.child.id()));
}

#[test]
fn a_process_with_the_reused_pid_of_a_member_survives() {
    let (site, sandbox) = prepared();
    let (mut first, mut second) =
        (Family::of(&sandbox, "survives-term", 1), Family::of(&sandbox, "survives-term", 1));
    let mut call = hunt(&site, &["--sandbox", "--grace", "2"], &sandbox, "-", "KILL");
    let mut hunting = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Both have been found.
    assert_eq!([first.read_line(), second.read_line()], ["asked", "asked"]);
    let pid = first.pids[0];
    let bystander = recycled(&mut first, "single");
    assert_eq!(bystander.pids, [pid]);
    let status = hunting.wait().unwrap();
    assert_eq!((status.code(), second.alive()), (Some(0), vec![]));
    assert_eq!(bystander.alive(), [pid]);
}

#[test]
fn a_process_with_the_reused_pid_of_a_member_survives_if_the_member_ended_before_it_was_held() {
    let (site, sandbox) = prepared();
    let mut first = Family::of(&sandbox, "single", 1);
    // The agent has found that it is a member, and is about to hold it.
    let strace = "strace -qq -o /dev/null -e trace=pidfd_open -e inject=pidfd_open:delay_enter=3s";
    let slow = site.script("slow", &format!("exec {} {strace} \"$@\"", as_job()));
    let mut call = site.helper(KILL);
    call.arg("--sandbox")
        .arg(slow)
        .arg(retained(&sandbox).join(PROXY))
        .args(["-", "KILL", "0", "0"]);
    let mut hunting = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let calls = |pid: u32| fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = format!("{} ", libc::SYS_pidfd_open);
    wait_until("the agent is about to hold it", || {
        agents("hunt", &retained(&sandbox)).into_iter().any(|pid| calls(pid).starts_with(&number))
    });
    let pid = first.pids[0];
    let bystander = recycled(&mut first, "single");
    assert_eq!(bystander.pids, [pid]);
    hunting.wait().unwrap();
    assert_eq!(bystander.alive(), [pid]);
}

/// Ends a member that is a child of this process, and gives its pid to another process of the same
/// user.
fn recycled(family: &mut Family, kind: &str) -> Family {
    let pid = family.child.id();
    family.child.kill().unwrap();
    family.child.wait().unwrap();
    family.pids.clear();
    let user = Account::job().uid.to_string();
    Family::start(Command::new(family_program()).args(["at", &pid.to_string(), &user, kind]), 1)
}

#[test]
fn a_process_with_the_reused_pid_of_the_root_survives() {
    let (site, sandbox) = prepared();
    let (mut root, mut other) =
        (Family::of(&sandbox, "survives-term", 1), Family::of(&sandbox, "survives-term", 1));
    let pid = root.child.id().to_string();
    let mut hunting = hunt(&site, &["--family", "--grace", "2"], &sandbox, &pid, "KILL")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!([root.read_line(), other.read_line()], ["asked", "asked"]);
    let bystander = recycled(&mut root, "single");
    assert_eq!(hunting.wait().unwrap().code(), Some(0));
    assert_eq!((other.alive(), bystander.alive()), (vec![], bystander.pids.clone()));
    assert_eq!(bystander.pids[0].to_string(), pid);
}

#[test]
fn a_process_in_a_session_with_the_reused_pid_of_a_member_survives() {
    let (site, sandbox) = prepared();
    let mut first = Family::start(Family::led(&sandbox).arg("survives-term"), 1);
    let mut other = Family::of(&sandbox, "survives-term", 1);
    let mut hunting = hunt(&site, &["--sandbox", "--grace", "2"], &sandbox, "-", "KILL")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!([first.read_line(), other.read_line()], ["asked", "asked"]);
    // It leads a session, has a child in it, and exits.
    let bystander = recycled(&mut first, "leader-exits");
    assert_eq!(hunting.wait().unwrap().code(), Some(0));
    assert_eq!((other.alive(), bystander.alive()), (vec![], bystander.pids.clone()));
}

#[test]
fn a_hunt_whose_helper_has_ended_does_not_reach_the_next_job() {
    let (site, sandbox) = prepared();
    let mut old = Family::of(&sandbox, "survives-term", 1);
    let mut hunting = hunt(&site, &["--sandbox", "--grace", "600"], &sandbox, "-", "KILL")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(old.read_line(), "asked");
    hunting.kill().unwrap();
    hunting.wait().unwrap();
    wait_until("the agent has noticed, long before the grace is over", || {
        agents("hunt", &retained(&sandbox)).is_empty()
    });
    let next = Family::of(&sandbox, "single", 1);
    assert_eq!(next.alive(), next.pids);
}

#[test]
fn a_mark_that_only_begins_like_the_sandboxs_is_another() {
    let (site, sandbox) = prepared();
    let longer = format!("_GLEXEC_HELPERS_FAMILY={}x", retained(&sandbox).display());
    let other = Family::with(&sandbox, &[longer.into()], "single", 1);
    report(&hunt(&site, &["--sandbox"], &sandbox, "-", "KILL").output().unwrap());
    assert_eq!(other.alive(), other.pids);
}

#[test]
fn a_process_that_does_not_show_its_mark_is_counted() {
    // No other process of this account exists meanwhile.
    let leased = Leased::new();
    let undumpable = Family::of(&leased.sandbox, "undumpable", 1);
    let said = report(&leased.hunt(&["--sandbox"], "KILL").output().unwrap());
    assert!(
        said.ends_with(
            "; 1 other process of the job user may belong to it \
             (environment unreadable or overwritten)"
        ),
        "{said}"
    );
    assert_eq!(undumpable.alive(), undumpable.pids);
}

#[test]
fn a_proxy_that_is_in_no_retained_directory_has_no_family() {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, "single", 1);
    let mut command = site.helper("condor_glexec_kill");
    command
        .arg("--sandbox")
        .arg(site.switcher())
        .arg(sandbox.join(PROXY))
        .args(["-", "KILL", "0", "0"]);
    failed(&command.output().unwrap(), 1, &[".condor"]);
    assert_eq!(family.alive(), family.pids);
}

#[test]
fn the_callers_own_family_is_refused() {
    let (site, sandbox) = prepared();
    let own = std::process::id().to_string();
    let output = hunt(&site, &["--family"], &sandbox, &own, "KILL").output().unwrap();
    failed(&output, 1, &[&own, "one of its ancestors"]);
}

#[test]
fn a_process_of_another_job_is_no_root() {
    let (site, sandbox) = prepared();
    let family = Family::of(&handed_over(&site, "another sandbox"), "single", 1);
    let _own = Target::start(&sandbox);
    let output =
        hunt(&site, &["--family"], &sandbox, &family.pids[0].to_string(), "KILL").output().unwrap();
    failed(&output, 2, &[&family.pids[0].to_string(), "another job", "another sandbox.condor"]);
    assert_eq!(family.alive(), family.pids);
}

#[test]
fn a_switcher_that_leads_to_the_caller_itself_ends_no_process() {
    let (site, sandbox) = prepared();
    let itself = site.script("itself", "exec \"$@\"");
    let bystander = Family::unmarked(Account::batch(), "single", 1);
    for options in [&["--family"][..], &["--account"]] {
        let mut command = site.helper("condor_glexec_kill");
        let pid =
            if options == ["--family"] { bystander.pids[0].to_string() } else { "-".to_owned() };
        command
            .args(options)
            .arg(&itself)
            .arg(retained(&sandbox).join(PROXY))
            .args([&pid, "KILL", "0", "0"]);
        failed(&command.output().unwrap(), 2, &["as the calling user"]);
        assert_eq!(bystander.alive(), bystander.pids);
    }
}

#[test]
fn sigcont_does_not_reach_another_user_in_the_same_session() {
    let (site, sandbox) = prepared();
    let _own = Target::start(&sandbox);
    let target = Account::other().command("sleep").arg("60").spawn().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(target.id().cast_signed()),
        nix::sys::signal::SIGSTOP,
    )
    .unwrap();
    wait_until("it is stopped", || state(target.id()) == Some('T'));
    let output = kill(&site, &site.switcher(), &sandbox, target.id(), "CONT").output().unwrap();
    assert_eq!(state(target.id()), Some('T'));
    let mut target = target;
    target.kill().unwrap();
    target.wait().unwrap();
    failed(&output, 2, &["not the job user's"]);
}

// Grace.

#[test]
fn with_grace_members_end_by_themselves_and_the_rest_is_killed() {
    let (site, sandbox) = prepared();
    let (mut exiting, ignoring) =
        (Family::of(&sandbox, "exits-on-term", 1), Family::of(&sandbox, "ignores-term", 1));
    let started = Instant::now();
    let output =
        hunt(&site, &["--sandbox", "--grace", "1"], &sandbox, "-", "KILL").output().unwrap();
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "the process that ignores SIGTERM had its time"
    );
    assert!(report(&output).starts_with("killed 2 processes of 1 family in "));
    assert_eq!((exiting.alive(), ignoring.alive()), (vec![], vec![]));
    assert_eq!(exiting.read_line(), "asked");
    assert_eq!(exiting.child.wait().unwrap().code(), Some(0), "it ended by itself");
}

#[test]
fn with_grace_the_call_returns_when_all_members_have_ended() {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, "exits-on-term", 1);
    let started = Instant::now();
    report(&hunt(&site, &["--sandbox", "--grace", "600"], &sandbox, "-", "KILL").output().unwrap());
    assert!(started.elapsed() < Duration::from_secs(600));
    assert_eq!(family.alive(), [0; 0]);
}

#[test]
fn with_grace_a_stopped_member_receives_the_signal() {
    let (site, sandbox) = prepared();
    let mut family = Family::of(&sandbox, "exits-on-term", 1);
    let pid = nix::unistd::Pid::from_raw(family.pids[0].cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::SIGSTOP).unwrap();
    family.wait_for("it is stopped", |state| state == 'T');
    report(&hunt(&site, &["--sandbox", "--grace", "600"], &sandbox, "-", "KILL").output().unwrap());
    assert_eq!(family.child.wait().unwrap().code(), Some(0), "it ended by itself");
}

#[test]
fn a_fork_bomb_is_ended_twenty_times_in_a_row() {
    let (site, sandbox) = prepared();
    for round in 0..20 {
        let family = Family::of(&sandbox, "fork-bomb,500", 1);
        let grace = if round % 2 == 0 { &["--family"][..] } else { &["--family", "--grace", "1"] };
        let output =
            hunt(&site, grace, &sandbox, &family.child.id().to_string(), "KILL").output().unwrap();
        let said = report(&output);
        assert!(said.contains("; 0 left"), "{said}");
        let left = marked_with(&sandbox);
        assert!(left.is_empty(), "round {round}: {left:?}, {said}");
    }
}

// Other signals.

#[test]
fn a_family_is_stopped_and_continued() {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, "detached", 2);
    let other = Family::unmarked(Account::job(), "single", 1);
    for (signal, did, states) in [("STOP", "stopped", "T"), ("CONT", "continued", "SR")] {
        let output = hunt(&site, &["--family"], &sandbox, &family.child.id().to_string(), signal)
            .output()
            .unwrap();
        assert!(report(&output).starts_with(&format!("{did} 2 processes of 1 family in ")));
        family.wait_for(did, |state| states.contains(state));
        assert_ne!(state(other.pids[0]), Some('T'));
    }
}

#[test]
fn another_signal_reaches_every_member_once() {
    let (site, sandbox) = prepared();
    let mut family =
        [Family::of(&sandbox, "exits-on-term", 1), Family::of(&sandbox, "exits-on-term", 1)];
    let output = hunt(&site, &["--sandbox"], &sandbox, "-", "TERM").output().unwrap();
    assert!(report(&output).starts_with("sent TERM to 2 processes of 1 family in "));
    for one in &mut family {
        assert_eq!((one.read_line().as_str(), one.read_line().as_str()), ("asked", ""));
    }
}

// Below a sudo that stays.

/// A job below a monitoring sudo, and the installation that it belongs to.
fn monitored<'a>(site: &'a Site, sandbox: &Path, script: &str) -> (Installation<'a>, Starter) {
    let installation = Installation::with_sudo_setting(site, "pam_session");
    let mut call =
        installation.own(&run(site, &site.switcher(), sandbox, &["/bin/sh", "-c", script]));
    // As a starter does: the supervisor is in another session.
    let mut session = Command::new("setsid");
    session
        .arg("--wait")
        .arg(call.get_program())
        .args(call.get_args())
        .env_clear()
        .stderr(Stdio::null());
    session.envs(variables_of(&call));
    call = session;
    (installation, Starter::start(call))
}

#[test]
fn a_job_below_a_monitoring_sudo_is_suspended_and_continued_and_its_end_is_noticed() {
    let (site, sandbox) = prepared();
    let path = sandbox.join("pid");
    let (installation, mut starter) = monitored(
        &site,
        &sandbox,
        "echo $$ >pid.new; mv pid.new pid
        while [ -e \"$PWD\" ] && [ ! -e go ]; do sleep 0.1; done; exit 7",
    );
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
    wait_until("the job has begun", || path.exists());
    let job: u32 = text(&path).trim().parse().unwrap();
    let sudo = |pid: u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim() == "sudo"
    };
    let ancestors: Vec<u32> = std::iter::successors(Some(job), |pid| parent(*pid)).collect();
    assert!(ancestors.iter().any(|pid| sudo(*pid)), "sudo has stayed");
    let run = starter.child.id().to_string();
    for way in [Some(("--sandbox", "-")), Some(("--family", run.as_str())), None] {
        // The last is the call of a supervisor that knows only processes.
        let send = |signal: &str| {
            if let Some((option, pid)) = way {
                let call = hunt(&site, &[option], &sandbox, pid, signal);
                report(&installation.own(&call).output().unwrap());
            } else {
                for pid in ancestors.iter().take_while(|pid| !sudo(**pid)) {
                    support::succeeded(
                        &installation
                            .own(&kill(&site, &site.switcher(), &sandbox, *pid, signal))
                            .output()
                            .unwrap(),
                    );
                }
            }
        };
        send("STOP");
        wait_until("the job is stopped", || state(job) == Some('T'));
        send("CONT");
        wait_until("the job goes on", || state(job) != Some('T'));
    }
    write(sandbox.join("go"), "", 0o644);
    assert_eq!(starter.wait().code(), Some(7));
}

#[test]
fn a_signal_to_the_pid_of_run_reaches_the_job_below_a_monitoring_sudo() {
    let (site, sandbox) = prepared();
    for meaning in ["process", "family"] {
        let begun = |script: &str| {
            let (installation, mut starter) = monitored(&site, &sandbox, script);
            let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
            assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
            wait_until("the job has begun", || sandbox.join("begun").exists());
            fs::remove_file(sandbox.join("begun")).unwrap();
            (installation, starter)
        };
        let send = |installation: &Installation<'_>, starter: &Starter, signal: &str| {
            let mut call = kill(&site, &site.switcher(), &sandbox, starter.child.id(), signal);
            call.env("GLEXEC_HELPERS_KILL", meaning);
            support::succeeded(&installation.own(&call).output().unwrap());
        };
        let (installation, mut asked) =
            begun("trap 'exit 5' TERM; : >begun; while :; do sleep 0.05; done");
        send(&installation, &asked, "TERM");
        assert_eq!(asked.wait().code(), Some(5), "{meaning}");
        drop(installation);
        fs::remove_dir_all(site.path().join("programs")).unwrap();
        let (installation, mut stopped) = begun(": >begun; exec sleep 60");
        let job = || {
            let sleeps = |pid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
            };
            marked_with(&sandbox).into_iter().filter(sleeps)
        };
        let states = || job().map(state).collect::<Vec<_>>();
        send(&installation, &stopped, "STOP");
        wait_until("the job is stopped", || states() == [Some('T')]);
        assert_ne!(state(stopped.child.id()), Some('T'), "sudo would not be continued");
        send(&installation, &stopped, "CONT");
        wait_until("the job goes on", || states() == [Some('S')]);
        // For another sandbox it is only a process of root.
        let other = site.sandbox(format!("other-{meaning}"));
        site.set_up(&other);
        let call = kill(&site, &site.switcher(), &other, stopped.child.id(), "KILL");
        failed(&installation.own(&call).output().unwrap(), 2, &["not the job user's"]);
        send(&installation, &stopped, "KILL");
        assert_eq!(stopped.status(), 137, "{meaning}");
        wait_until("the job has ended", || states().is_empty());
        drop(installation);
        fs::remove_dir_all(site.path().join("programs")).unwrap();
    }
}

#[test]
fn a_job_below_a_monitoring_sudo_is_killed_and_its_end_is_noticed() {
    let (site, sandbox) = prepared();
    for options in [&["--family"][..], &["--sandbox"]] {
        let script = "sleep 100 & : >ready; sleep 100";
        let (installation, mut starter) = monitored(&site, &sandbox, script);
        let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
        wait_until("the job has begun", || sandbox.join("ready").exists());
        fs::remove_file(sandbox.join("ready")).unwrap();
        let pid =
            if options == ["--family"] { starter.child.id().to_string() } else { "-".to_owned() };
        report(&installation.own(&hunt(&site, options, &sandbox, &pid, "KILL")).output().unwrap());
        assert_eq!(starter.status(), 137);
        assert_eq!(marked_with(&sandbox), [0; 0]);
        drop(installation);
        fs::remove_dir_all(site.path().join("programs")).unwrap();
    }
}

#[test]
fn a_signal_to_a_monitoring_sudo_reaches_the_job_and_the_jobs_end_the_caller() {
    let (site, sandbox) = prepared();
    let script = "trap 'exit 9' TERM; : >ready; while [ -e \"$PWD\" ]; do sleep 0.1; done";
    let (_installation, mut starter) = monitored(&site, &sandbox, script);
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
    wait_until("the job has begun", || sandbox.join("ready").exists());
    let jobs = marked_with(&sandbox);
    let monitor = jobs
        .iter()
        .flat_map(|pid| std::iter::successors(Some(*pid), |pid| parent(*pid)))
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim() == "sudo"
        });
    // As root, to which the process of sudo belongs.
    let monitor = nix::unistd::Pid::from_raw(monitor.unwrap().cast_signed());
    nix::sys::signal::kill(monitor, nix::sys::signal::SIGTERM).unwrap();
    assert_eq!(starter.wait().code(), Some(9));
}

#[test]
fn a_job_below_a_monitoring_sudo_gets_the_signal_once_and_can_stop_its_own_group() {
    let (site, sandbox) = prepared();
    let script = "trap 'echo asked >>asked' TERM; : >ready
        while [ -e \"$PWD\" ] && [ ! -e go ]; do sleep 0.05; done; kill -STOP 0; exit 7";
    let (installation, mut starter) = monitored(&site, &sandbox, script);
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
    wait_until("the job has begun", || sandbox.join("ready").exists());
    let run = starter.child.id().to_string();
    report(
        &installation.own(&hunt(&site, &["--family"], &sandbox, &run, "TERM")).output().unwrap(),
    );
    wait_until("it has received of it", || sandbox.join("asked").exists());
    write(sandbox.join("go"), "", 0o644);
    wait_until("it has stopped itself", || {
        marked_with(&sandbox).iter().any(|pid| state(*pid) == Some('T'))
    });
    assert_eq!(text(sandbox.join("asked")), "asked\n");
    report(
        &installation.own(&hunt(&site, &["--family"], &sandbox, &run, "CONT")).output().unwrap(),
    );
    assert_eq!(starter.wait().code(), Some(7));
}

#[test]
fn a_job_below_a_monitoring_sudo_does_not_outlive_the_agent_above_it() {
    let (site, sandbox) = prepared();
    let (_installation, mut starter) = monitored(&site, &sandbox, ": >ready; exec sleep 100");
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
    wait_until("the job has begun", || sandbox.join("ready").exists());
    // While it executes another program, it shows no mark.
    let mut marked = Vec::new();
    wait_until("the job shows its mark", || {
        marked = marked_with(&sandbox);
        !marked.is_empty()
    });
    let job = marked[0];
    let above = nix::unistd::Pid::from_raw(parent(job).unwrap().cast_signed());
    nix::sys::signal::kill(above, nix::sys::signal::SIGKILL).unwrap();
    assert_eq!(starter.status(), 137);
    wait_until("the job has ended, too", || !is_alive(job));
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

// Processes that are left.

#[test]
fn a_member_that_waits_for_a_disk_is_named_as_left() {
    let site = Site::new();
    let _mounts = on_image(&site, "ext4", 64);
    let sandbox = handed_over(&site, "s");
    let frozen = |how: &str| {
        assert!(Command::new("fsfreeze").arg(how).arg(site.execute()).status().unwrap().success());
    };
    frozen("--freeze");
    let script = "echo $$; echo x >$0/written";
    let mut writer = as_job_of(&sandbox);
    writer
        .args(["/usr/bin/env", "-i"])
        .arg(format!("_GLEXEC_HELPERS_FAMILY={}", retained(&sandbox).display()));
    writer.args(["/bin/sh", "-c", script]).arg(&sandbox);
    let mut writer = Family::start(&mut writer, 1).pid_here(Account::of(&sandbox));
    let pid = writer.pids[0];
    wait_until("it waits", || state(pid) == Some('D'));
    let output = hunt(&site, &["--sandbox"], &sandbox, "-", "KILL").output().unwrap();
    frozen("--unfreeze");
    writer.child.wait().unwrap();
    failed(&output, 2, &["1 process is left", &format!("{pid} (sh): state D")]);
    // Other processes of that account, of simultaneous tests, may not show their users.
    assert!(String::from_utf8_lossy(&output.stdout).contains("; 1 left"));
}

#[test]
fn a_descendant_that_became_another_user_is_named_as_left() {
    let (site, sandbox) = prepared();
    let program = site.path().join("other-user");
    executable(&program, &fs::read(family_program()).unwrap());
    Account::other().owns(&program);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let mut command = Account::job().command(&program);
    command.arg("other-user").env_clear().env("_GLEXEC_HELPERS_FAMILY", retained(&sandbox));
    let family = Family::start(&mut command, 2);
    let output = hunt(&site, &["--family"], &sandbox, &family.child.id().to_string(), "KILL")
        .output()
        .unwrap();
    let left = family.alive();
    assert_eq!(left.len(), 1);
    failed(&output, 2, &["1 process is left", &left[0].to_string(), "not permitted"]);
}

// Accounts.

/// The account that is leased to one job at a time: the tests that use it wait for each other.
struct Leased {
    _turn: MutexGuard<'static, ()>,
    site: Site,
    sandbox: PathBuf,
    account: Account,
}

impl Leased {
    fn new() -> Leased {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let site = Site::new();
        let sandbox = site.sandbox("s");
        let mut setup = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
        Leased::lead(&site, &mut setup);
        support::succeeded(&setup.output().unwrap());
        let account = Account::of(&sandbox);
        Leased { _turn: turn, site, sandbox, account }
    }

    /// A sandbox of the account. The project's own switcher has a separate user for each sandbox.
    fn lead(site: &Site, call: &mut Command) {
        if !is_rootless() {
            site.map_to_another_user(call);
        }
    }

    fn hunt(&self, options: &[&str], signal: &str) -> Command {
        let mut command = hunt(&self.site, options, &self.sandbox, "-", signal);
        Leased::lead(&self.site, &mut command);
        command
    }

    /// Processes of the account without a mark.
    fn family(&self, kind: &str, members: usize) -> Family {
        Family::with(&self.sandbox, &[], kind, members)
    }

    /// Runs a command as the account.
    fn run(&self, words: &[&str]) {
        let mut command = as_job_of(&self.sandbox);
        assert!(command.args(words).stdout(Stdio::null()).status().unwrap().success(), "{words:?}");
    }
}

#[test]
fn every_process_of_an_account_is_ended_whatever_it_did_to_hide() {
    let leased = Leased::new();
    let bystander = Family::unmarked(Account::named("gh-job"), "single", 1);
    for options in [&["--account"][..], &["--account", "--grace", "1"]] {
        let family = ["wide,3", "unmarked", "ignores-term", "zombie-leader"]
            .map(|kind| leased.family(kind, if kind == "wide,3" { 3 } else { 1 }));
        let bomb = leased.family("fork-bomb-in-sessions,60", 1);
        let output = leased.hunt(options, "KILL").output().unwrap();
        assert!(report(&output).contains(" of the account in "), "{options:?}");
        for family in family.iter().chain([&bomb]) {
            assert_eq!(family.alive(), [0; 0], "{options:?}");
        }
        assert_eq!(processes_of(leased.account.uid), [0; 0], "{options:?}");
    }
    assert_eq!(bystander.alive(), bystander.pids);
}

#[test]
fn a_cleanup_that_is_asked_to_ends_the_family_or_the_account_before_the_files_come_back() {
    let leased = Leased::new();
    let marked = Family::of(&leased.sandbox, "single", 1);
    let unmarked = leased.family("unmarked", 1);
    let cleanup = |ends: &str| {
        let mut cleanup =
            leased.site.call("condor_glexec_cleanup", &leased.site.switcher(), &leased.sandbox);
        Leased::lead(&leased.site, &mut cleanup);
        cleanup.env("GLEXEC_HELPERS_CLEANUP", ends).output().unwrap()
    };
    let other = cleanup("everything");
    assert_eq!(other.status.code(), Some(1));
    assert!(
        support::messages(&other)
            .contains("GLEXEC_HELPERS_CLEANUP must be files, family or account")
    );
    assert_eq!((marked.alive().len(), unmarked.alive().len()), (1, 1));
    support::succeeded(&cleanup("family"));
    assert_eq!((marked.alive().len(), unmarked.alive().len()), (0, 1));
    let mut setup =
        leased.site.call("condor_glexec_setup", &leased.site.switcher(), &leased.sandbox);
    Leased::lead(&leased.site, &mut setup);
    support::succeeded(&setup.output().unwrap());
    support::succeeded(&cleanup("account"));
    assert_eq!(unmarked.alive(), [0; 0]);
}

#[test]
fn what_an_account_leaves_is_named_and_with_clean_removed_but_sandboxes_stay() {
    let leased = Leased::new();
    // What a failed test may have left.
    report(&leased.hunt(&["--account", "--clean"], "KILL").output().unwrap());
    let kept = Path::new("/tmp/gh-test-sandbox");
    let made_beside = Path::new("/tmp/gh-test-sandbox.gh.0123abcd");
    for directory in [kept.to_path_buf(), made_beside.to_path_buf(), retained(kept)] {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
    }
    own(kept, leased.account);
    own(made_beside, leased.account);
    own(&retained(kept), Account::batch());
    let of_other = Path::new("/tmp/gh-test-of-other");
    write(of_other, "", 0o666);
    Account::other().owns(of_other);
    leased.run(&[
        "/bin/sh",
        "-c",
        "mkdir -p /tmp/gh-test-left/below && chmod 0 /tmp/gh-test-left/below &&
            echo x >/dev/shm/gh-test-left",
    ]);
    leased.run(&["ipcmk", "--shmem", "4096"]);
    leased.run(&["ipcmk", "--queue"]);
    leased.run(&["ipcmk", "--semaphore", "1"]);
    let left = [
        "/tmp/gh-test-left",
        "/dev/shm/gh-test-left",
        "shared memory ",
        "message queue ",
        "semaphore set ",
    ];

    let named = report(&leased.hunt(&["--account"], "KILL").output().unwrap());
    assert!(left.iter().all(|left| named.contains(left)), "{named}");
    assert!(
        named.contains("the account left 5 files, directories and System V IPC objects, 0 removed"),
        "{named}"
    );
    assert!(Path::new(left[0]).exists());

    let removed = report(&leased.hunt(&["--account", "--clean"], "KILL").output().unwrap());
    assert!(
        removed
            .contains("the account left 5 files, directories and System V IPC objects, 5 removed"),
        "{removed}"
    );
    let again = report(&leased.hunt(&["--account", "--clean"], "KILL").output().unwrap());
    assert!(again.contains("; 0 left") && !again.contains("behind"), "{again}");
    assert!(!Path::new(left[0]).exists() && !Path::new(left[1]).exists());
    assert!(kept.exists() && made_beside.exists() && of_other.exists());
    for path in [kept.to_path_buf(), made_beside.to_path_buf(), retained(kept)] {
        fs::remove_dir_all(path).unwrap();
    }
    fs::remove_file(of_other).unwrap();
}

#[test]
fn only_what_the_caller_keeps_makes_a_sandbox_that_clean_leaves() {
    let leased = Leased::new();
    let (account, batch, other) = (leased.account, Account::batch(), Account::other());
    // Beside each, an entry with a name that is derived from it: the owner, the kind, and whether
    // it then is a sandbox.
    let beside = [
        ("batch", ".condor", batch, true, true),
        ("aside", ".gh.0123abcd", batch, true, true),
        ("file", ".condor", batch, false, false),
        ("injected", ".condor", other, true, false),
        ("injected-too", ".gh.0123abcd", other, true, false),
        ("own", ".condor", account, true, false),
    ];
    for (name, suffix, owner, is_directory, _) in beside {
        let path = format!("/tmp/gh-test-{name}");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        account.owns(&path);
        let made = format!("{path}{suffix}");
        let _ = fs::remove_dir_all(&made);
        let _ = fs::remove_file(&made);
        match is_directory {
            true => fs::create_dir(&made).unwrap(),
            false => write(&made, "", 0o600),
        }
        owner.owns(&made);
    }
    report(&leased.hunt(&["--account", "--clean"], "KILL").output().unwrap());
    let left = beside.map(|(name, ..)| (name, Path::new(&format!("/tmp/gh-test-{name}")).exists()));
    for (name, suffix, ..) in beside {
        for path in [format!("/tmp/gh-test-{name}"), format!("/tmp/gh-test-{name}{suffix}")] {
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
    }
    assert_eq!(left, beside.map(|(name, .., stays)| (name, stays)));
}

#[test]
fn what_cannot_be_removed_is_a_failure() {
    let leased = Leased::new();
    let stuck = Path::new("/tmp/gh-test-stuck");
    let _ = fs::create_dir(stuck);
    leased.account.owns(stuck);
    fs::create_dir(stuck.join("mounted")).unwrap();
    let mounts = Mounts::below(stuck);
    mounts.add(&["-t", "tmpfs", "none"], &stuck.join("mounted"));
    let output = leased.hunt(&["--account", "--clean"], "KILL").output().unwrap();
    drop(mounts);
    fs::remove_dir_all(stuck).unwrap();
    failed(&output, 2, &["could not be removed", "/tmp/gh-test-stuck/mounted"]);
}

// Callers whose arguments are fixed.

#[test]
fn with_the_variable_a_plain_sigkill_ends_the_family_and_other_signals_one_process() {
    let (site, sandbox) = prepared();
    let family = Family::of(&sandbox, "wide,3", 3);
    let first = family.pids[0];
    let plain = |pid: u32, signal: &str| {
        let mut command = kill(&site, &site.switcher(), &sandbox, pid, signal);
        command.env("GLEXEC_HELPERS_KILL", "family").output().unwrap()
    };
    support::succeeded(&plain(first, "STOP"));
    let stopped = || family.pids.iter().filter(|pid| state(**pid) == Some('T')).count();
    wait_until("one is stopped", || stopped() == 1);
    // Any of them is enough.
    let any = *family.pids.iter().find(|pid| **pid != first).unwrap();
    let output = plain(any, "KILL");
    assert_eq!(
        (output.status.code(), output.stdout.len(), messages(&output).as_str()),
        (Some(0), 0, "")
    );
    assert_eq!(family.alive(), [0; 0]);
}

#[test]
fn a_process_that_has_ended_or_cannot_be_a_job_costs_no_call_of_the_switcher() {
    let (site, sandbox) = prepared();
    let never = site.script("never", "echo called >&2; exit 202");
    let mut own = Account::batch().command("sleep").arg("60").spawn().unwrap();
    let mut gone = Account::job().command("true").spawn().unwrap();
    gone.wait().unwrap();
    for variable in ["process", "family"] {
        let call = |pid: u32| {
            let mut command = kill(&site, &never, &sandbox, pid, "KILL");
            command.env("GLEXEC_HELPERS_KILL", variable).output().unwrap()
        };
        failed(&call(own.id()), 2, &["not the job user's"]);
        failed(&call(1), 2, &["not the job user's"]);
        failed(&call(gone.id()), 2, &["no such process"]);
    }
    assert!(own.try_wait().unwrap().is_none());
    own.kill().unwrap();
    own.wait().unwrap();
}

// The report.

#[test]
fn a_hunt_is_reported_as_json_and_in_the_log() {
    let (site, sandbox) = prepared();
    let log = site.scratch().join("log");
    let family = Family::of(&sandbox, "wide,3", 3);
    let mut command =
        hunt(&site, &["--family", "--json"], &sandbox, &family.child.id().to_string(), "KILL");
    let said = report(&command.env("GLEXEC_HELPERS_LOG", &log).output().unwrap());
    let log = text(&log);
    // The switcher may use the same log.
    let logged = log.lines().find(|line| field(line, "helper") != "\"glexec\"").unwrap();
    for line in [said.as_str(), logged] {
        let whole: serde_json::Value = serde_json::from_str(line).unwrap();
        let hunted = whole.get("kill").unwrap_or(&whole);
        assert_eq!((&hunted["signal"], &hunted["scope"]), (&"KILL".into(), &"family".into()));
        assert_eq!((&hunted["processes"], &hunted["left"]), (&3.into(), &0.into()));
    }
    assert_eq!(field(logged, "status"), "0");
}

//! A job as HTCondor's starter runs it: the working directory of the starter is the sandbox all the
//! time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use support::condor::Condor;
use support::glexec::processes_of;
use support::handover::{CLEANUP, filled, holds, new_proxy, run, set_mode, text};
use support::snapshot::set_attribute;
use support::starter::Starter;
use support::{
    Account, PROXY, Site, job, own, owner, program, retained, succeeded, variables_of, wait_until,
    write,
};

#[test]
fn a_job_of_a_starter_with_the_sandbox_as_working_directory_runs_from_setup_to_cleanup() {
    let site = Site::new();
    let sandbox = filled(&site, "dir_1");
    let condor = Condor::new(&site, &sandbox);
    condor.update(&new_proxy(&site, "first"), false).succeeded();
    condor.setup().succeeded();
    condor.update(&new_proxy(&site, "second"), true).succeeded();
    let (null, output) =
        (File::open("/dev/null").unwrap(), File::create(site.path().join("output")).unwrap());
    let job = ["/bin/sh", "-c", "cat x509_proxy; echo result >result; exit 7"];
    let mut starter = condor.run(&site.switcher(), b"PATH=/bin", &job, [&null, &output, &output]);
    assert_eq!(starter.wait().code(), Some(7));
    condor.cleanup().succeeded();
    assert_eq!(text(site.path().join("output")), "second");
    assert_eq!(condor.list(), ["below", "input", "link", "result", PROXY]);
    assert_eq!(condor.read("result").as_deref(), Some("result\n"));
    assert_eq!(site.entries(), ["dir_1"]);
}

#[test]
fn the_directory_that_the_sandbox_was_is_the_retained_one_and_then_the_sandbox_again() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let condor = Condor::new(&site, &sandbox);
    condor.setup().succeeded();
    assert!(condor.is_in(&retained(&sandbox)));
    assert_eq!(condor.read(PROXY).as_deref(), Some("the proxy\n"));
    assert_eq!(condor.list(), [PROXY]);
    condor.update(&new_proxy(&site, "renewed"), true).succeeded();
    assert_eq!(condor.read(PROXY).as_deref(), Some("renewed"));
    condor.cleanup().succeeded();
    assert!(condor.is_in(&sandbox));
    assert_eq!(
        (condor.read(PROXY).as_deref(), condor.read("input").as_deref()),
        (Some("renewed"), Some("the input"))
    );
}

#[test]
fn signals_of_the_procd_reach_the_job_by_the_pid_of_run() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let condor = Condor::new(&site, &sandbox);
    condor.setup().succeeded();
    let path = site.path().join("output");
    let (null, output) = (File::open("/dev/null").unwrap(), File::create(&path).unwrap());
    let job = [
        "/bin/sh",
        "-c",
        "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ];
    let mut starter = condor.run(&site.switcher(), b"PATH=/bin", &job, [&null, &output, &output]);
    wait_until("the job is ready", || text(&path) == "ready\n");
    let pid = starter.child.id();
    for signal in ["STOP", "CONT", "TERM"] {
        assert_eq!(condor.procd_kill(&site.switcher(), pid, signal), Some(0), "{signal}");
    }
    assert_eq!(starter.wait().code(), Some(3));
    assert_eq!(text(&path), "ready\nasked\n");
    condor.cleanup().succeeded();
}

#[test]
fn a_sandbox_whose_proxy_others_can_read_comes_back_though_setup_was_killed() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    set_mode(sandbox.join(PROXY), 0o644);
    // The state after a setup that was killed when the sandbox had the retained name.
    fs::rename(&sandbox, retained(&sandbox)).unwrap();
    let condor = Condor::new(&site, &retained(&sandbox));
    fs::create_dir(&sandbox).unwrap();
    write(sandbox.join("input"), "begun", 0o644);
    own(&sandbox, Account::job());
    succeeded(&site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap());
    assert!(condor.is_in(&sandbox));
    assert_eq!(text(sandbox.join("input")), "the input");
    holds(&sandbox, "the proxy\n", Account::batch());
}

#[test]
fn what_the_sandbox_was_before_leaves_no_attribute_and_no_list_on_what_comes_back() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    set_attribute(&sandbox, "user.before", "setup");
    let of = |program, words: &str| {
        let words = words.split(' ').map(AsRef::as_ref).chain([sandbox.as_os_str()]);
        run(program, &words.collect::<Vec<_>>())
    };
    of("setfacl", "-m u:gh-other:rwx,d:u:gh-other:rwx");
    let condor = Condor::new(&site, &sandbox);
    condor.setup().succeeded();
    of("setfattr", "-x user.before");
    condor.cleanup().succeeded();
    let lists = of("getfacl", "-Rcp");
    assert!(!lists.contains("gh-other"), "{lists}");
    let attributes = of("getfattr", "-d");
    assert!(!attributes.contains("user.before"), "{attributes}");
}

#[test]
fn update_proxy_changes_nothing_about_a_directory_that_a_cleanup_has_all_but_finished() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let condor = Condor::new(&site, &sandbox);
    condor.setup().succeeded();
    // The state after a cleanup of a job that left nothing, killed after its commit: complete,
    // although it contains only the proxy.
    set_mode(retained(&sandbox), 0o755);
    condor.update(&new_proxy(&site, "renewed"), true).succeeded();
    assert_eq!(fs::metadata(retained(&sandbox)).unwrap().permissions().mode() & 0o7777, 0o755);
    condor.cleanup().succeeded();
    assert_eq!(condor.read(PROXY).as_deref(), Some("renewed"));
}

#[test]
fn a_directory_of_root_in_the_sandbox_stays_and_keeps_nothing_from_coming_back() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    fs::create_dir_all(sandbox.join("roots/deeper")).unwrap();
    write(sandbox.join("roots/deeper/file"), "made by a daemon", 0o644);
    let condor = Condor::new(&site, &sandbox);
    condor.setup().succeeded();
    assert_eq!(text(sandbox.join("roots/deeper/file")), "made by a daemon");
    let called = condor.cleanup();
    assert_eq!((called.status, called.said.lines().count()), (Some(0), 1), "{called:?}");
    assert!(called.said.contains("you cannot remove it"), "{called:?}");
    let left = condor.list();
    assert_eq!(left, ["below", "input", "link", "roots", PROXY]);
    assert_eq!(owner(&sandbox.join("roots")), Account::batch());
    let printed = called.said.split(": this was").next().unwrap().rsplit(' ').next().unwrap();
    assert!(Path::new(printed).is_dir(), "{called:?}");
}

#[test]
fn what_stays_in_a_sandbox_that_is_set_up_again_keeps_nothing_from_coming_back() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    fs::create_dir_all(sandbox.join("roots/deeper")).unwrap();
    write(sandbox.join("roots/deeper/file"), "made by a daemon", 0o644);
    let condor = Condor::new(&site, &sandbox);
    for round in 0..3 {
        condor.setup().succeeded();
        write(sandbox.join("result"), format!("of round {round}"), 0o644);
        own(&sandbox.join("result"), Account::job());
        let called = condor.cleanup();
        assert_eq!((called.status, called.said.lines().count()), (Some(0), 1), "{called:?}");
        assert_eq!(condor.read("result"), Some(format!("of round {round}")));
    }
}

#[test]
fn a_job_behind_the_projects_own_switcher_does_not_outlive_its_starter() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let glexec = program("glexec");
    succeeded(&site.call("condor_glexec_setup", &glexec, &sandbox).output().unwrap());
    let run = job::run(&site, &glexec, &sandbox, &["/bin/sleep", "60"]);
    // A shell is in the place of the starter. The end of the job's socket does not end the job: the
    // test has it.
    let mut above = Account::batch().command("/bin/sh");
    above.env_clear().envs(variables_of(&run)).args([
        "-c",
        r#"exec 3<&0; "$@" <&3 3<&- & wait"#,
        "starter",
    ]);
    above.arg(run.get_program()).args(run.get_args());
    let mut starter = Starter::start(above);
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
    let alive = || !processes_of(Account::of(&sandbox).uid).is_empty();
    assert!(alive(), "the job runs");
    starter.child.kill().unwrap();
    starter.wait();
    wait_until("the job has ended", || !alive());
    succeeded(&site.call(CLEANUP, &glexec, &sandbox).output().unwrap());
}

//! What setup leaves running: a child that deletes the old data, while setup's caller continues.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::handover::{CLEANUP, SETUP, assert_is_handed_over, text};
use support::{Account, Site, messages, own, retained, succeeded, variables_of, wait_until, write};

/// A sandbox whose deletion takes longer than the start of a process.
fn large(site: &Site) -> PathBuf {
    let sandbox = site.sandbox("s");
    for number in 0..200 {
        write(sandbox.join(format!("file {number}")), "content", 0o644);
    }
    own(&sandbox, Account::batch());
    sandbox
}

/// A setup that has ended, and whose child strace(1) has stopped before it deletes the first file.
struct Stopped {
    strace: Child,
    child: PathBuf,
}

impl Stopped {
    fn setup(site: &Site, sandbox: &Path) -> Stopped {
        let pipe = site.scratch().join("pipe");
        support::snapshot::make_fifo(&pipe);
        Account::batch().owns(&pipe);
        let call = site.call(SETUP, &site.switcher(), sandbox);
        let log = site.scratch().join("log");
        let mut strace = Command::new("strace");
        strace.args(["-u", "gh-batch", "-f", "-qq", "-o"]).arg(&log).args(["-e", "trace=unlinkat"]);
        // Only the traced processes have the pipe, and one more descriptor of their caller. Its end
        // shows that no other process has it.
        strace.args(["-e", "inject=unlinkat:signal=SIGSTOP:when=1", "sh", "-c"]);
        strace.arg(r#"pipe=$0; exec "$@" >"$pipe" 2>&1 7<>"$pipe""#).arg(&pipe);
        strace
            .arg(call.get_program())
            .args(call.get_args())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        strace.env_clear().envs(variables_of(&call));
        let mut strace = strace.spawn().unwrap();
        let mut output = String::new();
        File::open(&pipe).unwrap().read_to_string(&mut output).unwrap();
        if !output.is_empty() {
            let _ = strace.kill();
            panic!("{output}{}", messages(&strace.wait_with_output().unwrap()));
        }
        let mut pid = String::new();
        wait_until("the child is about to delete", || {
            let log = text(&log);
            let line = log.lines().find(|line| line.contains("unlinkat"));
            pid = line.and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
            !pid.is_empty()
                && fs::read_to_string(format!("/proc/{pid}/status"))
                    .is_ok_and(|text| text.contains("State:\tt"))
        });
        Stopped { strace, child: PathBuf::from(format!("/proc/{pid}")) }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.file_name().unwrap();
        assert!(Command::new("kill").arg(signal).arg(pid).status().unwrap().success());
    }

    fn end(mut self) {
        assert!(self.strace.wait().unwrap().code().is_some());
    }
}

#[test]
fn what_setup_leaves_running_holds_nothing_of_its_callers() {
    let site = Site::new().copying();
    let sandbox = large(&site);
    // This call returns, so the caller's pipe is closed.
    let stopped = Stopped::setup(&site, &sandbox);
    let link = |name: &str| fs::read_link(stopped.child.join(name)).unwrap();
    let mut open: Vec<_> = fs::read_dir(stopped.child.join("fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    open.sort();
    let open: Vec<_> =
        open.iter().map(|number| link(&format!("fd/{}", number.display()))).collect();
    assert_eq!(open[..3], [Path::new("/dev/null"); 3]);
    // The directory in which it deletes, and the directory whose lock makes a cleanup wait. All
    // other descriptors refer to the null device.
    let ticket = |path: &PathBuf| {
        path.display().to_string().starts_with(&format!("{}.gh.", sandbox.display()))
    };
    let own =
        |path: &PathBuf| *path == site.execute() || *path == retained(&sandbox) || ticket(path);
    let is_null = |path: &PathBuf| *path == Path::new("/dev/null");
    assert!(
        open[3..].iter().all(|path| own(path) || is_null(path)) && open.iter().any(ticket),
        "{open:?}"
    );
    assert_eq!(link("cwd"), Path::new("/"));
    let status = text(stopped.child.join("stat"));
    // The fields after the name: state, parent, process group, session.
    let fields: Vec<_> = status.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(
        fields[3],
        stopped.child.file_name().unwrap().to_str().unwrap(),
        "a separate session"
    );
    stopped.signal("-CONT");
    stopped.end();
    assert_is_handed_over(&site, &sandbox, "the child has ended");
}

#[test]
fn if_it_is_killed_the_next_helper_for_the_sandbox_deletes_the_rest() {
    let site = Site::new().copying();
    let sandbox = large(&site);
    let stopped = Stopped::setup(&site, &sandbox);
    stopped.signal("-KILL");
    stopped.end();
    let left = site.entries();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left[2..].iter().all(|name| name.to_str().unwrap().starts_with("s.gh.")), "{left:?}");
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn a_cleanup_that_meets_it_at_work_waits_for_its_end() {
    let site = Site::new().copying();
    let sandbox = large(&site);
    let stopped = Stopped::setup(&site, &sandbox);
    let cleanup = site.call(CLEANUP, &site.switcher(), &sandbox).spawn().unwrap();
    let waits = || {
        let open = fs::read_dir(format!("/proc/{}/fd", cleanup.id())).unwrap();
        let open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        open.into_iter().any(|path| path.display().to_string().contains("/s.gh."))
    };
    wait_until("the cleanup waits for the lock", waits);
    stopped.signal("-CONT");
    stopped.end();
    succeeded(&cleanup.wait_with_output().unwrap());
    assert_eq!(site.entries(), ["s"]);
    assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 201);
}

#[test]
fn where_no_cleanup_could_find_its_lock_setup_deletes_before_it_ends() {
    let site = Site::new().copying();
    let sandbox = large(&site);
    // It can be searched and written to, but not listed.
    support::handover::set_mode(site.execute(), 0o1733);
    let (call, log) = (site.call(SETUP, &site.switcher(), &sandbox), site.scratch().join("log"));
    let mut strace = Command::new("strace");
    strace
        .args(["-u", "gh-batch", "-f", "-qq", "-o"])
        .arg(&log)
        .args(["-e", "trace=execve,unlinkat"]);
    strace.arg(call.get_program()).args(call.get_args()).env_clear().envs(variables_of(&call));
    succeeded(&strace.output().unwrap());
    let log = text(&log);
    let by = |line: &str| line.split(' ').next().unwrap().to_owned();
    let own = by(log.lines().find(|line| line.contains("execve(")).unwrap());
    let deleted: Vec<_> = log.lines().filter(|line| line.contains(r#""file "#)).map(by).collect();
    assert_eq!(deleted, vec![own; 200]);
    succeeded(&site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap());
    assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 201);
}

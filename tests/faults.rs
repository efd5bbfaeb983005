//! Whoever is killed, and whatever fails: no data is lost. strace(1) kills a helper or its agent, or lets a system call
//! fail, at each call that changes something, one after the other.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use support::picture::{Picture, picture, set_attribute, set_modified};
use support::{Account, PROXY, Site, own, owner, retained, said, succeeded, wait_until, write};

/// The system calls that change something, or tell the other side to; openat only where it creates a file.
const CHANGING: &str = "openat,mkdirat,symlinkat,linkat,renameat,renameat2,unlinkat,fchmod,fchmodat,utimensat,ftruncate,\
    write,pwrite64,fsetxattr,fremovexattr,sendto";

const SETUP: &str = "condor_glexec_setup";
const CLEANUP: &str = "condor_glexec_cleanup";

/// Whose system calls are meddled with.
#[derive(Clone, Copy)]
enum Victim {
    Helper,
    Agent,
}

/// A sandbox with a bit of everything, which is brought back to what it was after each attempt.
struct Trial {
    site: Site,
    sandbox: PathBuf,
    original: Picture,
    /// sudo without its adapter's checks: the trials are many.
    quick: PathBuf,
    /// Where strace writes.
    log: PathBuf,
}

impl Trial {
    fn new() -> Trial {
        let site = Site::new();
        let sandbox = site.sandbox("s");
        fs::create_dir_all(sandbox.join("d/empty")).unwrap();
        write(sandbox.join("program"), "#!/bin/sh\n", 0o755);
        write(sandbox.join("d/data"), vec![b'x'; 10_000], 0o640);
        fs::hard_link(sandbox.join("d/data"), sandbox.join("again")).unwrap();
        symlink("d/data", sandbox.join("link")).unwrap();
        File::create(sandbox.join("d/hole")).unwrap().set_len(1 << 16).unwrap();
        set_attribute(&sandbox.join("program"), "user.note", "of a user");
        for name in ["program", "d/data", "link", "d/empty", "d", ""] {
            set_modified(&sandbox.join(name), 1_000_000_000, 7);
        }
        own(&sandbox, Account::batch());
        let original = data(&sandbox);
        assert_eq!(original.len(), 9);
        let quick = site.script("quick", r#"exec sudo -n -u gh-job -- "$@""#);
        let logs = site.path().join("logs");
        fs::create_dir(&logs).unwrap();
        fs::set_permissions(&logs, Permissions::from_mode(0o777)).unwrap();
        Trial { site, sandbox, original, quick, log: logs.join("log") }
    }

    /// Runs a helper while strace meddles with the victim.
    fn meddle(&self, helper: &str, victim: Victim, expressions: &[&str]) -> Output {
        let mut strace = vec!["strace".to_owned(), "-q".to_owned(), "-o".to_owned(), self.log.display().to_string()];
        for expression in expressions {
            strace.extend(["-e".to_owned(), (*expression).to_owned()]);
        }
        let _ = fs::remove_file(&self.log);
        match victim {
            Victim::Helper => {
                let call = self.site.call(helper, &self.quick, &self.sandbox);
                let mut command = Account::batch().command(&strace[0]);
                command.args(&strace[1..]).arg(call.get_program()).args(call.get_args()).stdin(Stdio::null());
                let variables = call.get_envs().filter_map(|(name, value)| Some((name, value?)));
                command.env_clear().envs(variables).output().unwrap()
            }
            Victim::Agent => {
                // Only the first agent: a helper may call another one to make up for it.
                let (log, strace) = (self.log.display(), strace.join(" "));
                let agent = "exec sudo -n -u gh-job --";
                let body = format!("[ -e {log} ] || {agent} {strace} \"$@\"\n{agent} \"$@\"");
                let switcher = self.site.script("meddling", &body);
                self.site.call(helper, &switcher, &self.sandbox).output().unwrap()
            }
        }
    }

    /// What strace has seen.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The changing calls of a helper or its agent: each with its name, and the how many-th of that name it is.
    fn calls(&self, helper: &str, victim: Victim, world: &[&str]) -> Vec<(String, u32)> {
        self.before(helper);
        let trace = format!("trace={CHANGING}");
        succeeded(&self.meddle(helper, victim, &[&[trace.as_str()], world].concat()));
        self.clean_up();
        let log = self.log();
        let mut seen = BTreeMap::new();
        let mut calls = Vec::new();
        for (name, rest) in log.lines().filter_map(|line| line.split_once('(')) {
            let number = seen.entry(name).and_modify(|number| *number += 1).or_insert(1);
            let creates = name != "openat" || rest.contains("O_CREAT");
            if creates && !rest.contains("INJECTED") {
                calls.push((name.to_owned(), *number));
            }
        }
        assert!(calls.len() > 15, "only {calls:?}: is strace at work?");
        calls
    }

    /// Meddles with each changing call of the victim's in turn, each in a run of its own in the same `world`. `check` sees
    /// what the helper said and left; afterwards a cleanup must bring everything back.
    fn at_each_call(
        &self,
        helper: &str,
        victim: Victim,
        world: &[&str],
        fault: &str,
        check: impl Fn(&Trial, &str, &Output),
    ) {
        let trace = format!("trace={CHANGING}");
        for (name, number) in self.calls(helper, victim, world) {
            let what = format!("{fault} at {name} {number}");
            self.before(helper);
            let inject = format!("inject={name}:{fault}:when={number}");
            let output = self.meddle(helper, victim, &[&[trace.as_str(), &inject], world].concat());
            self.one_copy(&what);
            let hit = |line: &str| line.starts_with(&name) && line.contains("INJECTED") || line.contains("by SIGKILL");
            wait_until(&format!("{what} is in strace's log"), || self.log().lines().any(hit));
            check(self, &what, &output);
            let again = self.site.call(CLEANUP, &self.quick, &self.sandbox).output().unwrap();
            assert_eq!((again.status.code(), said(&again)), (Some(0), String::new()), "cleanup after {what}");
            self.back(&what);
            if matches!(victim, Victim::Agent) {
                // What a killed agent left is the job user's: only the next agent can remove it.
                self.set_up();
                self.clean_up();
                self.back(&what);
            }
            self.alone(&what);
        }
    }

    /// Makes the sandbox ready for the helper.
    fn before(&self, helper: &str) {
        if helper == CLEANUP {
            self.set_up();
        }
    }

    fn set_up(&self) {
        succeeded(&self.site.call(SETUP, &self.quick, &self.sandbox).output().unwrap());
    }

    fn clean_up(&self) {
        succeeded(&self.site.call(CLEANUP, &self.quick, &self.sandbox).output().unwrap());
    }

    /// One complete copy of the data is at one of the two names. The retained one is looked at first: while it is
    /// complete, an agent that lost its helper may still be busy with the other.
    fn one_copy(&self, what: &str) {
        let mut found = [retained(&self.sandbox), self.sandbox.clone()].into_iter();
        let complete = found.any(|path| path.exists() && data(&path) == self.original);
        assert!(complete, "{what}: no complete copy; there are {:?}", self.site.entries());
    }

    /// The data is back at its place, and the batch user's.
    fn back(&self, what: &str) {
        assert_eq!(owner(&self.sandbox), Account::batch(), "{what}");
        assert_eq!(data(&self.sandbox), self.original, "{what}");
        assert!(!retained(&self.sandbox).exists(), "{what}");
    }

    /// Nothing but the sandbox is there, or soon: an agent that lost its helper deletes what it had made.
    fn alone(&self, what: &str) {
        wait_until(&format!("nothing is left after {what}"), || self.site.entries() == ["s"]);
    }
}

/// The picture of a sandbox, except for the time of the proxy, which is a copy of the retained one in the end.
fn data(sandbox: &Path) -> Picture {
    let mut all = picture(sandbox);
    if let Some(proxy) = all.get_mut(Path::new(PROXY)) {
        proxy.modified = (0, 0);
    }
    all
}

/// The helper was killed.
fn killed(_: &Trial, what: &str, output: &Output) {
    assert_eq!(output.status.signal(), Some(9), "{what}");
}

/// The helper says in one line why it failed; or nothing, where it did not matter.
fn told(what: &str, output: &Output, status: i32) {
    let line = said(output);
    match output.status.code() {
        Some(0) => assert_eq!(line, "", "{what}"),
        code => assert_eq!((code, line.lines().count()), (Some(status), 1), "{what}: {line:?}"),
    }
}

/// A cleanup that failed says so.
fn cleanup_told(_: &Trial, what: &str, output: &Output) {
    told(what, output, 1);
}

/// A setup that failed says so, and has put everything back by then.
fn setup_told_and_put_back(trial: &Trial, what: &str, output: &Output) {
    told(what, output, 2);
    if !output.status.success() {
        trial.back(&format!("{what}: {}", said(output)));
    }
}

const KILLED: &str = "signal=SIGKILL";
const FULL: &str = "error=ENOSPC";

/// A file system that can't exchange two names, and knows no other flag of renameat2(2) either.
const PLAIN: &[&str] = &["inject=renameat2:error=EINVAL"];

#[test]
fn a_killed_setup_leaves_one_copy_that_cleanup_brings_back() {
    Trial::new().at_each_call(SETUP, Victim::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_one_copy_that_the_next_brings_back() {
    Trial::new().at_each_call(CLEANUP, Victim::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_setup_leaves_one_copy_where_names_cannot_be_exchanged() {
    Trial::new().at_each_call(SETUP, Victim::Helper, PLAIN, KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_one_copy_where_names_cannot_be_exchanged() {
    Trial::new().at_each_call(CLEANUP, Victim::Helper, PLAIN, KILLED, killed);
}

#[test]
fn a_setup_whose_agent_is_killed_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Victim::Agent, &[], KILLED, setup_told_and_put_back);
}

#[test]
fn a_cleanup_whose_agent_is_killed_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Victim::Agent, &[], KILLED, cleanup_told);
}

#[test]
fn a_setup_that_finds_the_disk_full_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Victim::Helper, &[], FULL, setup_told_and_put_back);
}

#[test]
fn a_setup_whose_agent_finds_the_disk_full_puts_everything_back() {
    Trial::new().at_each_call(SETUP, Victim::Agent, &[], FULL, setup_told_and_put_back);
}

#[test]
fn a_cleanup_that_finds_the_disk_full_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Victim::Helper, &[], FULL, cleanup_told);
}

#[test]
fn a_cleanup_whose_agent_finds_the_disk_full_is_completed_by_the_next() {
    Trial::new().at_each_call(CLEANUP, Victim::Agent, &[], FULL, cleanup_told);
}

//! A sandbox for many calls of a helper, while strace(1) injects faults into system calls of the
//! helper or its agent.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::handover::{CLEANUP, SETUP};
use super::snapshot::{Entry, Snapshot, set_attribute, set_modified, snapshot};
use super::{
    Account, PROXY, Site, as_job, messages, moments, own, owner, retained, stays_above, succeeded,
    variables_of, wait_until, write,
};

/// The system calls that change files, or send to the other side. openat counts only if it creates
/// a file.
pub const CHANGING: &str = "openat,mkdirat,symlinkat,linkat,renameat,renameat2,unlinkat,\
    fchmod,fchmodat,utimensat,ftruncate,write,pwrite64,fsetxattr,fremovexattr,sendto,sendmsg";

pub const KILLED: &str = "signal=SIGKILL";
pub const FULL: &str = "error=ENOSPC";

/// A file system that supports no flag of renameat2(2).
pub const PLAIN: &[&str] = &["inject=renameat2:error=EINVAL"];

/// The process whose system calls are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Helper,
    Agent,
}

/// A system call of a process.
pub struct Call {
    pub name: String,
    /// The number of this call among the calls of the same name, from 1.
    pub number: u32,
    /// The rest of strace's line.
    pub rest: String,
}

impl Call {
    pub fn changes(&self) -> bool {
        let named = CHANGING.split(',').any(|name| name == self.name);
        named && (self.name != "openat" || self.rest.contains("O_CREAT"))
    }
}

/// A sandbox with each kind of entry, which is brought back to its first state after each call.
pub struct Trial {
    pub site: Site,
    pub sandbox: PathBuf,
    pub original: Snapshot,
    /// The switcher without its adapter's checks, because there are many calls.
    pub quick: PathBuf,
    /// A directory that all users may write to.
    pub logs: PathBuf,
}

impl Trial {
    pub fn new() -> Trial {
        Trial::at(Site::new().copying())
    }

    /// With changes of owner.
    pub fn owning() -> Trial {
        Trial::at(Site::new().owning())
    }

    fn at(site: Site) -> Trial {
        let sandbox = site.sandbox("s");
        fs::create_dir_all(sandbox.join("d/empty")).unwrap();
        write(sandbox.join("program"), "#!/bin/sh\n", 0o755);
        write(sandbox.join("d/data"), vec![b'x'; 10_000], 0o640);
        // A file that crosses as a descriptor.
        write(sandbox.join("d/large"), vec![b'y'; (1 << 20) + 3], 0o644);
        fs::hard_link(sandbox.join("d/data"), sandbox.join("again")).unwrap();
        symlink("d/data", sandbox.join("link")).unwrap();
        File::create(sandbox.join("d/hole")).unwrap().set_len(1 << 16).unwrap();
        set_attribute(&sandbox.join("program"), "user.note", "of a user");
        for name in ["program", "d/data", "d/large", "link", "d/empty", "d", ""] {
            set_modified(&sandbox.join(name), 1_000_000_000, 7);
        }
        own(&sandbox, Account::batch());
        let original = data(&sandbox);
        assert_eq!(original.len(), 10);
        let quick = if site.is_owning() {
            site.switcher()
        } else {
            site.script("quick", &format!(r#"exec {} "$@""#, as_job()))
        };
        let logs = site.path().join("logs");
        fs::create_dir(&logs).unwrap();
        fs::set_permissions(&logs, Permissions::from_mode(0o777)).unwrap();
        Trial { site, sandbox, original, quick, logs }
    }

    /// The file that strace writes.
    pub fn log(&self, side: Side) -> PathBuf {
        self.logs.join(format!("{side:?}"))
    }

    /// The words of strace for the program that follows, with these expressions.
    pub fn strace(&self, side: Side, expressions: &[&str]) -> Vec<String> {
        let log = self.log(side).display().to_string();
        let words = ["strace", "-q", "-o", &log].map(str::to_owned);
        words
            .into_iter()
            .chain(expressions.iter().flat_map(|words| ["-e".to_owned(), (*words).to_owned()]))
            .collect()
    }

    /// A helper as the argument of other words, for example strace's.
    pub fn below(&self, words: &[String], call: &Command) -> Command {
        let mut command = Account::batch().command(&words[0]);
        command
            .args(&words[1..])
            .arg(call.get_program())
            .args(call.get_args())
            .stdin(Stdio::null());
        let variables = variables_of(call);
        command.env_clear().envs(variables);
        command
    }

    /// Runs a helper with strace's expressions for it, and for its agent. A process without
    /// expressions is not traced.
    pub fn inject(&self, helper: &str, of_helper: &[&str], of_agent: &[&str]) -> Output {
        for side in [Side::Helper, Side::Agent] {
            let _ = fs::remove_file(self.log(side));
        }
        let switcher = if of_agent.is_empty() {
            self.quick.clone()
        } else {
            // Only the first agent: a helper may call another one to put things back.
            let (log, strace) =
                (self.log(Side::Agent), self.strace(Side::Agent, of_agent).join(" "));
            let agent = format!("exec {}", as_job());
            let body =
                format!("[ -e {} ] || {agent} {strace} \"$@\"\n{agent} \"$@\"", log.display());
            self.site.script("tracing", &body)
        };
        let mut call = self.site.call(helper, &switcher, &self.sandbox);
        if of_helper.is_empty() {
            call.output().unwrap()
        } else {
            self.below(&self.strace(Side::Helper, of_helper), &call).output().unwrap()
        }
    }

    /// The same with expressions for one side, and others (`both`) for this side and the helper.
    fn inject_into(&self, side: Side, helper: &str, expressions: &[&str], both: &[&str]) -> Output {
        let expressions = [expressions, both].concat();
        match side {
            Side::Helper => self.inject(helper, &expressions, &[]),
            Side::Agent => self.inject(helper, both, &expressions),
        }
    }

    /// The log of strace for this side.
    pub fn seen(&self, side: Side) -> String {
        fs::read_to_string(self.log(side)).unwrap_or_default()
    }

    /// The calls of this side, without those that strace made fail.
    pub fn calls(&self, side: Side) -> Vec<Call> {
        let mut seen = BTreeMap::new();
        let log = self.seen(side);
        let lines = log.lines().filter_map(|line| line.split_once('('));
        let calls = lines.map(|(name, rest)| {
            let number =
                *seen.entry(name.to_owned()).and_modify(|number| *number += 1).or_insert(1);
            Call { name: name.to_owned(), number, rest: rest.to_owned() }
        });
        calls.filter(|call| !call.rest.contains("INJECTED")).collect()
    }

    /// The changing calls of a helper or its agent, from a run without faults.
    pub fn changing(&self, helper: &str, side: Side, both: &[&str]) -> Vec<Call> {
        self.before(helper);
        succeeded(&self.inject_into(side, helper, &[&format!("trace={CHANGING}")], both));
        self.clean_up();
        let calls: Vec<_> = self.calls(side).into_iter().filter(Call::changes).collect();
        assert!(calls.len() > 12, "only {} calls: is strace at work?", calls.len());
        calls
    }

    /// Injects a fault into each changing call of this side, in a separate run for each call.
    /// `check` gets the helper's output; afterwards a cleanup must bring everything back.
    ///
    /// Through sudo it is each call, and in a long run; else one of three, as the helpers and the
    /// agent are the same.
    pub fn at_each_call(
        &self,
        helper: &str,
        side: Side,
        both: &[&str],
        fault: &str,
        check: impl Fn(&Trial, &str, &Output),
    ) {
        let trace = format!("trace={CHANGING}");
        let is_tried = moments(if stays_above() { 3 } else { 1 }, fault);
        let calls = self.changing(helper, side, both).into_iter().enumerate();
        for (_, Call { name, number, .. }) in calls.filter(|(index, _)| is_tried(*index)) {
            let what = format!("{fault} at {name} {number} of {helper}'s {side:?}");
            self.before(helper);
            let inject = format!("inject={name}:{fault}:when={number}");
            let output = self.inject_into(side, helper, &[&trace, &inject], both);
            self.one_copy(&what);
            let hit = |line: &str| {
                line.starts_with(&name) && line.contains("INJECTED") || line.contains("by SIGKILL")
            };
            wait_until(&format!("{what} is in strace's log"), || self.seen(side).lines().any(hit));
            check(self, &what, &output);
            self.brought_back(&what);
        }
    }

    /// Fails unless another cleanup brings everything back, and leaves nothing beside it.
    pub fn brought_back(&self, what: &str) {
        let again = self.site.call(CLEANUP, &self.quick, &self.sandbox).output().unwrap();
        assert_eq!(
            (again.status.code(), messages(&again)),
            (Some(0), String::new()),
            "cleanup after {what}"
        );
        self.back(what);
        self.alone(what);
    }

    /// Brings the sandbox into the state that the helper needs.
    pub fn before(&self, helper: &str) {
        if helper == CLEANUP {
            self.set_up();
        }
    }

    pub fn set_up(&self) {
        succeeded(&self.site.call(SETUP, &self.quick, &self.sandbox).output().unwrap());
    }

    pub fn clean_up(&self) {
        succeeded(&self.site.call(CLEANUP, &self.quick, &self.sandbox).output().unwrap());
    }

    /// Fails unless one of the two names has a complete copy of the data. The retained directory is
    /// read first: while it is complete, an agent whose helper has ended may still change the
    /// other.
    ///
    /// While the owner changes, all files are in the two, possibly one level down.
    pub fn one_copy(&self, what: &str) {
        if self.site.is_owning() {
            return self.all_files(what);
        }
        let mut found = [retained(&self.sandbox), self.sandbox.clone()].into_iter();
        let complete = found.any(|path| path.exists() && data(&path) == self.original);
        assert!(complete, "{what}: no complete copy; there are {:?}", self.site.entries());
    }

    fn all_files(&self, what: &str) {
        let mut found = Snapshot::new();
        for top in [retained(&self.sandbox), self.sandbox.clone()] {
            for (path, entry) in if top.exists() { data(&top) } else { Snapshot::new() } {
                let mut names = path.components();
                let first = names.next().map(|name| name.as_os_str().to_owned());
                let inner = first
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b".glexec_handover."));
                found.insert(if inner { names.as_path().to_owned() } else { path }, entry);
            }
        }
        for (path, entry) in &self.original {
            // Its proxy is copied, and its directory gets its mode and time in the end. Which name
            // of a file is the first depends on where the names are.
            if ![Path::new(""), Path::new(PROXY)].contains(&path.as_path()) {
                let found = found.remove(path).map(|found| Entry { same_as: None, ..found });
                let entry = Entry { same_as: None, ..entry.clone() };
                assert_eq!(found, Some(entry), "{what}: {}", path.display());
            }
        }
    }

    /// Fails unless the data is in the sandbox, and belongs to the batch user.
    pub fn back(&self, what: &str) {
        assert_eq!(owner(&self.sandbox), Account::batch(), "{what}");
        let (mut found, mut original) = (data(&self.sandbox), self.original.clone());
        if self.site.is_owning() {
            // A setup that was killed may have cost the mode and the time of the directory.
            let (of_top, before) = (found.remove(Path::new("")), original.remove(Path::new("")));
            let modes = [of_top, before].map(|top| top.unwrap().mode);
            assert!(modes[0] == modes[1] || modes[0] == 0o700, "{what}: {modes:?}");
        }
        let differ = original.iter().filter(|(path, entry)| found.get(*path) != Some(entry));
        let differ: Vec<_> = differ.map(|(path, _)| path).collect();
        assert!(differ.is_empty() && found.len() == original.len(), "{what}: {differ:?}");
        assert!(!retained(&self.sandbox).exists(), "{what}");
    }

    /// Fails unless only the sandbox is left, after some time: an agent whose helper has ended
    /// deletes what it made.
    pub fn alone(&self, what: &str) {
        wait_until(&format!("only the sandbox is left after {what}"), || {
            self.site.entries() == ["s"]
        });
    }
}

/// The snapshot of a sandbox without the time of the proxy, which at the end is a copy of the
/// retained proxy.
fn data(sandbox: &Path) -> Snapshot {
    let mut all = snapshot(sandbox);
    if let Some(proxy) = all.get_mut(Path::new(PROXY)) {
        proxy.modified = (0, 0);
    }
    all
}

/// Fails unless the helper was killed.
pub fn killed(_: &Trial, what: &str, output: &Output) {
    assert_eq!(output.status.signal(), Some(9), "{what}");
}

/// Fails unless the helper reports its failure in one line, or succeeded.
fn reported(what: &str, output: &Output, status: i32) {
    let line = messages(output);
    match output.status.code() {
        Some(0) => assert_eq!(line, "", "{what}"),
        code => assert_eq!((code, line.lines().count()), (Some(status), 1), "{what}: {line:?}"),
    }
}

/// Fails unless a cleanup that failed says so. If it has brought the files back, it only names what
/// is left beside them.
pub fn cleanup_reported(trial: &Trial, what: &str, output: &Output) {
    if output.status.success() && !messages(output).is_empty() {
        let line = messages(output);
        assert_eq!(line.lines().count(), 1, "{what}: {line:?}");
        assert!(
            line.contains("the files are back, but what the job had there"),
            "{what}: {line:?}"
        );
        return trial.back(what);
    }
    reported(what, output, 1);
}

/// Fails unless a setup that failed says so, and has put everything back.
pub fn setup_reported_and_put_back(trial: &Trial, what: &str, output: &Output) {
    reported(what, output, 2);
    if !output.status.success() {
        trial.back(&format!("{what}: {}", messages(output)));
    }
}

/// The check for a helper that may have failed.
pub fn reported_and_put_back(trial: &Trial, what: &str, output: &Output, helper: &str) {
    match helper {
        SETUP => setup_reported_and_put_back(trial, what, output),
        _ => cleanup_reported(trial, what, output),
    }
}

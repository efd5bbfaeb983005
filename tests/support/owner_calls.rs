//! Calls of `glexec` that change the owner of a directory, as the batch user.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::Signal;

use super::glexec::Rootless;
use super::handover::{assert_owner, fill, run, set_mode, text};
use super::snapshot::{set_attribute, set_modified, snapshot};
use super::{Account, failed, messages, own, variables_of, wait_until, write};

/// Calls with one credential, and directories in a place of root's, mode 1777.
pub struct Calls {
    pub rootless: Rootless,
    /// The user of the lease.
    pub user: Account,
}

impl Calls {
    pub fn new() -> Calls {
        let rootless = Rootless::new();
        let id = rootless.user();
        Calls { rootless, user: Account { uid: id, gid: id } }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.rootless.site.execute().join(name)
    }

    /// A directory of the batch user's, with something of each kind below it.
    pub fn furnished(&self, name: &str) -> PathBuf {
        let top = self.path(name);
        fs::create_dir(&top).unwrap();
        fill(&top);
        fs::hard_link(top.join("input"), top.join("below/linked")).unwrap();
        write(top.join("below/closed"), "secret", 0o400);
        fs::create_dir(top.join("below/deep")).unwrap();
        set_mode(top.join("below/deep"), 0o711);
        set_attribute(&top.join("input"), "user.note", "kept");
        own(&top, Account::batch());
        set_mode(&top, 0o751);
        for name in ["input", "link", "below/closed", "below", ""] {
            set_modified(&top.join(name), 1_000_000_000, 5);
        }
        top
    }

    /// An empty directory of the batch user's.
    pub fn empty(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        Account::batch().owns(&path);
        path
    }

    /// A call with these options, and a path after each of the first ones.
    pub fn call(&self, paths: &[(&str, &Path)], more: &[&str]) -> Command {
        let mut command = self.rootless.glexec();
        for (option, path) in paths {
            command.arg(option).arg(path);
        }
        command.args(more);
        command
    }

    pub fn done(&self, paths: &[(&str, &Path)], more: &[&str]) -> String {
        report(&self.call(paths, more).output().unwrap())
    }

    pub fn refused(&self, status: i32, paths: &[(&str, &Path)], more: &[&str], words: &[&str]) {
        let output = self.call(paths, more).output().unwrap();
        failed(&output, status, words);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{words:?}");
    }

    /// A call that hands a directory over to a payload, whose reports come to [`Calls::reports`].
    pub fn handing(&self, top: &Path, options: &[&str], payload: &[&str]) -> Command {
        let report = self.rootless.site.scratch().join("report");
        write(&report, "", 0o600);
        own(&report, Account::batch());
        let glexec = self.rootless.glexec();
        let mut command = Account::batch().command("/bin/sh");
        command.arg("-c").arg(r#"exec "$@" 3>"$0""#).arg(report);
        command.arg(glexec.get_program()).arg("--hand-over").arg(top).args(options);
        command.args(["--report", "3", "--"]).args(payload);
        command.env_clear().envs(variables_of(&glexec)).stdin(Stdio::null());
        command
    }

    /// The lines that the last call with a payload has reported.
    pub fn reports(&self) -> Vec<serde_json::Value> {
        let text = text(self.rootless.site.scratch().join("report"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A call that has given all but the top, and waits.
    pub fn waiting(
        &self,
        paths: &[(&str, &Path)],
    ) -> (Child, BufReader<std::process::ChildStdout>) {
        let mut call = self.call(paths, &["--confirm"]);
        call.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = call.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("given "), "{line}");
        (child, output)
    }

    /// Kills the call, all its processes, at a system call. Whether the call made so many of it.
    pub fn killed_at(&self, paths: &[(&str, &Path)], call: &str, number: u32) -> bool {
        let what = format!("signal=SIGKILL:when={number}");
        let (log, _) = self.injected(&self.call(paths, &[]), call, &what);
        log.contains("killed by SIGKILL")
    }

    /// Runs a call while strace(1) injects something at a system call. `when` counts the calls of
    /// each thread separately. Returns what strace has seen, and the call's output.
    pub fn injected(&self, command: &Command, call: &str, what: &str) -> (String, Output) {
        let log = self.rootless.site.path().join("log");
        let _ = fs::remove_file(&log);
        let mut strace = Command::new("strace");
        strace.args(["-u", "gh-batch", "-f", "-qq", "-o"]).arg(&log);
        let inject = format!("inject={call}:{what}");
        strace.args(["-e", &format!("trace={call}"), "-e", &inject]);
        strace.arg(command.get_program()).args(command.get_args());
        strace.env_clear().envs(variables_of(command)).current_dir("/").stdin(Stdio::null());
        let output = strace.output().unwrap();
        (text(&log), output)
    }

    /// Whether a payload of the lease can be run.
    pub fn is_idle(&self) -> bool {
        self.rootless.glexec().arg("/bin/true").output().unwrap().status.success()
    }

    /// Removes what killed calls have left, as the helpers do.
    pub fn sweep(&self) {
        for name in self.rootless.site.entries() {
            let path = self.path(name.to_str().unwrap());
            if name.to_string_lossy().contains(".gh.") {
                fs::remove_dir_all(&path).unwrap();
            }
        }
    }

    /// Fails unless the whole tree is this account's, and nothing is beside these names.
    pub fn is_whole(&self, top: &Path, account: Account, names: &[&str]) {
        assert_owner(top, account);
        assert_eq!(self.rootless.site.entries(), names);
    }
}

/// What a call that succeeds says: one line of JSON.
pub fn report(output: &Output) -> String {
    assert_eq!((output.status.code(), messages(output).as_str()), (Some(0), ""));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// A member of a line of JSON that is a number.
pub fn number(line: &str, name: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value.pointer(&format!("/{name}")).and_then(serde_json::Value::as_u64).expect(name)
}

pub fn send(child: &Child, signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// A tree that is large enough to be killed in.
pub fn large(top: &Path) {
    for directory in 0..8 {
        let below = top.join(format!("directory-{directory}"));
        fs::create_dir(&below).unwrap();
        for file in 0..20 {
            write(below.join(format!("file-{file}")), format!("{directory} {file}"), 0o644);
        }
    }
    own(top, Account::batch());
}

/// The worker of a call: its only child once newuidmap and newgidmap have ended.
pub fn worker_of(child: &Child) -> u32 {
    let pid = child.id();
    let children = || text(format!("/proc/{pid}/task/{pid}/children"));
    let mut found = 0;
    wait_until("the worker runs", || {
        found = children().trim().parse().unwrap_or(0);
        found != 0
    });
    found
}

/// The owners of all entries of a tree.
pub fn owners(top: &Path) -> Vec<Account> {
    snapshot(top).keys().map(|below| Account::of(&top.join(below))).collect()
}

/// Adds an entry to an access control list.
pub fn set_list(path: &Path, entry: &str) {
    run("setfacl", &["-m".as_ref(), entry.as_ref(), "--".as_ref(), path.as_os_str()]);
}

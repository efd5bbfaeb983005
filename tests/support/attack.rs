//! Helpers that are attack to: what must be the same afterwards, how long it may take, and how much
//! memory.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::handover::{CLEANUP, SETUP, filled, handed_over};
use super::snapshot::{Snapshot, snapshot};
use super::{Account, Site, TIMEOUT, as_job, failed, program, wait_until, write};

/// The most memory that a helper may ever use, in KiB, whatever the agent sends.
pub const MOST_MEMORY: i64 = 64 << 10;

/// A switcher that runs the hostile agent as the job user, in place of the command that it is
/// given.
pub fn hostile_agent(site: &Site, way: &str, path: Option<&Path>) -> PathBuf {
    hostile_agent_as(&as_job(), site, way, path)
}

/// The same; `user` are the words of a shell that run it as a user.
pub fn hostile_agent_as(user: &str, site: &Site, way: &str, path: Option<&Path>) -> PathBuf {
    let hostile_agent = program("examples").join("hostile_agent");
    assert!(
        hostile_agent.exists(),
        "the hostile agent is not built: cargo build --example hostile_agent, or cargo test \
         without --test"
    );
    let path = path.map(|path| format!("'{}'", path.display())).unwrap_or_default();
    site.script(
        "hostile_agent",
        &format!("exec {user} '{}' \"{way}\" {path}", hostile_agent.display()),
    )
}

/// Waits until no process of a helper, and no child of one, is left for a sandbox of this site.
pub fn assert_all_have_ended(site: &Site) {
    let (site, programs) = (site.path().display().to_string(), program("condor_glexec_"));
    wait_until("the last process of a helper has ended", || {
        let mut all = std::fs::read_dir("/proc").unwrap().flatten();
        !all.any(|process| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.starts_with(&*programs.to_string_lossy()) && words.contains(&site)
        })
    });
}

/// Runs a command to its end; returns its output, and the most memory (KiB) that it used. Fails if
/// it does not end, or if its standard error is then still open in another process.
#[allow(clippy::zombie_processes)] // wait4(2) is what waits for it
pub fn ended(mut command: Command) -> (Output, i64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (sender, said) = mpsc::channel();
    let mut stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stderr.read_to_end(&mut all).unwrap();
        let _ = sender.send(all);
    });
    let pid = i32::try_from(child.id()).unwrap();
    let end = Instant::now() + TIMEOUT;
    let (status, memory) = loop {
        let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
        // SAFETY: writes one number and one structure, of which all-zero is a valid value.
        let (waited, usage) = unsafe {
            (libc::wait4(pid, &mut status, libc::WNOHANG, usage.as_mut_ptr()), usage.assume_init())
        };
        if waited == pid {
            use std::os::unix::process::ExitStatusExt as _;
            break (ExitStatus::from_raw(status), usage.ru_maxrss);
        }
        if Instant::now() > end {
            let _ = child.kill();
            panic!("the helper does not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stderr = said
        .recv_timeout(TIMEOUT)
        .expect("the helper has ended, but another process has its standard error open");
    (Output { status, stdout: Vec::new(), stderr }, memory)
}

/// The variable of the idle timeout. Messages about it name it.
pub const IDLE: &str = "GLEXEC_HELPERS_IDLE_TIMEOUT";

/// A sandbox before setup, one after setup, and another one of the batch user, in one directory.
pub struct Scene {
    pub site: Site,
    pub fresh: PathBuf,
    pub used: PathBuf,
    before: Snapshot,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::at(Site::new())
    }

    pub fn at(site: Site) -> Scene {
        let (fresh, used) = (filled(&site, "fresh"), handed_over(&site, "used"));
        filled(&site, "another");
        let before = everything(&site);
        Scene { site, fresh, used, before }
    }

    /// Takes the snapshot again, after a change that the test made on purpose.
    pub fn take_snapshot(&mut self) {
        self.before = everything(&self.site);
    }

    /// A call of a helper with a hostile agent behind the switcher. Its idle timeout is that of all
    /// calls.
    pub fn call(&self, helper: &str, way: &str, path: Option<&Path>) -> Command {
        let switcher = hostile_agent(&self.site, way, path);
        self.site.call(helper, &switcher, if helper == SETUP { &self.fresh } else { &self.used })
    }

    /// Fails unless a call ends with the status of a failure and one line, which is returned, and
    /// everything is unchanged.
    pub fn changes_nothing(&self, helper: &str, what: &str, call: Command) -> String {
        let (output, memory) = ended(call);
        let line = failed(&output, if helper == SETUP { 2 } else { 1 }, &[]);
        assert!(memory < MOST_MEMORY, "{what}: {memory} KiB of memory; {line}");
        assert_eq!(everything(&self.site), self.before, "{what}: {line}");
        line
    }

    /// Makes such a call; returns the helper's line, which must contain the word. If that is the
    /// name of the idle timeout, it is one second: only there, because on a busy machine the start
    /// of the switcher can take as long.
    pub fn attack(&self, helper: &str, way: &str, path: Option<&Path>, word: &str) -> String {
        let mut call = self.call(helper, way, path);
        if word == IDLE {
            call.env(IDLE, "1");
        }
        self.fails_with(helper, way, call, word)
    }

    /// The same with a call that the caller has changed.
    pub fn fails_with(&self, helper: &str, way: &str, call: Command, word: &str) -> String {
        let line = self.changes_nothing(helper, way, call);
        assert!(line.contains(word), "{way}: {word:?} is not in {line:?}");
        line
    }

    /// A call of cleanup, and an agent that sends these bytes after its greeting.
    pub fn send(&self, what: &str, bytes: &[u8], word: &str) -> String {
        let path = self.site.path().join("words");
        write(&path, bytes, 0o644);
        self.fails_with(CLEANUP, what, self.call(CLEANUP, "these bytes", Some(&path)), word)
    }

    /// The same as `end`, for sandboxes on a mount that must be unmounted before the site is
    /// removed.
    pub fn end_on(self, mount: impl Drop) {
        self.assert_works();
        drop(mount);
    }

    /// Fails unless an honest agent works after all this.
    pub fn end(self) {
        self.assert_works();
    }

    fn assert_works(&self) {
        assert_all_have_ended(&self.site);
        self.site.set_up(&self.fresh);
        self.site.clean_up(&self.fresh);
        self.site.clean_up(&self.used);
        assert_eq!(self.site.entries(), ["another", "fresh", "used"]);
    }
}

/// All entries in the parent of the sandboxes, with their owners; without the parent itself, whose
/// modification time changes.
fn everything(site: &Site) -> Snapshot {
    let mut all = snapshot(&site.execute());
    all.remove(Path::new(""));
    all
}

/// A process of an account that runs until this is dropped (tests/support/leftover.rs).
pub struct Leftover(Child);

impl Leftover {
    /// Starts it, and waits until it has begun.
    pub fn new(account: Account, what: &str, paths: &[&Path]) -> Leftover {
        let program = program("examples").join("leftover");
        assert!(
            program.exists(),
            "the example is not built: cargo build --example leftover, or cargo test without --test"
        );
        let mut command = account.command(program);
        command.arg(what).args(paths).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut word = [0; 6];
        child.stdout.take().unwrap().read_exact(&mut word).expect("the process has started");
        Leftover(child)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

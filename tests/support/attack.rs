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

/// The most memory that a helper may ever use, in KiB, whatever it is told.
pub const MOST_MEMORY: i64 = 64 << 10;

/// A switcher that runs the hostile_agent as the job user, in place of the command that it is given.
pub fn hostile_agent(site: &Site, way: &str, path: Option<&Path>) -> PathBuf {
    hostile_agent_as(&as_job(), site, way, path)
}

/// As [`hostile_agent`], as whom these words of a shell run it.
pub fn hostile_agent_as(user: &str, site: &Site, way: &str, path: Option<&Path>) -> PathBuf {
    let hostile_agent = program("examples").join("hostile_agent");
    assert!(
        hostile_agent.exists(),
        "the hostile_agent is not built: cargo build --example hostile_agent, or cargo test without --test"
    );
    let path = path.map(|path| format!("'{}'", path.display())).unwrap_or_default();
    site.script(
        "hostile_agent",
        &format!("exec {user} '{}' \"{way}\" {path}", hostile_agent.display()),
    )
}

/// Fails if a helper's own process, or a child of it, is still there for a sandbox of this site.
pub fn assert_all_have_ended(site: &Site) {
    let (site, programs) = (site.path().display().to_string(), program("condor_glexec_"));
    wait_until("the last process of a helper is gone", || {
        let mut all = std::fs::read_dir("/proc").unwrap().flatten();
        !all.any(|process| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.starts_with(&*programs.to_string_lossy()) && words.contains(&site)
        })
    });
}

/// Runs a child to its end, with the most memory (KiB) that it used. Fails if it does not end, or
/// if whoever reads what it says would not come to an end then.
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
    let stderr =
        said.recv_timeout(TIMEOUT).expect("the helper has ended, but its caller's pipe has not");
    (Output { status, stdout: Vec::new(), stderr }, memory)
}

/// A sandbox before setup, one after it, and another one of the batch user's, all beside each
/// other.
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

    /// Something was changed on purpose.
    pub fn take_snapshot(&mut self) {
        self.before = everything(&self.site);
    }

    /// A call of a helper with a hostile_agent behind the switcher. It gives up after a second without
    /// progress.
    pub fn call(&self, helper: &str, way: &str, path: Option<&Path>) -> Command {
        let switcher = hostile_agent(&self.site, way, path);
        let mut call = self.site.call(
            helper,
            &switcher,
            if helper == SETUP { &self.fresh } else { &self.used },
        );
        call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "1");
        call
    }

    /// Fails unless a call ends with its failure's status and one line, which is returned, with
    /// everything as it was.
    pub fn changes_nothing(&self, helper: &str, what: &str, call: Command) -> String {
        let (output, memory) = ended(call);
        let line = failed(&output, if helper == SETUP { 2 } else { 1 }, &[]);
        assert!(memory < MOST_MEMORY, "{what}: {memory} KiB of memory; {line}");
        assert_eq!(everything(&self.site), self.before, "{what}: {line}");
        line
    }

    /// Lies in this way; returns the helper's line, which must hold the word.
    pub fn attack(&self, helper: &str, way: &str, path: Option<&Path>, word: &str) -> String {
        let line = self.changes_nothing(helper, way, self.call(helper, way, path));
        assert!(line.contains(word), "{way}: {word:?} is not in {line:?}");
        line
    }

    /// As the only word of an agent to cleanup, these bytes.
    pub fn say(&self, what: &str, bytes: &[u8], word: &str) -> String {
        let path = self.site.path().join("words");
        write(&path, bytes, 0o644);
        let line =
            self.changes_nothing(CLEANUP, what, self.call(CLEANUP, "these bytes", Some(&path)));
        assert!(line.contains(word), "{what}: {word:?} is not in {line:?}");
        line
    }

    /// As `end`, for sandboxes on a mount that is to go before the site.
    pub fn end_on(self, mount: impl Drop) {
        self.truth();
        drop(mount);
    }

    /// After all lies the truth is believed.
    pub fn end(self) {
        self.truth();
    }

    fn truth(&self) {
        assert_all_have_ended(&self.site);
        self.site.set_up(&self.fresh);
        self.site.clean_up(&self.fresh);
        self.site.clean_up(&self.used);
        assert_eq!(self.site.entries(), ["another", "fresh", "used"]);
    }
}

/// All that is in the parent of the sandboxes, with its owners. When that itself changed is not
/// told: names come and go in it.
fn everything(site: &Site) -> Snapshot {
    let mut all = snapshot(&site.execute());
    all.remove(Path::new(""));
    all
}

/// A process of somebody's that goes on until this is dropped (tests/support/leftover.rs).
pub struct Leftover(Child);

impl Leftover {
    /// Starts it, and waits until it has begun.
    pub fn new(account: Account, what: &str, paths: &[&Path]) -> Leftover {
        let program = program("examples").join("leftover");
        assert!(
            program.exists(),
            "it is not built: cargo build --example leftover, or cargo test without --test"
        );
        let mut command = account.command(program);
        command.arg(what).args(paths).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut word = [0; 6];
        child.stdout.take().unwrap().read_exact(&mut word).expect("it has begun");
        Leftover(child)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

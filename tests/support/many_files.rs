//! A sandbox with very many files, and helpers or agents that are killed at points that are spread
//! over a run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::handover::{CLEANUP, SETUP};
use super::trial::Side;
use super::{
    Account, PROXY, Site, as_job, messages, own, owner, retained, succeeded, wait_until, write,
};

/// The number of directories, and of files in each.
const DIRECTORIES: usize = 100;
const FILES: usize = 1000;

/// What is compared of a tree, because there are too many files to read all of them: mode, size,
/// and time in nanoseconds, by path below the top.
type Summary = BTreeMap<PathBuf, (u32, u64, i64)>;

/// The point at which a process is killed: a copy has this number of the directories, or a tree
/// that is deleted has only this number left.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Growing(usize),
    Shrinking(usize),
}

pub struct ManyFiles {
    site: Site,
    /// The parent of the sandbox. It is in memory, if possible, because a disk is slow with so many
    /// files.
    execute: TempDir,
    sandbox: PathBuf,
    original: Summary,
    quick: PathBuf,
}

impl ManyFiles {
    pub fn new() -> ManyFiles {
        let site = Site::new();
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_path_buf() } else { site.execute() };
        let execute = tempfile::Builder::new().prefix("gh-test-").tempdir_in(place).unwrap();
        fs::set_permissions(&execute, Permissions::from_mode(0o1777)).unwrap();
        let sandbox = execute.path().join("s");
        fs::create_dir(&sandbox).unwrap();
        write(sandbox.join(PROXY), "the proxy\n", 0o600);
        for directory in 0..DIRECTORIES {
            let path = sandbox.join(format!("d{directory}"));
            fs::create_dir(&path).unwrap();
            for file in 0..FILES {
                fs::write(
                    path.join(format!("f{file}")),
                    if file % 10 == 0 { "x".repeat(file) } else { String::new() },
                )
                .unwrap();
            }
        }
        own(&sandbox, Account::batch());
        let original = summary(&sandbox);
        assert_eq!(original.len(), 1 + DIRECTORIES * (FILES + 1));
        let quick = site.script("quick", &format!(r#"exec {} "$@""#, as_job()));
        ManyFiles { site, execute, sandbox, original, quick }
    }

    /// Kills the helper or its agent at one point; then another cleanup must bring everything back.
    pub fn killed_at(&self, helper: &str, side: Side, place: Place) {
        let what = format!("{helper}'s {side:?} killed at {place:?}");
        if helper == CLEANUP {
            self.done(SETUP);
        }
        let before = self.entries();
        let pid = self.site.scratch().join("agent.pid");
        let _ = fs::remove_file(&pid);
        // Only the first agent: a helper may call another agent to put things back.
        let switch = format!("exec {} \"$@\"", as_job());
        let body = format!(
            "[ ! -e {0} ] || {switch}\necho $$ >{0}.new; mv {0}.new {0}\n{switch}",
            pid.display()
        );
        let mut call = self.site.call(helper, &self.site.script("tells", &body), &self.sandbox);
        let mut running = call.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(120);
        let mut grown = false;
        while running.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "not reached within 120 s: {place:?}");
            // Both copies contain directories; the retained directory does not.
            let found: Vec<_> =
                self.entries().iter().filter_map(|name| self.directories(name)).collect();
            let there: Vec<_> = found.into_iter().filter(|count| *count > 0).collect();
            let whole = |least: usize| there.len() > 1 && there.iter().all(|count| *count >= least);
            grown |= whole(DIRECTORIES);
            let reached = match place {
                Place::Growing(count) => whole(count),
                Place::Shrinking(count) => grown && there.iter().any(|found| *found <= count),
            };
            if reached {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let target = match side {
            Side::Helper => running.id(),
            Side::Agent => fs::read_to_string(&pid).unwrap().trim().parse().unwrap(),
        };
        // A process that has already ended has done all its work: deleting can be faster than this
        // loop.
        let target = Pid::from_raw(i32::try_from(target).unwrap());
        let hit = kill(target, Signal::SIGKILL).is_ok();
        assert!(
            hit || matches!(place, Place::Shrinking(_)),
            "{what}: it had ended; before it there were {before:?}"
        );
        let output = running.wait_with_output().unwrap();
        if side == Side::Agent {
            let line = messages(&output);
            // Once the files are back, a killed agent is no failure; the line names what it has
            // left.
            let is_told = helper == CLEANUP && line.contains("the files are back");
            let expected = usize::from(!output.status.success() || is_told);
            assert_eq!(line.lines().count(), expected, "{what}: {line}");
        }
        let mut copies = [retained(&self.sandbox), self.sandbox.clone()].into_iter();
        assert!(
            copies.any(|path| path.exists() && summary(&path) == self.original),
            "{what}: no complete copy"
        );
        self.done(CLEANUP);
        assert_eq!(owner(&self.sandbox), Account::batch(), "{what}");
        assert!(summary(&self.sandbox) == self.original, "{what}: something else came back");
        if side == Side::Helper {
            self.alone(&what);
        }
    }

    /// At the end only the sandbox is left. What killed agents left belongs to the job user: the
    /// next agent removes it.
    pub fn finish(&self) {
        self.done(SETUP);
        self.done(CLEANUP);
        self.alone("the last cleanup");
    }

    /// Fails unless only the sandbox is left, after some time: an agent whose helper has ended
    /// deletes what it made.
    fn alone(&self, what: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.entries() != ["s"] {
            assert!(Instant::now() < end, "{what}: {:?} are left", self.entries());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn entries(&self) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(&self.execute).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn done(&self, helper: &str) {
        succeeded(&self.site.call(helper, &self.quick, &self.sandbox).output().unwrap());
        // The child of setup may still delete the old data, which would count as a copy.
        wait_until("only the sandbox and the retained directory exist", || {
            self.entries().len() <= 2
        });
    }

    /// The number of directories in a directory beside the sandbox, or in the sandbox; `None` if it
    /// does not exist any more.
    fn directories(&self, name: &OsString) -> Option<usize> {
        let entries = fs::read_dir(self.execute.path().join(name)).ok()?;
        Some(
            entries
                .flatten()
                .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"d"))
                .count(),
        )
    }
}

fn summary(top: &Path) -> Summary {
    let mut all = Summary::new();
    let mut waiting = vec![top.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        // An agent whose helper has ended may still change a tree that is not complete.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let path = entry.path();
            let below = path.strip_prefix(top).unwrap().to_path_buf();
            let time = if below == Path::new(PROXY) {
                0
            } else {
                found.mtime() * 1_000_000_000 + found.mtime_nsec()
            };
            let size = if found.is_dir() { 0 } else { found.size() };
            all.insert(below, (found.mode(), size, time));
            if found.is_dir() {
                waiting.push(path);
            }
        }
    }
    all
}

//! An epilogue in a directory on a trusted path, and a program that runs it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub mod sessions;

/// The time that a test waits for an event before it fails.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A limit that no epilogue of a test reaches.
pub const NO_LIMIT: &str = "600000";

/// Limits for a script that is to be ended by one, in milliseconds. On a busy machine it may not
/// have begun when the first one is reached: then the test tries the next.
pub const LIMITS: [&str; 3] = ["500", "5000", "50000"];

/// A directory of root's, with `epilogue` in it. Its scripts write to it.
pub struct Site(TempDir);

/// What the program prints: the status, or `-`; the log line; and what a check before says.
#[derive(Debug)]
pub struct Printed {
    pub status: String,
    pub line: String,
    pub check: String,
}

impl Site {
    /// With an epilogue of these lines of a shell; `$top` is the directory.
    pub fn new(lines: &str) -> Site {
        let top = tempfile::Builder::new().prefix("hooks-epilogue.").tempdir_in("/var/lib");
        let site = Site(top.expect("these tests need root, and a directory /var/lib of root's"));
        set_mode(site.top(), 0o755);
        site.put("epilogue", &format!("#!/bin/sh\ntop={}\n{lines}\n", site.top().display()));
        site
    }

    pub fn top(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.top().join(name)
    }

    pub fn epilogue(&self) -> PathBuf {
        self.path("epilogue")
    }

    /// Writes a file with mode 0755, which can be executed at once. Another process writes it: if a
    /// thread of the tests forked while this process had the file open for writing, it would be
    /// busy (ETXTBSY) until that child has executed its program.
    pub fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let mut install = Command::new("/bin/sh");
        install.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut child = install.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{}", path.display());
        path
    }

    /// What the epilogue has written to a file; fails if it has not.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(
            fs::read(self.path(name))
                .unwrap_or_else(|error| panic!("the epilogue has not written {name}: {error}")),
        )
        .unwrap()
    }

    /// The program that runs the epilogue as root, with this limit in milliseconds.
    pub fn runner(&self, limit: &str) -> Command {
        self.runner_as("0", "-", limit)
    }

    /// The same as another user and group.
    pub fn runner_as(&self, user: &str, group: &str, limit: &str) -> Command {
        let mut command = Command::new(program());
        command.arg(self.epilogue()).args([user, group, limit]).env_clear();
        command
    }

    /// Runs the epilogue as root, without a limit.
    pub fn run(&self) -> Printed {
        printed(self.runner(NO_LIMIT).arg("/bin/payload"))
    }
}

pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join("examples/run_epilogue");
    assert!(built.exists(), "{}: run cargo build -p hooks --examples", built.display());
    built
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Executes the program, and reads what it prints.
pub fn printed(command: &mut Command) -> Printed {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [status, line, check] = lines[..] else { panic!("not three lines: {text}") };
    Printed { status: status.into(), line: line.into(), check: check.into() }
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process with this id exists and has not ended.
pub fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    !matches!(state, None | Some(b'Z' | b'X'))
}

/// The process id that the epilogue has written to a file, once it has.
pub fn pid_in(path: &Path) -> String {
    wait_for("a process id", || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')))
        .trim()
        .to_owned()
}

//! What the tests share: real accounts, a site with a real switcher, a starter, and snapshots of
//! trees.
//!
//! Nothing here skips a test: if a requirement is missing, the test fails and says what to do.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

pub mod attack;
pub mod clean_root;
pub mod condor;
pub mod daemon;
pub mod doors;
pub mod families;
pub mod glexec;
pub mod handover;
pub mod hanging;
pub mod held;
pub mod installation;
pub mod job;
pub mod keys;
pub mod machine;
pub mod many_files;
pub mod mounts;
pub mod owner;
pub mod owner_calls;
pub mod pilot;
pub mod prefix;
pub mod setuid;
pub mod snapshot;
pub mod starter;
pub mod systemd;
pub mod trial;
pub mod user_job_wrapper;
mod verify;
pub mod world;

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The name of the proxy in every sandbox of the tests.
pub const PROXY: &str = "x509_proxy";

/// The map that assigns the job user to the batch user; ci/provision writes it.
pub const MAP: &str = "/etc/glexec-helpers-test.map";

/// The map of a `glexec` with root's rights, in the namespace of ci/setuid-glexec.
const CALLER_MAP: &str = "/etc/glexec.caller-map";

/// The ids that ci/provision gives to the batch user.
pub const SUBORDINATE: std::ops::Range<u32> = 1_900_000_000..1_900_000_256;

/// The time that a test waits for an event before it fails. It is far longer than a busy machine
/// needs, so that load does not decide the result.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Whether the tests use the project's own switcher instead of sudo. Then they run one after the
/// other, because each test has a separate table of leases, and so the same job user.
pub fn is_rootless() -> bool {
    std::env::var_os("GH_TEST_SWITCHER").is_some_and(|name| name == "rootless")
}

/// Whether the tests use the project's own switcher with root's rights, in a mount namespace that
/// ci/setuid-glexec has made.
pub fn is_setuid() -> bool {
    std::env::var_os("GH_TEST_SWITCHER").is_some_and(|name| name == "setuid")
}

/// Whether the tests use the project's own switcher as the client of the account daemon, in a mount
/// namespace that ci/daemon-glexec has made.
pub fn is_daemon() -> bool {
    std::env::var_os("GH_TEST_SWITCHER").is_some_and(|name| name == "daemon")
}

/// Whether `scripts/test --long` runs the tests.
pub fn is_long() -> bool {
    std::env::var_os("GH_TEST_LONG").is_some_and(|value| !value.is_empty())
}

/// Which of many moments a test tries, by their numbers: all of them in a long run, else one of
/// every `step`. Tests with different names begin with different ones.
pub fn moments(step: usize, name: &str) -> impl Fn(usize) -> bool {
    let step = if is_long() { 1 } else { step };
    let first = name.bytes().map(usize::from).sum::<usize>() % step;
    move |number| number % step == first
}

/// Whether the switcher is one that stays above its command as another process.
pub fn stays_above() -> bool {
    is_rootless() || is_setuid() || is_daemon()
}

/// An account of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    pub fn named(name: &str) -> Account {
        let found =
            nix::unistd::User::from_name(name).expect("the account database cannot be read");
        let user =
            found.unwrap_or_else(|| panic!("there is no account {name}: run ci/provision as root"));
        Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }

    /// The account of the batch system's daemons, or of the pilot.
    pub fn batch() -> Account {
        Account::named("gh-batch")
    }

    /// The account that runs the jobs.
    pub fn job() -> Account {
        match is_rootless() {
            // The first of the batch user's subordinate ids: a new table of leases assigns it to
            // the first sandbox of a site.
            true => Account { uid: SUBORDINATE.start, gid: SUBORDINATE.start },
            false => Account::named("gh-job"),
        }
    }

    /// The owner of a file.
    pub fn of(path: &Path) -> Account {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::symlink_metadata(path).unwrap();
        Account { uid: found.uid(), gid: found.gid() }
    }

    /// An account that is neither of them.
    pub fn other() -> Account {
        Account::named("gh-other")
    }

    /// A command that runs as this account, without supplementary groups, in the root directory.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.gid).current_dir("/");
        command
    }

    /// Makes the account the owner of a file, directory or link.
    pub fn owns(self, path: impl AsRef<Path>) {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .expect("changing the owner needs root");
    }
}

/// One of the project's programs, in a directory that every user can reach.
pub fn program(name: &str) -> PathBuf {
    static PREPARED: Once = Once::new();
    let directory = Path::new(env!("CARGO_BIN_EXE_condor_glexec_agent"))
        .parent()
        .expect("the program is in a directory");
    PREPARED.call_once(|| {
        for ancestor in directory.ancestors() {
            let mode = fs::metadata(ancestor)
                .expect("the directory cannot be examined")
                .permissions()
                .mode();
            assert!(
                mode & 0o001 != 0,
                "{} is closed to other users: build with CARGO_TARGET_DIR in a directory that the \
                 job user can reach, as scripts/test does",
                ancestor.display()
            );
        }
        // The mode with which it is installed.
        let agent = directory.join("condor_glexec_agent");
        fs::set_permissions(agent, Permissions::from_mode(0o711)).expect("the mode can be set");
    });
    if name == verify::NAME {
        verify::build(directory);
    }
    directory.join(name)
}

/// The words with which a shell script of a test, as a switcher, runs a command as the job user.
pub fn as_job() -> String {
    if stays_above() {
        program("glexec").display().to_string()
    } else {
        "/usr/bin/sudo -n -u gh-job --".to_owned()
    }
}

/// A directory with a directory for sandboxes, mode 1777. It is removed on drop.
pub struct Site {
    directory: TempDir,
    /// How sandboxes change hands: the helpers' variable, unless it is empty.
    handover: String,
    /// Whether the switcher is the project's own.
    rootless: bool,
}

impl Site {
    pub fn new() -> Site {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test changes users: run it as root (scripts/test)"
        );
        assert!(Path::new(MAP).exists(), "{MAP} is missing: run ci/provision as root");
        let directory = tempfile::Builder::new()
            .prefix("gh-test-")
            .tempdir_in("/var/tmp")
            .expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        // scripts/test sets this, to have each test done in both ways.
        let handover = std::env::var("GH_TEST_HANDOVER").unwrap_or_default();
        let site = Site { directory, handover, rootless: is_rootless() };
        if is_rootless() {
            // These tests run one after the other, so no process uses a claim of an earlier test.
            // The table of that claim may have disappeared with its file system; the claim would
            // then be valid for a week.
            let usual = PathBuf::from(format!("/var/tmp/glexec-{}", Account::batch().uid));
            for entry in fs::read_dir(usual).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|kind| kind == "claim") {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        fs::create_dir(site.execute()).unwrap();
        fs::set_permissions(site.execute(), Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir(site.leases()).unwrap();
        fs::set_permissions(site.leases(), Permissions::from_mode(0o700)).unwrap();
        Account::batch().owns(site.leases());
        site
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The parent of the sandboxes.
    pub fn execute(&self) -> PathBuf {
        self.path().join("execute")
    }

    /// The real switcher: sudo through its adapter, or the project's own.
    pub fn switcher(&self) -> PathBuf {
        program(if self.rootless || is_setuid() || is_daemon() { "glexec" } else { "glexec-sudo" })
    }

    /// A switcher for one test: a script.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path().join(name);
        executable(&path, format!("#!/bin/sh\n{body}\n").as_bytes());
        path
    }

    /// The directory of leases of the project's own switcher.
    pub fn leases(&self) -> PathBuf {
        self.path().join("leases")
    }

    /// A directory of the batch user.
    pub fn scratch(&self) -> PathBuf {
        let path = self.path().join("scratch");
        if !path.exists() {
            fs::create_dir(&path).unwrap();
            Account::batch().owns(&path);
        }
        path
    }

    /// For a test about copies: all sandboxes here change hands by a copy.
    pub fn copying(self) -> Site {
        Site { handover: "copy".to_owned(), ..self }
    }

    /// For a test about changes of owner: all sandboxes here change hands by one, through the
    /// project's `glexec`.
    pub fn owning(self) -> Site {
        Site { handover: "own".to_owned(), rootless: true, ..self }
    }

    /// Whether it is for a test about changes of owner.
    pub fn is_owning(&self) -> bool {
        self.handover == "own"
    }

    /// A new sandbox of the batch user that contains only a proxy.
    pub fn sandbox(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let path = self.execute().join(name.as_ref());
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        write(path.join(PROXY), "the proxy\n", 0o600);
        own(&path, Account::batch());
        path
    }

    /// A helper, as the batch user.
    pub fn helper(&self, name: &str) -> Command {
        let mut command = Account::batch().command(program(name));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GLEXEC_SUDO_MAP", MAP)
            .env("LC_ALL", "C")
            .env("GLEXEC_HELPERS_HANDOVER", &self.handover);
        // Only if the tests run one after the other: otherwise two tables would lease one id to two
        // tests, and one test would end the payloads of the other.
        if self.rootless {
            command.env("GLEXEC_STATE_DIR", self.leases());
        }
        command.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "30").stdin(Stdio::null());
        command
    }

    /// setup or cleanup of a sandbox through a switcher, with at most two retries and no pause.
    pub fn call(&self, name: &str, switcher: &Path, sandbox: &Path) -> Command {
        let mut command = self.helper(name);
        command.arg(switcher).arg(PROXY).arg(sandbox).args(["2", "0"]);
        command
    }

    /// Makes a call of the real switcher fail with status 202 or 203, after which the caller may
    /// try again.
    pub fn forbid(&self, call: &mut Command) {
        if is_setuid() {
            // No variable of a caller decides this. Without new privileges the program gets no
            // rights, and can do nothing without them.
            *call = under(call, &["setpriv", "--no-new-privs", "--"]);
            call.stdin(Stdio::null());
            return;
        }
        if is_daemon() {
            // There the socket is another file.
            let script = "mount --bind /dev/null /run/glexec/glexecd.socket && \
                          exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"";
            let words = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"];
            *call = under(call, &[&words[..], &["sh", "-c", script, "sh"]].concat());
            call.stdin(Stdio::null());
            return;
        }
        let forbidden = self.path().join("forbidden");
        write(&forbidden, "gh-other gh-job\n", 0o644);
        // The batch user has no line in this map; and a file cannot be the directory of leases.
        if is_rootless() {
            call.env("GLEXEC_STATE_DIR", forbidden)
        } else {
            call.env("GLEXEC_SUDO_MAP", forbidden)
        };
    }

    /// Makes a call of the real switcher run as another user than the job user of the first
    /// sandbox, and returns that user.
    pub fn map_to_another_user(&self, call: &mut Command) -> Account {
        if is_setuid() {
            // For all calls of the site from now on: the map is root's.
            let line = format!("gh-batch {} gh-job2\n", self.path().display());
            let map = fs::read_to_string(CALLER_MAP).unwrap();
            if !map.contains(&line) {
                write(CALLER_MAP, map + &line, 0o644);
            }
            return Account::named("gh-job2");
        }
        let elsewhere = self.path().join("elsewhere");
        if !is_rootless() {
            write(&elsewhere, "gh-batch gh-job2\n", 0o644);
            call.env("GLEXEC_SUDO_MAP", &elsewhere);
            return Account::named("gh-job2");
        }
        // In this table the first id is leased to another credential.
        if !elsewhere.exists() {
            fs::create_dir(&elsewhere).unwrap();
            fs::set_permissions(&elsewhere, Permissions::from_mode(0o700)).unwrap();
            write(
                elsewhere.join(SUBORDINATE.start.to_string()),
                glexec::lease(Path::new(MAP)),
                0o600,
            );
            own(&elsewhere, Account::batch());
        }
        call.env("GLEXEC_STATE_DIR", &elsewhere);
        Account { uid: SUBORDINATE.start + 1, gid: SUBORDINATE.start + 1 }
    }

    /// setup through the real switcher, which must succeed.
    pub fn set_up(&self, sandbox: &Path) {
        succeeded(&self.call("condor_glexec_setup", &self.switcher(), sandbox).output().unwrap());
    }

    /// cleanup through the real switcher, which must succeed.
    pub fn clean_up(&self, sandbox: &Path) {
        succeeded(&self.call("condor_glexec_cleanup", &self.switcher(), sandbox).output().unwrap());
    }

    /// The names in the parent of the sandboxes, sorted.
    pub fn entries(&self) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(self.execute()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }
}

/// Makes a file that can be executed at once. Another process writes it: if a thread of the tests
/// forked while this process had the file open for writing, it would be busy (ETXTBSY) until that
/// child has executed its program.
pub fn executable(path: &Path, content: &[u8]) {
    let mut install = Command::new("/bin/sh");
    install.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut child = install.spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    assert!(child.wait().unwrap().success(), "{}", path.display());
}

/// `<sandbox>.condor`.
pub fn retained(sandbox: &Path) -> PathBuf {
    let mut path = sandbox.as_os_str().to_os_string();
    path.push(".condor");
    PathBuf::from(path)
}

/// Writes a file with these permission bits.
pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// Makes an account the owner of a whole tree.
pub fn own(path: &Path, account: Account) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path(), account);
        }
    }
    account.owns(path);
}

/// The account that owns a file. With the project's own switcher it is the job user for every
/// sandbox, although another sandbox can have another id.
pub fn owner(path: &Path) -> Account {
    match Account::of(path) {
        account if is_rootless() && SUBORDINATE.contains(&account.uid) => Account::job(),
        account => account,
    }
}

/// The variables that a call sets, for another command that makes the call.
pub fn variables_of(call: &Command) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    call.get_envs().filter_map(|(name, value)| Some((name, value?)))
}

/// The same call as the batch user, below another command: `first` are the words of a command that
/// executes the rest.
pub fn under(call: &Command, first: &[&str]) -> Command {
    let mut command = Account::batch().command(first[0]);
    command.args(&first[1..]).arg(call.get_program()).args(call.get_args());
    command.env_clear().envs(variables_of(call));
    command
}

/// The text that a helper wrote to standard error.
pub fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails unless the helper succeeded and wrote nothing to standard error.
pub fn succeeded(output: &Output) {
    assert_eq!((output.status.code(), messages(output).as_str()), (Some(0), ""));
}

/// Fails unless the helper ended with this status and one line that contains all these words;
/// returns the line.
pub fn failed(output: &Output, status: i32, words: &[&str]) -> String {
    let line = messages(output);
    assert_eq!(output.status.code(), Some(status), "{line}");
    assert_eq!(line.lines().count(), 1, "one line: {line:?}");
    assert!(line.ends_with('\n'), "a whole line: {line:?}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    line
}

/// Waits until a condition is true; fails after [`TIMEOUT`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < end, "waited {} s, but not true: {what}", TIMEOUT.as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
}

//! The account daemon in a private mount namespace of a test, beside `glexec`, which is not
//! set-user-ID there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::handover::set_mode;
use super::installation::install;
use super::setuid::{LIBEXEC, Setuid};
use super::{Account, own, program, wait_until, write};

/// The socket of the daemon.
pub const SOCKET: &str = "/run/glexec/glexecd.socket";

/// The audit.
pub const AUDIT: &str = "/var/log/glexec/accounts.jsonl";

/// Where the accounts on lease are.
pub const ACCOUNTS: &str = "/run/glexec/accounts";

/// The user ids of the accounts that exist in a test's /etc only. The tests run at the same time,
/// and see one another's processes: so no two machines have the same ids.
static NEXT_USER: AtomicU32 = AtomicU32::new(70_000);

/// A machine with the daemon. It is removed on drop, with the daemon.
pub struct Daemon {
    pub machine: Setuid,
    daemon: Option<Child>,
    first_user: u32,
}

/// How many such accounts a machine has.
const MOST_GUESTS: u32 = 50;

impl Daemon {
    /// With these lines of the list of accounts, of which guest01 to guest50 exist in this
    /// machine's /etc only, and these lines of the configuration. The batch user is its client.
    pub fn with(accounts: &str, lines: &str) -> Daemon {
        let machine = Setuid::without_configuration();
        let libexec = machine.path(LIBEXEC);
        set_mode(libexec.join("glexec"), 0o755);
        install(program("glexecd"), libexec.join("glexecd"));
        machine.configure(&format!("mapping = caller\nmin_uid = 900\nmin_gid = 900\n{lines}"));
        fs::create_dir(machine.path("/etc/glexec")).unwrap();
        let first_user = NEXT_USER.fetch_add(MOST_GUESTS, Ordering::Relaxed);
        let mut passwd = fs::read_to_string("/etc/passwd").unwrap();
        let mut group = fs::read_to_string("/etc/group").unwrap();
        for number in 1..=MOST_GUESTS {
            let id = first_user + number;
            passwd += &format!("guest{number:02}:x:{id}:{id}::/:/bin/sh\n");
            group += &format!("guest{number:02}:x:{id}:\n");
        }
        machine.write("/etc/passwd", passwd);
        machine.write("/etc/group", group);
        let mut daemon = Daemon { machine, daemon: None, first_user };
        daemon.write_private("/etc/glexec/clients", "gh-batch\n");
        daemon.write_private("/etc/glexec/accounts", accounts);
        daemon.start();
        daemon
    }

    /// With one guest account, guest01.
    pub fn new() -> Daemon {
        Daemon::with_guests(1, "")
    }

    /// With so many guest accounts, from guest01 on.
    pub fn with_guests(count: u32, lines: &str) -> Daemon {
        let names: Vec<String> = (1..=count).map(|number| format!("guest{number:02}\n")).collect();
        Daemon::with(&names.concat(), lines)
    }

    /// The account guest01, guest02, and so on.
    pub fn guest(&self, number: u32) -> Account {
        Account { uid: self.first_user + number, gid: self.first_user + number }
    }

    /// Writes a file of root's that no other user can read.
    pub fn write_private(&self, path: &str, content: &str) {
        // Replaced in one step, as an administrator's editor does.
        let temporary = format!("{path}.new");
        write(self.machine.path(&temporary), content, 0o600);
        fs::rename(self.machine.path(&temporary), self.machine.path(path)).unwrap();
    }

    /// A command of root's on the machine.
    pub fn root(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.machine.command(Account { uid: 0, gid: 0 }, program);
        command.stdin(Stdio::null());
        command
    }

    /// Starts the daemon, and waits until it listens.
    pub fn start(&mut self) {
        self.start_under(&[]);
    }

    /// The same, under another program, which becomes the daemon.
    pub fn start_under(&mut self, words: &[&str]) {
        let glexecd = format!("{LIBEXEC}/glexecd");
        let words = [words, &[&glexecd]].concat();
        let mut daemon = self.root(words[0]);
        daemon.args(&words[1..]);
        daemon.args(["--listen", SOCKET, "--group", "gh-batch"]);
        let mut child = daemon.spawn().unwrap();
        let path = self.machine.path(SOCKET);
        wait_until("the daemon listens, or has ended", || {
            std::os::unix::net::UnixStream::connect(&path).is_ok()
                || child.try_wait().unwrap().is_some()
        });
        self.daemon = Some(child);
    }

    /// The process id of the daemon.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// Ends the daemon by a signal, and waits for its end.
    pub fn signal(&mut self, number: i32) {
        let mut daemon = self.daemon.take().unwrap();
        // SAFETY: sends a signal to a child that was not waited for.
        assert_eq!(unsafe { libc::kill(daemon.id() as i32, number) }, 0);
        daemon.wait().unwrap();
    }

    /// Stops the daemon, which may have been killed already.
    pub fn stop_if_it_runs(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            if daemon.try_wait().unwrap().is_none() {
                kill(daemon.id(), libc::SIGTERM);
            }
            daemon.wait().unwrap();
        }
    }

    /// Stops the daemon.
    pub fn stop(&mut self) {
        self.signal(libc::SIGTERM);
    }

    /// The switcher as the batch user, with the credential; without a command.
    pub fn glexec(&self) -> Command {
        self.machine.glexec()
    }

    /// Another credential of the batch user.
    pub fn credential(&self, name: &str) -> PathBuf {
        let path = self.machine.site.scratch().join(name);
        write(&path, "a token\n", 0o600);
        own(&path, Account::batch());
        path
    }

    /// The switcher with another credential and a shell script as its payload.
    pub fn script(&self, credential: &Path, script: &str) -> Command {
        let mut command = self.glexec();
        command.env("GLEXEC_CLIENT_CERT", credential).args(["/bin/sh", "-c", script]);
        command
    }

    /// Runs a shell script as a payload.
    pub fn runs(&self, script: &str) -> Output {
        self.machine.runs(script)
    }

    /// What a payload that succeeds prints.
    pub fn says(&self, script: &str) -> String {
        self.machine.says(script)
    }

    /// The number of the lease that an account has.
    pub fn lease(&self, account: &str) -> Option<String> {
        let file = format!("lease.{}", Account::batch().uid);
        let path = self.machine.path(ACCOUNTS).join(account).join(file);
        Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
    }

    /// The lines of the audit.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.machine.path(AUDIT)).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The files of an account's directory in the table of leases.
    pub fn files_of(&self, account: &str) -> Vec<String> {
        let directory = self.machine.path(ACCOUNTS).join(account);
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Sends a signal to a process that this process has started and not waited for.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: sends a signal.
    assert_eq!(unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) }, 0);
}

/// The processes of a user that have not ended.
pub fn processes_of(uid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let is_users = status.lines().any(|line| line.starts_with(&format!("Uid:\t{uid}\t")));
        if is_users && !["\nState:\tZ", "\nState:\tX"].iter().any(|end| status.contains(end)) {
            found.push(pid);
        }
    }
    found
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.signal(libc::SIGKILL);
        }
    }
}

//! Calls of `glexec` as the batch user.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::{Account, MAP, Site, messages, own, program, write};

/// A call whose payload is cat(1), when that has begun: no other process of the call is about to
/// become it.
pub fn begun(call: &mut Command) -> Child {
    let mut child = call.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

/// Shell scripts, and the status that a call of `glexec` has for a payload that runs one.
pub const STATUSES: [(&str, i32); 13] = [
    ("exit 0", 0),
    ("exit 7", 7),
    ("exit 126", 126),
    ("exit 200", 200),
    ("exit 205", 205),
    ("exit 255", 255),
    ("exit 201", 204),
    ("exit 202", 204),
    ("exit 203", 204),
    ("exit 204", 204),
    ("kill -KILL $$", 137),
    ("kill -TERM $$", 143),
    // A signal without a name.
    ("kill -34 $$", 162),
];

/// A site with a credential.
pub struct Rootless {
    pub site: Site,
}

impl Rootless {
    pub fn new() -> Rootless {
        let rootless = Rootless { site: Site::new() };
        rootless.credential("credential");
        rootless
    }

    /// Makes a credential of the batch user; returns its path.
    pub fn credential(&self, name: &str) -> PathBuf {
        let path = self.site.scratch().join(name);
        write(&path, "a token\n", 0o600);
        own(&path, Account::batch());
        path
    }

    /// The switcher, with the first credential; without a command.
    pub fn glexec(&self) -> Command {
        self.glexec_with(&self.site.scratch().join("credential"))
    }

    pub fn glexec_with(&self, credential: &Path) -> Command {
        let mut command = Account::batch().command(program("glexec"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GLEXEC_CLIENT_CERT", credential)
            .stdin(Stdio::null());
        // The leases of all tests are in the default table, so that no two tests have the same id.
        command
    }

    /// Runs a shell script as a payload.
    pub fn shell(&self, script: &str) -> Output {
        self.glexec().args(["/bin/sh", "-c", script]).output().unwrap()
    }

    /// A separate table of leases, in which some ids are leased, and others were released in this
    /// order.
    pub fn table(&self, name: &str, taken: impl Iterator<Item = u32>, free: &[u32]) -> PathBuf {
        let table = self.site.scratch().join(name);
        fs::create_dir(&table).unwrap();
        fs::set_permissions(&table, fs::Permissions::from_mode(0o700)).unwrap();
        for user in taken {
            write(table.join(user.to_string()), lease(Path::new(MAP)), 0o600);
        }
        write(
            table.join("free"),
            free.iter().map(|user| format!("{user}\n")).collect::<String>(),
            0o600,
        );
        own(&table, Account::batch());
        table
    }

    /// The output of a script that succeeds.
    pub fn says(&self, script: &str) -> String {
        let output = self.shell(script);
        assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""), "{script}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The user id that payloads of the first credential get.
    pub fn user(&self) -> u32 {
        self.says("id -u").parse().unwrap()
    }
}

/// The entry of an id that is leased to this credential, on a file system that cannot be seen.
pub fn lease(credential: &Path) -> String {
    format!("\0elsewhere\0{}", credential.display())
}

/// The processes of a user id that have not ended.
pub fn processes_of(user: u32) -> Vec<u32> {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is = status.lines().any(|line| line.starts_with(&format!("Uid:\t{user}\t")));
        is && super::families::is_alive(*pid)
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(of).collect()
}

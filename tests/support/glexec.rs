//! Calls of the project's own switcher as the batch user, with leases of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{Account, MAP, Site, own, program, said, write};

/// A place with a credential and leases.
pub struct Rootless {
    pub site: Site,
}

impl Rootless {
    pub fn new() -> Rootless {
        let rootless = Rootless { site: Site::new() };
        rootless.credential("credential");
        rootless
    }

    /// A credential of the batch user's: its path.
    pub fn credential(&self, name: &str) -> PathBuf {
        let path = self.site.scratch().join(name);
        write(&path, "a token\n", 0o600);
        own(&path, Account::batch());
        path
    }

    /// The switcher, with the first credential; its command is still to come.
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
        // The leases of all tests are in one place, as those of a pilot are: its ids are never
        // given away twice.
        command
    }

    /// Runs a shell script as a payload.
    pub fn shell(&self, script: &str) -> Output {
        self.glexec().args(["/bin/sh", "-c", script]).output().unwrap()
    }

    /// A table of leases of the test's own, in which some ids belong to somebody, and others were
    /// given back in this order.
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

    /// What a script says that succeeds.
    pub fn says(&self, script: &str) -> String {
        let output = self.shell(script);
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{script}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The user id that payloads of the first credential get.
    pub fn user(&self) -> u32 {
        self.says("id -u").parse().unwrap()
    }
}

/// What the table of leases holds for ids that belong to this credential, as another machine may
/// have known it.
pub fn lease(credential: &Path) -> String {
    format!("\0elsewhere\0{}", credential.display())
}

/// The living processes of a user id.
pub fn processes_of(user: u32) -> Vec<u32> {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is = status.lines().any(|line| line.starts_with(&format!("Uid:\t{user}\t")));
        is && super::kinsfolk::is_alive(*pid)
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(of).collect()
}

//! Installations below a temporary prefix, by `scripts/install`, and packages by `scripts/package`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::installation::stripped;
use super::messages;
use super::snapshot::{Entry, snapshot};

pub const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// A script of the project with these arguments and a strict umask. If it builds programs, it gets
/// those of the tests.
pub fn script(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 077 && exec \"$@\"", "sh"])
        .arg(format!("{SOURCE}/scripts/{name}"))
        .args(words);
    command
}

/// An empty directory, and a prefix in it that does not exist yet.
pub struct Place {
    pub directory: TempDir,
    pub prefix: String,
}

impl Place {
    pub fn new() -> Place {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test looks at owners: run it as root (scripts/test)"
        );
        let directory = tempfile::Builder::new().prefix("gh-test-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let prefix = directory.path().join("prefix").to_str().unwrap().to_owned();
        Place { directory, prefix }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        Path::new(&self.prefix).join(below)
    }

    pub fn install(&self, words: &[&str]) {
        let output = script("install", &["--prefix", &self.prefix, "--programs", stripped()])
            .args(words)
            .output();
        assert_worked(&output.unwrap());
    }

    pub fn uninstall(&self) -> Output {
        script("install", &["--prefix", &self.prefix, "--uninstall"]).output().unwrap()
    }

    /// What exists: kind, mode, owner, group.
    pub fn entries(&self) -> BTreeMap<PathBuf, (&'static str, u32, u32, u32)> {
        let top = self.directory.path();
        let seen = |(path, entry): (PathBuf, Entry)| {
            let found = fs::symlink_metadata(top.join(&path)).unwrap();
            (path, (entry.kind, entry.mode, found.uid(), found.gid()))
        };
        snapshot(top).into_iter().filter(|(path, _)| path != Path::new("")).map(seen).collect()
    }
}

pub fn assert_worked(output: &Output) {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        messages(output)
    );
    assert_eq!(messages(output), "");
}

/// A package with the tests' programs, not compressed, because they are large.
pub fn package(directory: &Path) -> PathBuf {
    let mut call = script("package", &["--programs", stripped()]);
    call.arg(directory)
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
        .env("SOURCE_DATE_EPOCH", "1700000000");
    let output = call.output().unwrap();
    assert_worked(&output);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

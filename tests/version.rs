//! scripts/version: one version in every file that has it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The folders of a working copy that git ignores, and git's own.
const NOT_SOURCE: [&str; 5] = [".git", "target", "corpus", "artifacts", "coverage"];

/// The files that have the version.
const FILES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates/verify/Cargo.toml",
    "crates/verify/Cargo.lock",
    "fuzz/Cargo.lock",
    "CHANGELOG.md",
];

const OLD: &str = env!("CARGO_PKG_VERSION");

/// A copy of the project's source.
struct Copy(TempDir);

impl Copy {
    fn new() -> Copy {
        let copy = Copy(tempfile::tempdir().unwrap());
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in files(top) {
            let to = copy.0.path().join(file.strip_prefix(top).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        copy
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap()
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.text(file);
        assert!(text.contains(from), "{file}: no {from}");
        fs::write(self.0.path().join(file), text.replacen(from, to, 1)).unwrap();
    }

    fn version(&self, words: &[&str]) -> Output {
        Command::new(self.0.path().join("scripts/version")).args(words).output().unwrap()
    }

    /// What it prints, without the end of the line.
    fn says(&self, words: &[&str]) -> String {
        let output = self.version(words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// All lines, without those of lock files, that contain a version which is not a part of a
    /// longer number.
    fn lines_with(&self, version: &str) -> Vec<String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let mut found = Vec::new();
        for file in files(self.0.path()).iter().filter(|file| !file.ends_with("Cargo.lock")) {
            let Ok(text) = fs::read_to_string(file) else { continue };
            let holds = |line: &&str| {
                line.split(|c| !is_part(c)).any(|word| word.trim_matches('.') == version)
            };
            found.extend(
                text.lines().filter(holds).map(|line| format!("{}: {line}", file.display())),
            );
        }
        found
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() && NOT_SOURCE.contains(&entry.file_name().to_str().unwrap()) => {}
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn the_version_is_the_same_in_every_file() {
    let copy = Copy::new();
    assert_eq!(copy.says(&[]), OLD);
}

#[test]
fn a_new_version_is_set_in_every_file_that_has_the_old_one() {
    let copy = Copy::new();
    assert_eq!(copy.says(&["98.76.54-rc.1"]), "98.76.54-rc.1");
    assert_eq!(copy.says(&[]), "98.76.54-rc.1");
    // The sections of earlier versions are unchanged.
    let left = copy
        .lines_with(OLD)
        .into_iter()
        .filter(|line| !line.contains("CHANGELOG.md: "))
        .collect::<Vec<_>>();
    assert!(left.is_empty(), "{left:#?}");
    // Cargo accepts the lock file for the new version.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(copy.0.path()).args([
        "tree",
        "--quiet",
        "--locked",
        "--offline",
        "--depth=0",
    ]);
    let output = cargo.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(" v98.76.54-rc.1 "), "{output:?}");
}

#[test]
fn the_heading_of_a_version_is_kept_once_that_is_released() {
    let copy = Copy::new();
    let text = copy.text("CHANGELOG.md");
    let heading = text.lines().find(|line| line.starts_with("## ")).unwrap();
    copy.replace("CHANGELOG.md", heading, &format!("## {OLD} (2026-01-01)"));
    copy.says(&["98.76.54"]);
    let text = copy.text("CHANGELOG.md");
    assert!(
        text.contains(&format!("\n## 98.76.54 (unreleased)\n\n## {OLD} (2026-01-01)\n")),
        "{text}"
    );
    copy.says(&["98.76.55"]);
    let text = copy.text("CHANGELOG.md");
    assert!(
        text.contains(&format!("\n## 98.76.55 (unreleased)\n\n## {OLD} (2026-01-01)\n")),
        "{text}"
    );
}

#[test]
fn a_version_is_neither_shown_nor_set_while_the_files_differ() {
    for (file, from) in [
        ("Cargo.toml", format!("version = \"{OLD}\"")),
        ("Cargo.lock", format!("name = \"glexec-helpers\"\nversion = \"{OLD}\"")),
        ("crates/verify/Cargo.toml", format!("version = \"{OLD}\"")),
        ("crates/verify/Cargo.lock", format!("name = \"verify\"\nversion = \"{OLD}\"")),
        ("fuzz/Cargo.lock", format!("name = \"wire\"\nversion = \"{OLD}\"")),
        ("CHANGELOG.md", format!("## {OLD}")),
    ] {
        let copy = Copy::new();
        copy.replace(file, &from, &from.replace(OLD, "98.76.53"));
        let before = FILES.map(|file| copy.text(file));
        for words in [&[][..], &["98.76.54"]] {
            let output = copy.version(words);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{file}: {said}");
            let line = said.lines().find(|line| line.starts_with(&format!("  {file}: ")));
            assert!(line.is_some_and(|line| line.ends_with("98.76.53")), "{said}");
            assert!(said.contains(&format!(": {OLD}\n")), "{said}");
        }
        assert!(FILES.map(|file| copy.text(file)) == before, "{file}: something was changed");
    }
}

#[test]
fn what_is_no_version_is_refused() {
    let copy = Copy::new();
    for words in ["1.2", "1.2.3.4", "01.2.3", "v1.2.3", "1.2.3-", "1.2.3 ", "1.2.3\"", OLD] {
        let output = copy.version(&[words]);
        assert_eq!(output.status.code(), Some(1), "{words}: {output:?}");
        assert_eq!(copy.says(&[]), OLD, "{words}");
    }
}

//! What the documents name in backticks exists: modules and their items, and files.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, and the modules of the root package, whose paths the documents name.
const CRATES: [&str; 16] = [
    "sys",
    "error",
    "command",
    "wire",
    "tree",
    "hooks",
    "world",
    "agent",
    "glexec",
    "glexec_sudo",
    "root",
    "envwrap",
    "ownership",
    "accountd",
    "accounts",
    "cgroup",
];
const ROOT_MODULES: [&str; 2] = ["batch", "cli"];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

/// The words in backticks of a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The file of a module in its folder, if there is one.
fn module_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let alone = folder.join(format!("{name}.rs"));
    [alone, folder.join(name).join("mod.rs")].into_iter().find(|path| path.is_file())
}

/// Whether a text contains this word.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Whether a file defines or re-exports a public item of this name.
fn defines(file: &Path, name: &str) -> bool {
    const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod"];
    let text = fs::read_to_string(file).unwrap();
    let is_definition = |line: &str| {
        let definition = line.split(['(', '<', '{', ':', '=', ';']).next().unwrap();
        let mut words = definition.split_whitespace().rev();
        words.next() == Some(name) && words.next().is_some_and(|kind| KINDS.contains(&kind))
    };
    let mut public = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "))
    });
    let mut reexports = text.split("pub use ").skip(1);
    public.any(is_definition)
        || reexports.any(|rest| has_word(rest.split(';').next().unwrap(), name))
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(of).filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// Whether a file defines this type, and a public function of this name.
fn type_has(name: &str, function: &str) -> bool {
    let all = ["src", "crates"].into_iter().flat_map(|folder| sources(&top().join(folder)));
    all.into_iter().any(|file| defines(&file, name) && defines(&file, function))
}

/// Whether a path such as `sys::Name` or `Switcher::find` names an existing module or item.
fn exists(path: &str) -> bool {
    let mut names = path.split("::").peekable();
    let first = names.next().unwrap();
    let (mut folder, mut file) = if CRATES.contains(&first) {
        let folder = top().join("crates").join(first.replace('_', "-")).join("src");
        (folder.clone(), folder.join("lib.rs"))
    } else if ROOT_MODULES.contains(&first) {
        (top().join("src").join(first), module_file(&top().join("src"), first).unwrap())
    } else {
        return names.next().is_some_and(|function| type_has(first, function));
    };
    while let Some(name) = names.next() {
        if let Some(found) = module_file(&folder, name) {
            (folder, file) = (folder.join(name), found);
        } else {
            let last = names.next();
            return last.map_or_else(|| defines(&file, name), |last| type_has(name, last));
        }
    }
    true
}

/// Whether the words in backticks are a path of a module or item, and not that of a test.
fn is_module_path(words: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    words.contains("::") && words.split("::").all(is_name)
}

#[test]
fn module_paths_in_the_architecture_exist() {
    let text = text("docs/architecture.md");
    let paths: BTreeSet<&str> = quoted(&text).filter(|words| is_module_path(words)).collect();
    let missing: Vec<_> = paths.iter().filter(|path| !exists(path)).collect();
    assert!(paths.len() > 10 && missing.is_empty(), "of {}: {missing:?}", paths.len());
}

/// The rows of the tables in a section of CONTRIBUTING.md.
fn rows<'a>(text: &'a str, section: &str) -> Vec<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let body = rest.split("\n## ").next().unwrap();
    body.lines().filter(|line| line.starts_with("| ")).skip(1).collect()
}

#[test]
fn paths_in_the_tables_of_contributing_exist() {
    let text = text("CONTRIBUTING.md");
    let (mut count, mut missing) = (0, Vec::new());
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let words = quoted(line).map(|words| words.split(' ').next().unwrap());
        for path in words.filter(|path| path.contains('/') || path.ends_with(".rs")) {
            count += 1;
            if !top().join(path).exists() && !top().join("tests").join(path).exists() {
                missing.push(path);
            }
        }
    }
    assert!(count > 30 && missing.is_empty(), "of {count}: {missing:?}");
    for row in rows(&text, "Checks beside the tests") {
        let name = quoted(row).next().unwrap();
        assert!(top().join("ci/check").join(name).exists(), "there is no check {name}");
    }
}

#[test]
fn the_table_of_tests_in_contributing_names_each_file_once() {
    let text = text("CONTRIBUTING.md");
    let rows = rows(&text, "Tests");
    let files = rows.iter().filter_map(|row| row.split('|').nth(2)).flat_map(quoted);
    let mut named: Vec<&str> = files.collect();
    named.sort_unstable();
    let mut existing: Vec<String> = fs::read_dir(top().join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.join("main.rs").exists() { path.join("main.rs") } else { path })
        .map(|path| path.strip_prefix(top().join("tests")).unwrap().display().to_string())
        .filter(|name| name.ends_with(".rs"))
        .collect();
    existing.sort_unstable();
    assert_eq!(named, existing);
}

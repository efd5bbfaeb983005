//! Every sentence of the contract has a test, and every flaw in the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The tests of the workspace: `<file>::<function>`; for those inside a crate `<crate>::<module
/// path>::<function>`, and for those of the package itself without the crate.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.join("tests"), root.join("src"), root.join("crates")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let file =
                    path.strip_prefix(root).unwrap().with_extension("").display().to_string();
                let file = file
                    .trim_start_matches("tests/")
                    .trim_start_matches("src/")
                    .trim_start_matches("crates/");
                let file = file.replace("/src/", "/").replace('/', "::");
                let mut lines = text.lines().map(str::trim);
                while let Some(line) = lines.next() {
                    if line == "#[test]" {
                        let function = lines.find_map(|line| line.strip_prefix("fn ")).unwrap();
                        found.insert(format!("{file}::{}", function.split('(').next().unwrap()));
                    }
                }
            }
        }
    }
    found
}

/// The names of the contract's sentences. Fails if a line of the document neither begins nor
/// continues a sentence.
fn sentences() -> Vec<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/contract.md")).unwrap();
    let (_, body) = text.split_once("\n## ").expect("sections");
    let mut names = Vec::new();
    for line in body
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty() && !line.starts_with("## ") && !line.starts_with("  "))
    {
        let name =
            line.strip_prefix("- **").and_then(|rest| rest.split_once("** ")).map(|(name, _)| name);
        names.push(name.unwrap_or_else(|| panic!("a sentence without a name: {line}")).to_owned());
    }
    names
}

/// The source files below a folder, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn only_sys_speaks_to_the_kernel_and_only_sys_is_unsafe() {
    let others = ["src", "crates"]
        .into_iter()
        .flat_map(sources)
        .filter(|(path, _)| !path.contains("/crates/sys/"));
    for (path, text) in others.filter(|(path, _)| path.ends_with(".rs")) {
        let text = text.replace("unix::", "");
        for word in ["nix::", "libc::", "unsafe {", "unsafe fn"] {
            assert!(!text.contains(word), "{word} in {path}");
        }
        let whole = path.ends_with("/lib.rs") || path.contains("/src/bin/");
        assert!(
            !whole || text.contains("#![forbid(unsafe_code)]"),
            "{path} does not forbid unsafe code"
        );
    }
}

#[test]
fn every_sentence_of_the_contract_has_a_test() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract.map"))
        .unwrap();
    let tests = tests();
    let mut mapped: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in map.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, list) =
            line.split_once(": ").unwrap_or_else(|| panic!("not '<name>: <test>, …': {line}"));
        assert!(
            mapped.insert(name, list.split(", ").collect()).is_none(),
            "{name} is mapped twice"
        );
    }
    let names = sentences();
    let mut wrong = Vec::new();
    for name in &names {
        match mapped.remove(name.as_str()) {
            None => wrong.push(format!("{name} has no test")),
            Some(list) => {
                let missing = list.into_iter().filter(|test| !tests.contains(*test));
                wrong.extend(missing.map(|test| format!("{name}: there is no test {test}")));
            }
        }
    }
    wrong.extend(mapped.keys().map(|name| format!("{name} is no sentence of the contract")));
    assert!(
        names.len() > 90 && wrong.is_empty(),
        "{} sentences:\n{}",
        names.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_flaw_in_the_ledger_has_a_test() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ledger.md")).unwrap();
    let (_, body) = text.split_once("\n## ").expect("sections");
    let tests = tests();
    let (mut flaws, mut wrong) = (0, Vec::new());
    for flaw in body.split("\n- ").skip(1) {
        // A paragraph of a section may follow its last flaw.
        let flaw = flaw.split("\n\n").next().unwrap();
        flaws += 1;
        let mut lines = flaw.lines().map(str::trim);
        let shows = lines.next().unwrap();
        let rest: Vec<_> = lines.collect();
        let here = rest.iter().position(|line| line.starts_with("Here: "));
        let named = rest.iter().position(|line| line.starts_with("Tests: "));
        let (Some(here), Some(named)) = (here, named) else {
            wrong.push(format!("not how it shows, 'Here:' and 'Tests:': {shows}"));
            continue;
        };
        let named = rest[named..].join(" ");
        let list: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        if list.is_empty() || here > 2 {
            wrong.push(format!("names no test, or does not come to the point: {shows}"));
        }
        let missing = list.into_iter().filter(|test| !tests.contains(*test));
        wrong.extend(missing.map(|test| format!("there is no test {test}: {shows}")));
    }
    assert!(flaws > 30 && wrong.is_empty(), "{flaws} flaws:\n{}", wrong.join("\n"));
}

//! The dependencies of the crates, and the third-party crates that each program links.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use support::program;

/// Each crate of the workspace, and the others that it may use.
const DEPENDENCIES: [(&str, &[&str]); 18] = [
    ("sys", &[]),
    ("error", &["sys"]),
    ("cgroup", &["error", "sys"]),
    ("command", &["error", "sys"]),
    ("wire", &["error", "sys"]),
    ("tree", &["error", "sys", "wire"]),
    ("hooks", &["error", "sys"]),
    ("world", &["command", "error", "sys"]),
    ("agent", &["command", "error", "sys", "tree", "wire"]),
    ("ownership", &["command", "error", "sys", "tree", "wire", "world"]),
    ("glexec", &["command", "error", "hooks", "ownership", "root", "sys", "tree", "wire", "world"]),
    ("glexec-sudo", &["command", "error", "sys"]),
    ("root", &["cgroup", "command", "error", "hooks", "sys", "tree", "wire", "world"]),
    ("accountd", &["cgroup", "command", "error", "ownership", "root", "sys", "wire", "world"]),
    ("accounts", &["command", "error", "root", "sys"]),
    ("verify", &["sys"]),
    ("envwrap", &["command", "error", "sys"]),
    (
        "glexec-helpers",
        &[
            "accountd",
            "accounts",
            "agent",
            "cgroup",
            "command",
            "envwrap",
            "error",
            "glexec",
            "glexec-sudo",
            "hooks",
            "sys",
            "tree",
            "wire",
            "world",
        ],
    ),
];

/// The third-party crates that the programs at a change of user may link.
const NEAR_PRIVILEGE: [&str; 5] = ["bitflags", "cfg-if", "fastrand", "libc", "nix"];

/// Those of the program that verifies credentials, without privilege.
const WITH_OPENSSL: [&str; 8] = [
    "bitflags",
    "cfg-if",
    "foreign-types",
    "foreign-types-shared",
    "libc",
    "nix",
    "openssl",
    "openssl-sys",
];

/// The third-party crates that each program may link.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("condor_glexec_agent", &NEAR_PRIVILEGE),
    ("condor_glexec_job_wrapper", &NEAR_PRIVILEGE),
    ("glexec", &NEAR_PRIVILEGE),
    ("glexec-sudo", &NEAR_PRIVILEGE),
    ("glexec_accounts", &NEAR_PRIVILEGE),
    ("glexecd", &NEAR_PRIVILEGE),
    ("glexec_verify", &WITH_OPENSSL),
];

/// The names in a section of a manifest. Each is at the beginning of its line.
fn section(manifest: &str, name: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let names = lines.take_while(|line| !line.starts_with('['));
    let names = names.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    names.map(|line| line.split(['.', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn each_crate_depends_on_the_listed_crates_and_on_no_other() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own: BTreeSet<&str> = DEPENDENCIES.iter().map(|(name, _)| *name).collect();
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(top.join("crates")).unwrap() {
        let folder = folder.unwrap();
        let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        found.insert(folder.file_name().into_string().unwrap(), section(&manifest, "dependencies"));
    }
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    found.insert("glexec-helpers".to_owned(), section(&manifest, "dependencies"));
    for (name, listed) in DEPENDENCIES {
        let found = found.remove(name).unwrap_or_else(|| panic!("there is no crate {name}"));
        let found: Vec<&str> =
            found.iter().map(String::as_str).filter(|other| own.contains(other)).collect();
        assert_eq!(found, listed, "{name}");
    }
    assert!(found.is_empty(), "not in the list: {found:?}");
}

/// The crates of a registry whose code is in a program. The compiler leaves the names of their
/// source files in a program that is not stripped.
fn linked(program: &Path) -> BTreeSet<String> {
    const BEFORE: &[u8] = b"/registry/src/";
    let content = fs::read(program).unwrap();
    let places = places_of(&content, BEFORE);
    let names = places.filter_map(|at| {
        let rest = &content[at + BEFORE.len()..];
        let path = rest.split(|byte| !byte.is_ascii_graphic()).next().unwrap();
        let folder = path.split(|byte| *byte == b'/').nth(1)?;
        let folder = std::str::from_utf8(folder).unwrap();
        folder.rsplit_once('-').map(|(name, _)| name.to_owned())
    });
    names.collect()
}

fn places_of<'a>(content: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    content
        .windows(word.len())
        .enumerate()
        .filter_map(move |(at, found)| (found == word).then_some(at))
}

#[test]
fn programs_at_a_change_of_user_link_only_the_listed_third_party_crates() {
    for (name, allowed) in PROGRAMS {
        let linked = linked(&program(name));
        let others: Vec<_> =
            linked.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(others.is_empty(), "{name} is linked from {others:?}");
        // The search itself must work: it must find nix.
        assert!(linked.contains("nix"), "{name}: {linked:?}");
    }
    let others = linked(&program("condor_glexec_setup"));
    assert!(others.contains("clap_builder"), "{others:?}");
}

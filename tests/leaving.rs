//! Links that leave the sandbox: whatever the agent sends, no such link comes back unless the
//! caller asks for it, and no link keeps the other files from coming back.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::attack::{Scene, ended, hostile_agent};
use support::handover::{CLEANUP, handed_over, mode, set_mode};
use support::{Account, Site, failed, own, succeeded, write};
use sys::{Name, Time};
use wire::{Attributes, Dropped, Frame, Totals};

const MODIFIED: Time = Time { seconds: 0, nanoseconds: 0 };
const ATTRIBUTES: Attributes = Attributes { mode: 0o755, modified: MODIFIED };
const UP: Frame<'_> = Frame::Up { attributes: ATTRIBUTES };

fn directory(name: &str) -> Frame<'_> {
    Frame::Directory { name: Name::new(name.as_bytes()).unwrap() }
}

fn link<'a>(name: &'a str, number: u32, target: &'a str) -> Frame<'a> {
    Frame::Symlink {
        name: Name::new(name.as_bytes()).unwrap(),
        number,
        modified: MODIFIED,
        target: target.as_bytes(),
    }
}

fn again(name: &str, number: u32) -> Frame<'_> {
    Frame::Link { name: Name::new(name.as_bytes()).unwrap(), number }
}

/// These records, and a correct end of the tree.
fn tree(records: &[Frame<'_>]) -> Vec<u8> {
    let mut totals = Totals::default();
    let mut bytes = Vec::new();
    for record in records {
        match record {
            Frame::Directory { .. } => totals.directories += 1,
            Frame::Symlink { .. } => totals.symlinks += 1,
            Frame::Link { .. } => totals.links += 1,
            _ => {}
        }
        record.encode(&mut bytes);
    }
    Frame::End { attributes: ATTRIBUTES, totals, dropped: Dropped::default() }.encode(&mut bytes);
    Frame::Done.encode(&mut bytes);
    bytes
}

/// All links below a directory, sorted.
fn links(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![top.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else if entry.file_type().unwrap().is_symlink() {
                found.push(entry.path().strip_prefix(top).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// What comes back when an agent sends this tree to a cleanup that drops links that leave.
fn come_back(site: &Site, bytes: &[u8]) -> PathBuf {
    let (sandbox, words) = (handed_over(site, "s"), site.path().join("words"));
    let mut all = bytes.to_vec();
    Frame::Failed { text: b"not today" }.encode(&mut all);
    write(&words, all, 0o644);
    let switcher = hostile_agent(site, "these bytes", Some(&words));
    let (output, _) = ended(site.call(CLEANUP, &switcher, &sandbox));
    failed(&output, 1, &["not today", "the data is complete at"]);
    site.clean_up(&sandbox);
    sandbox
}

#[test]
fn links_that_leave_are_not_made_though_the_agent_sends_them() {
    let site = Site::new();
    let sandbox = come_back(
        &site,
        &tree(&[
            link("absolute", 0, "/etc/passwd"),
            link("root", 0, "/"),
            link("climbing", 0, "../another"),
            link("climbing later", 0, "d/../../another"),
            link("here", 0, "."),
            // It seems to stay, but only by way of a directory.
            link("through here", 0, "here/../another"),
            link("through a directory", 0, "d/../input"),
            link("stays", 0, "d/file"),
            directory("d"),
            link("up", 0, "../input"),
            link("up and out", 0, "../../another"),
            link("to the top", 0, ".."),
            link("through the top", 0, "to the top/../another"),
            UP,
        ]),
    );
    assert_eq!(links(&sandbox), ["d/to the top", "d/up", "here", "stays", "through a directory"]);
}

#[test]
fn a_link_does_not_leave_by_getting_one_more_name_elsewhere() {
    let scene = Scene::new();
    for target in ["../input", "../d/../input"] {
        let records = [directory("d"), link("stays", 7, target), UP, again("leaves", 7)];
        scene.send(target, &tree(&records), "out of turn");
    }
    scene.end();
}

#[test]
fn of_links_that_only_the_kernel_can_judge_no_more_are_made_than_can_be_judged() {
    let site = Site::new();
    let names: Vec<String> = (0..20_000).map(|number| format!("l{number}")).collect();
    let mut records = vec![link("here", 0, "."), directory("d"), UP];
    records.extend(names.iter().enumerate().map(|(number, name)| {
        link(name, 0, if number % 2 == 0 { "here/../another" } else { "d/../input" })
    }));
    let sandbox = come_back(&site, &tree(&records));
    let links = links(&sandbox);
    assert!(links.len() > 1000 && links.len() <= 10_001, "{}", links.len());
    for name in links.iter().filter(|name| *name != "here") {
        assert_eq!(fs::read_link(sandbox.join(name)).unwrap(), Path::new("d/../input"), "{name}");
    }
}

#[test]
fn a_link_in_a_directory_that_its_owner_cannot_enter_does_not_keep_the_rest_from_coming_back() {
    for bits in [0, 0o300, 0o600, 0o105] {
        let site = Site::new();
        let sandbox = handed_over(&site, "s");
        fs::create_dir_all(sandbox.join("closed/deeper")).unwrap();
        for directory in ["closed", "closed/deeper"] {
            symlink("../below/../input", sandbox.join(directory).join("unsure")).unwrap();
        }
        own(&sandbox, Account::job());
        set_mode(sandbox.join("closed/deeper"), bits);
        set_mode(sandbox.join("closed"), bits);
        succeeded(&site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap());
        assert_eq!(mode(&sandbox.join("closed")) & 0o077, bits & 0o077, "{bits:o}");
        assert!(
            fs::read_link(sandbox.join("closed/unsure")).is_ok(),
            "it stays in the sandbox: {bits:o}"
        );
    }
}

#[test]
fn a_link_that_leaves_is_removed_from_a_directory_that_its_owner_cannot_enter() {
    let site = Site::new();
    for bits in [0, 0o300, 0o600, 0o105] {
        let attributes = Attributes { mode: bits, modified: MODIFIED };
        let records = [
            link("here", 0, "."),
            directory("closed"),
            link("unsure", 0, "../here/../another"),
            Frame::Up { attributes },
        ];
        let sandbox = come_back(&site, &tree(&records));
        assert_eq!(
            (links(&sandbox), mode(&sandbox.join("closed"))),
            (vec!["here".to_owned()], bits | 0o700),
            "{bits:o}"
        );
        fs::remove_dir_all(sandbox).unwrap();
    }
}

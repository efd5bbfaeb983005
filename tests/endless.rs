//! Endless trees and answers: the disk, a limit of the tree or the idle timeout ends them. The
//! helper's memory stays bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::process::Command;

use support::Site;
use support::attack::{IDLE, Scene};
use support::handover::CLEANUP;

/// A file system with so little room that endless data fills it soon.
struct Small(std::path::PathBuf);

impl Small {
    fn at(site: &Site) -> Small {
        let execute = site.execute();
        let options = "mode=1777,size=12m,nr_inodes=6000";
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&execute)
            .status();
        assert!(mounted.unwrap().success());
        Small(execute)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap().success());
    }
}

#[test]
fn an_endless_tree_fills_the_disk_and_everything_is_put_back() {
    let site = Site::new();
    let small = Small::at(&site);
    let scene = Scene::at(site);
    for (way, word) in [
        ("directories, deeper and deeper", "deeper than 4096"),
        ("directories, side by side", "ENOSPC"),
        ("files with a number", "ENOSPC"),
        ("names of one file", "ENOSPC"),
        ("data", "ENOSPC"),
        ("empty data", "out of turn"),
    ] {
        scene.attack(CLEANUP, way, None, word);
    }
    scene.end_on(small);
}

#[test]
fn endless_attributes_reach_a_limit() {
    let scene = Scene::new();
    // The file system's limit, or the project's.
    let line = scene.attack(CLEANUP, "attributes", None, "");
    assert!(["ENOSPC", "E2BIG", "out of turn"].iter().any(|word| line.contains(word)), "{line}");
    scene.attack(CLEANUP, "attributes that are set again", None, "out of turn");
    scene.end();
}

#[test]
fn endless_records_that_create_no_entry_take_no_memory() {
    let scene = Scene::new();
    for way in ["many links that were left behind", "many links that leave"] {
        scene.attack(CLEANUP, way, None, IDLE);
    }
    scene.end();
}

#[test]
fn links_that_only_the_kernel_can_resolve_take_bounded_memory() {
    let scene = Scene::new();
    scene.attack(CLEANUP, "many links that only the kernel can judge", None, "totals");
    scene.end();
}

#[test]
fn a_keep_alive_is_no_answer_but_the_helper_continues_to_wait() {
    let scene = Scene::new();
    // For longer than the idle timeout: only the wrong answer ends it.
    let mut call = scene.call(CLEANUP, "keep-alives", None);
    call.env(IDLE, "2");
    scene.fails_with(CLEANUP, "keep-alives", call, "out of turn");
    scene.attack(CLEANUP, "a frame byte by byte", None, IDLE);
    scene.end();
}

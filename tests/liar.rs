//! An agent that lies to the helpers: afterwards everything is as it was before, and a line says why.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::path::{Path, PathBuf};

use support::handover::{CLEANUP, SETUP, furnished, mode, set_mode, with_job};
use support::picture::picture;
use support::{Site, failed, program, retained};

/// A switcher that runs the liar as a user, in place of the command that it is given.
fn liar(site: &Site, user: &str, way: &str) -> PathBuf {
    let liar = program("examples").join("liar");
    assert!(liar.exists(), "the liar is not built: cargo build --example liar, or cargo test without --test");
    site.script("liar", &format!("exec /usr/bin/sudo -n -u {user} -- '{}' '{way}'", liar.display()))
}

/// What must be the same after a lie as before it.
fn all(site: &Site, sandbox: &Path) -> impl PartialEq + std::fmt::Debug + use<> {
    let kept = retained(sandbox);
    (site.entries(), picture(sandbox), kept.exists().then(|| picture(&kept)))
}

/// Calls a helper with a liar behind the switcher; returns its line.
fn lied_to(site: &Site, helper: &str, status: i32, sandbox: &Path, switcher: &Path) -> String {
    let before = all(site, sandbox);
    let mut call = site.call(helper, switcher, sandbox);
    let line = failed(&call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "1").output().unwrap(), status, &[]);
    assert_eq!(all(site, sandbox), before, "{line}");
    line
}

#[test]
fn an_agent_that_lies_changes_nothing() {
    let site = Site::new();
    let (fresh, used) = (furnished(&site, "fresh"), with_job(&site, "used"));
    for (way, word) in [
        ("another version", "version"),
        ("wrong totals", "totals"),
        ("the same name twice", "EEXIST"),
        ("a file where a directory was", "EEXIST"),
        ("up above the top", "out of turn"),
        ("a link to nothing", "ENOENT"),
        ("data without a file", "out of turn"),
        ("data beyond all sizes", "out of turn"),
        ("a size below what was sent", "EPROTO"),
        ("the name of the proxy", "EEXIST"),
        ("an end in the middle", "totals"),
        ("done at once", "out of turn"),
    ] {
        let switcher = liar(&site, "gh-job", way);
        let line = lied_to(&site, CLEANUP, 1, &used, &switcher);
        assert!(line.contains(word), "{way}: {line}");
    }
    let switcher = liar(&site, "gh-job", "wrong totals");
    lied_to(&site, SETUP, 2, &fresh, &switcher);
    site.clean_up(&used);
}

#[test]
fn an_agent_that_does_not_publish_gets_the_sandbox_put_back_with_its_mode() {
    let site = Site::new();
    let fresh = furnished(&site, "fresh");
    // With the sticky bit, which the sandbox must do without as long as it has the retained name.
    set_mode(&fresh, 0o1755);
    let line = lied_to(&site, SETUP, 2, &fresh, &liar(&site, "gh-job", "no publishing"));
    assert!(line.contains("not today"), "{line}");
    assert_eq!(mode(&fresh), 0o1755);
}

#[test]
fn an_agent_that_falls_silent_is_given_up() {
    let site = Site::new();
    let (fresh, used) = (furnished(&site, "fresh"), with_job(&site, "used"));
    let silent = liar(&site, "gh-job", "silence");
    for line in [lied_to(&site, SETUP, 2, &fresh, &silent), lied_to(&site, CLEANUP, 1, &used, &silent)] {
        assert!(line.contains("GLEXEC_HELPERS_IDLE_TIMEOUT"), "{line}");
    }
    let gone = liar(&site, "gh-job", "an end of the connection");
    lied_to(&site, SETUP, 2, &fresh, &gone);
    lied_to(&site, CLEANUP, 1, &used, &gone);
}

#[test]
fn an_agent_of_another_user_gets_nothing() {
    let site = Site::new();
    let used = with_job(&site, "used");
    let other = liar(&site, "gh-job2", "wrong totals");
    let line = lied_to(&site, CLEANUP, 1, &used, &other);
    assert!(line.contains("belongs to uid"), "{line}");
    let new = site.scratch().join("new");
    support::write(&new, "another", 0o600);
    support::Account::batch().owns(&new);
    let mut update = site.helper("condor_glexec_update_proxy");
    let output = update.arg(other).arg(&new).arg(support::PROXY).arg(&used).output().unwrap();
    failed(&output, 1, &["belongs to uid"]);
}

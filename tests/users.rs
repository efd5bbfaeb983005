//! Real accounts, the real switcher.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::picture::picture;
use support::starter::Starter;
use support::{Account, PROXY, Site, owner, program, retained};

#[test]
fn setup_gives_the_sandbox_to_the_job_user_and_keeps_only_the_proxy() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    assert_eq!(owner(&sandbox), Account::job());
    assert_eq!(owner(&retained(&sandbox)), Account::batch());
    assert_eq!(picture(&retained(&sandbox)).len(), 2);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn run_status() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    let mut run = site.helper("condor_glexec_run");
    run.arg(site.switcher()).arg(PROXY).arg(&sandbox).arg(program("condor_glexec_job_wrapper"));
    run.args(["-", "-", "-", "/bin/sh", "-c", "exit 7"]);
    let mut starter = Starter::start(run);
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"A=1", [&null, &null, &null]), b"");
    assert_eq!(starter.wait().code(), Some(7));
}

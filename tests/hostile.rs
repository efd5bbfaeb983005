//! What a hostile job or an unusual caller leaves: the files come back, or a line names the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use support::handover::update;
use support::snapshot::snapshot;
use support::{
    Account, PROXY, Site, failed, messages, own, owner, retained, succeeded, under, write,
};

const CLEANUP: &str = "condor_glexec_cleanup";

/// A sandbox that is set up.
fn handed_over(site: &Site) -> PathBuf {
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    sandbox
}

#[test]
fn a_file_with_as_many_names_as_it_can_have_comes_back() {
    let site = Site::new();
    let sandbox = handed_over(&site);
    let first = sandbox.join("0");
    write(&first, "one file", 0o644);
    let most = (1..)
        .find(|number| fs::hard_link(&first, sandbox.join(number.to_string())).is_err())
        .unwrap();
    assert!(most > 1000, "the file system allows {most} names only: nothing is tried");
    own(&sandbox, Account::job());
    site.clean_up(&sandbox);
    let back = fs::metadata(&first).unwrap();
    assert_eq!((back.nlink(), back.uid()), (most, Account::batch().uid));
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn what_others_put_into_the_jobs_directory_does_not_keep_its_files() {
    let site = Site::new();
    let sandbox = handed_over(&site);
    write(sandbox.join("result"), "result", 0o644);
    own(&sandbox, Account::job());
    write(sandbox.join("foreign"), "not the job's", 0o600);
    Account::other().owns(sandbox.join("foreign"));
    site.clean_up(&sandbox);
    assert_eq!(fs::read_to_string(sandbox.join("result")).unwrap(), "result");
    assert!(!sandbox.join("foreign").exists());
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn what_the_job_user_cannot_remove_is_named_and_keeps_nothing_from_coming_back() {
    let site = Site::new();
    let sandbox = handed_over(&site);
    write(sandbox.join("result"), "result", 0o644);
    own(&sandbox, Account::of(&sandbox));
    // A container's daemon makes directories that belong to root.
    fs::create_dir_all(sandbox.join("roots/deeper")).unwrap();
    let output = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
    let line = failed(&output, 0, &["the files are back", "roots"]);
    assert_eq!(fs::read_to_string(sandbox.join("result")).unwrap(), "result", "{line}");
    let left = site.entries();
    assert_eq!(left.len(), 2, "{left:?}");
    // Each cleanup reports it until it is removed.
    let again = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
    failed(&again, 0, &[&left[1].to_string_lossy(), "rm -rf"]);
    Account::of(&site.execute().join(&left[1])).owns(site.execute().join(&left[1]).join("roots"));
    succeeded(&site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap());
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn any_number_of_temporary_names_of_another_user_costs_a_helper_no_memory() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let names =
        format!("cd {} && seq -f 's.gh.%08.0f' 20000 | xargs touch", site.execute().display());
    let made = |names: &str| {
        Account::other().command("/bin/sh").args(["-c", names]).status().unwrap().success()
    };
    let peak = || {
        let mut memory = 0;
        for helper in ["condor_glexec_setup", CLEANUP] {
            let (output, peak) =
                support::attack::ended(site.call(helper, &site.switcher(), &sandbox));
            succeeded(&output);
            memory = memory.max(peak);
        }
        memory
    };
    let before = peak();
    assert!(made(&names), "{names}");
    let after = peak();
    assert!(after < before + 1024, "{before} KiB without them, {after} KiB with them");
    assert_eq!(fs::read_dir(site.execute()).unwrap().count(), 20_001);
}

#[test]
fn only_the_helpers_own_temporary_names_are_swept() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    // A sandbox can have such a name itself.
    let others = ["s.gh.b", "s.gh.0123456", "s.gh.0123456789", "s.gh.0123456G", "s.gh.ABCDEF01"]
        .map(|name| site.sandbox(name));
    site.set_up(&sandbox);
    site.clean_up(&sandbox);
    for other in others {
        assert_eq!(
            fs::read_to_string(other.join(PROXY)).unwrap(),
            "the proxy\n",
            "{}",
            other.display()
        );
    }
}

#[test]
fn a_limit_of_the_file_size_is_an_error_and_no_signal_ends_the_helper() {
    let site = Site::new().copying();
    let sandbox = handed_over(&site);
    fs::File::create(sandbox.join("large")).unwrap().set_len(1 << 30).unwrap();
    own(&sandbox, Account::job());
    let left = snapshot_without_content(&sandbox);
    let call = site.call(CLEANUP, &site.switcher(), &sandbox);
    let limited = under(&call, &["prlimit", "--fsize=1000000", "--"]).output().unwrap();
    failed(&limited, 1, &["copy", "large", "EFBIG"]);
    assert_eq!(snapshot_without_content(&sandbox), left);
    site.clean_up(&sandbox);
    assert_eq!(fs::metadata(sandbox.join("large")).unwrap().size(), 1 << 30);
}

#[test]
fn a_caller_that_can_start_no_process_gets_a_line_and_keeps_its_sandbox() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let before = snapshot(&sandbox);
    let call = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
    // This user may have no second process or thread: even the switcher does not start.
    let limited = under(&call, &["prlimit", "--nproc=1", "--"]).output().unwrap();
    failed(&limited, 2, &[&site.switcher().display().to_string(), "EAGAIN"]);
    assert_eq!(snapshot(&sandbox), before);
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn the_callers_umask_changes_nothing() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    fs::create_dir_all(sandbox.join("a/b")).unwrap();
    write(sandbox.join("a/b/file"), "content", 0o600);
    own(&sandbox, Account::batch());
    // The proxy that comes back is the retained one: a new file.
    let data = || {
        let mut all = snapshot(&sandbox);
        all.remove(Path::new(PROXY)).map(|proxy| (proxy.mode, all))
    };
    let before = data();
    for name in ["condor_glexec_setup", CLEANUP] {
        let call = site.call(name, &site.switcher(), &sandbox);
        succeeded(
            &under(&call, &["/bin/sh", "-c", "umask 777; exec \"$@\"", "sh"]).output().unwrap(),
        );
        assert_eq!(data(), before);
    }
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn a_job_cannot_change_what_has_come_back() {
    let site = Site::new();
    let sandbox = handed_over(&site);
    fs::create_dir(sandbox.join("open")).unwrap();
    own(&sandbox, Account::job());
    for open in [sandbox.clone(), sandbox.join("open")] {
        fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
    }
    site.clean_up(&sandbox);
    for place in [sandbox.clone(), sandbox.join("open")] {
        let injected =
            Account::job().command("/usr/bin/touch").arg(place.join("injected")).output().unwrap();
        assert!(
            !injected.status.success() && !place.join("injected").exists(),
            "{}",
            place.display()
        );
    }
}

#[test]
fn an_empty_condor_is_not_taken_for_a_retained_proxy() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    own(&sandbox, Account::job());
    fs::create_dir(retained(&sandbox)).unwrap();
    Account::batch().owns(retained(&sandbox));
    let call = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
    failed(&call, 1, &["s.condor/x509_proxy"]);
    assert_eq!(
        (owner(&sandbox), fs::metadata(retained(&sandbox)).unwrap().mode() & 0o7777),
        (Account::job(), 0o755)
    );
}

#[test]
fn a_caller_that_ignores_its_children_changes_nothing() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let call = site.call("condor_glexec_setup", &site.script("refuses", "exit 203"), &sandbox);
    let output = under(&call, &["/usr/bin/env", "--ignore-signal=CHLD"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", messages(&output));
    let call = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
    succeeded(&under(&call, &["/usr/bin/env", "--ignore-signal=CHLD"]).output().unwrap());
}

#[test]
fn a_switcher_that_writes_much_does_not_block() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let real = site.switcher().display().to_string();
    let body = format!("yes 'blah blah' | head -c 300000 >&2 2>/dev/null; exec {real} \"$@\"");
    succeeded(
        &site.call("condor_glexec_setup", &site.script("talks", &body), &sandbox).output().unwrap(),
    );
}

#[test]
fn an_idle_timeout_of_0_is_no_limit() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let slow =
        site.script("slow", &format!("sleep 0.3; exec {} \"$@\"", site.switcher().display()));
    let refuses = site.script("refuses", "sleep 0.3; exit 203");
    let mut call = site.call("condor_glexec_setup", &refuses, &sandbox);
    assert_eq!(
        call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "0").output().unwrap().status.code(),
        Some(3)
    );
    succeeded(
        &site
            .call("condor_glexec_setup", &slow, &sandbox)
            .env("GLEXEC_HELPERS_IDLE_TIMEOUT", "0")
            .output()
            .unwrap(),
    );
}

#[test]
fn update_proxy_replaces_the_jobs_copy_before_the_retained_one() {
    let site = Site::new();
    let sandbox = handed_over(&site);
    let new = site.scratch().join("new");
    write(&new, "another proxy", 0o600);
    Account::batch().owns(&new);
    // When the real switcher has ended, the job's copy is new and the retained one is old.
    let seen = site.scratch().join("seen");
    let body = format!(
        "{} \"$@\"; status=$?; cat \"$GLEXEC_CLIENT_CERT\" >{}; exit $status",
        site.switcher().display(),
        seen.display()
    );
    succeeded(&update(&site, &site.script("looks", &body), &new, &sandbox).output().unwrap());
    assert_eq!(fs::read_to_string(sandbox.join(PROXY)).unwrap(), "another proxy");
    assert_eq!(fs::read_to_string(retained(&sandbox).join(PROXY)).unwrap(), "another proxy");
    assert_eq!(fs::read_to_string(seen).unwrap(), "the proxy\n");
}

#[test]
fn a_new_proxy_that_is_the_one_to_be_replaced_is_left_alone() {
    let site = Site::new();
    let sandbox = handed_over(&site);
    let own = retained(&sandbox).join(PROXY);
    failed(
        &update(&site, &site.switcher(), &own, &sandbox).output().unwrap(),
        1,
        &["the same file as the one to be replaced"],
    );
    assert_eq!(fs::read_to_string(own).unwrap(), "the proxy\n");
}

/// Sizes instead of contents, because files are large.
fn snapshot_without_content(sandbox: &Path) -> Vec<(PathBuf, u64, u32)> {
    let entries = fs::read_dir(sandbox).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries.map(|entry| (entry.path(), entry.metadata().unwrap())).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all.into_iter().map(|(path, found)| (path, found.size(), found.uid())).collect()
}

#[test]
fn with_few_descriptors_a_helper_or_pilot_works_or_changes_nothing() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    fs::create_dir(sandbox.join("directory")).unwrap();
    write(sandbox.join("directory/file"), "content", 0o644);
    own(&sandbox, Account::batch());
    let limited = |call: &std::process::Command, limit: &str| {
        under(call, &["prlimit", &format!("--nofile={limit}")])
    };
    for limit in ["5:5", "6:6", "12:12", "31:31"] {
        let before = snapshot(&sandbox);
        let setup = limited(&site.call("condor_glexec_setup", &site.switcher(), &sandbox), limit)
            .output()
            .unwrap();
        failed(&setup, 1, &["limit of open files", "ulimit"]);
        let mut run = site.helper("condor_glexec_pilot");
        run.args(["run", "--world", "shared", "--glexec"])
            .arg(site.switcher())
            .arg("--execute")
            .arg(site.execute())
            .args(["--", "/bin/true"]);
        failed(&limited(&run, limit).output().unwrap(), 240, &["limit of open files", "ulimit"]);
        assert_eq!((snapshot(&sandbox), site.entries().len()), (before, 1), "{limit}");
    }
    // A tree deeper than the limit of descriptors; and a soft limit below the hard one.
    let deep: PathBuf = (0..400).map(|_| "d").collect();
    fs::create_dir_all(sandbox.join(&deep)).unwrap();
    own(&sandbox, Account::batch());
    for limit in ["64:64", "32:1024"] {
        for helper in ["condor_glexec_setup", CLEANUP] {
            succeeded(
                &limited(&site.call(helper, &site.switcher(), &sandbox), limit).output().unwrap(),
            );
        }
        assert!(sandbox.join(&deep).exists());
        assert_eq!(site.entries(), ["s"], "{limit}");
    }
    let mut run = site.helper("condor_glexec_pilot");
    run.args(["run", "--world", "shared", "--glexec"])
        .arg(site.switcher())
        .arg("--execute")
        .arg(site.execute());
    run.args(["--", "sh", "-c", "ulimit -Sn"]);
    let output = limited(&run, "40:1024").output().unwrap();
    succeeded(&output);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "40\n",
        "the payload has the caller's limit"
    );
}

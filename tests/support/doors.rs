//! What both doors of root's do alike: the `glexec` that is set-user-ID root, and the account
//! daemon with its client. A machine of either is a [`Setuid`].

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::glexec::STATUSES;
use super::setuid::{LIBEXEC, Setuid};
use super::{Account, PROXY, messages, own, retained, succeeded, write};

/// A tree of the batch user's.
pub fn tree(machine: &Setuid, name: &str) -> PathBuf {
    let top = machine.site.execute().join(name);
    fs::create_dir_all(top.join("below/further")).unwrap();
    write(top.join("file"), "content", 0o644);
    write(top.join("below/program"), "#!/bin/sh\n", 0o755);
    symlink("file", top.join("link")).unwrap();
    own(&top, Account::batch());
    top
}

/// A change of owner.
pub fn change(machine: &Setuid, option: &str, top: &Path) -> Command {
    let mut call = machine.glexec();
    call.arg(option).arg(top);
    call
}

pub fn output(machine: &Setuid, option: &str, top: &Path) -> Output {
    change(machine, option, top).output().unwrap()
}

/// Owner, group, mode and inode of each entry.
pub fn entries(top: &Path) -> Vec<(PathBuf, u32, u32, u32, u64)> {
    let mut all = vec![top.to_owned()];
    let mut next = 0;
    while next < all.len() {
        let path = all[next].clone();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            all.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        next += 1;
    }
    all.sort();
    let facts = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).unwrap();
        (path, found.uid(), found.gid(), found.mode(), found.ino())
    };
    all.into_iter().map(facts).collect()
}

pub fn all_belong_to(top: &Path, account: Account) -> bool {
    entries(top).iter().all(|(_, uid, gid, ..)| (*uid, *gid) == (account.uid, account.gid))
}

/// The exit status is the payload's, or tells by which signal it ended.
pub fn statuses_are_the_payloads(machine: &Setuid) {
    for (script, status) in STATUSES {
        let output = machine.runs(script);
        let found = (output.status.code(), messages(&output));
        assert_eq!(found, (Some(status), String::new()), "{script}");
    }
}

/// `GLEXEC_EXACT_STATUS` makes a call end as the payload does.
pub fn a_call_ends_as_its_payload(machine: &Setuid) {
    let ended = |script: &str| {
        let mut call = machine.glexec();
        call.env("GLEXEC_EXACT_STATUS", "1").args(["/bin/sh", "-c", script]);
        call.output().unwrap().status
    };
    assert_eq!(ended("exit 203").code(), Some(203));
    assert_eq!(ended("kill -TERM $$").signal(), Some(15));
}

/// The payload has the ids of an account and no capability.
pub fn payloads_run_as(machine: &Setuid, Account { uid, gid }: Account) {
    let ids = machine.says("grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb))' /proc/self/status");
    let expected = format!(
        "Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t \n\
         CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapAmb:\t0000000000000000"
    );
    assert_eq!(ids, expected);
}

/// A tree is given to an account and taken back, without a copy.
pub fn a_tree_is_given_and_taken_back(machine: &Setuid, account: Account) {
    let top = tree(machine, "tree");
    let before = entries(&top);
    let given = output(machine, "--give", &top);
    succeeded(&given);
    let report = String::from_utf8(given.stdout).unwrap();
    assert!(report.contains("\"operation\":\"give\"") && report.lines().count() == 1, "{report}");
    assert!(all_belong_to(&top, account));
    let seen = machine.says(&format!("cat {0}/file; ls -l {0} >/dev/null && echo", top.display()));
    assert_eq!(seen, "content");
    succeeded(&output(machine, "--take", &top));
    assert_eq!(entries(&top), before);
}

/// Links of a job's to files that only root or the caller can read, and files that look like what a
/// take removes, give it none of them.
pub fn a_hostile_job_gets_no_file(machine: &Setuid) {
    let top = tree(machine, "tree");
    succeeded(&output(machine, "--give", &top));
    let secret = machine.site.scratch().join("secret");
    write(&secret, "secret", 0o600);
    Account::batch().owns(&secret);
    let script = format!(
        "cd {}; ln -s /etc/shadow shadow; ln -s {} mine; ln -s /etc/passwd passwd; mkfifo fifo
         chmod 6755 below/program; mkdir -m 0 closed",
        top.display(),
        secret.display()
    );
    machine.says(&script);
    succeeded(&output(machine, "--take", &top));
    assert!(all_belong_to(&top, Account::batch()));
    for name in ["shadow", "mine", "fifo"] {
        assert!(fs::symlink_metadata(top.join(name)).is_err(), "{name}");
    }
    assert!(fs::symlink_metadata(top.join("passwd")).unwrap().is_file());
    assert_eq!(fs::metadata(top.join("below/program")).unwrap().mode() & 0o7000, 0);
    assert_eq!(Account::of(Path::new("/etc/shadow")).uid, 0);
}

/// The helpers hand a sandbox over to an account and back, without a copy.
pub fn helpers_change_the_owner(machine: &Setuid, account: Account) {
    let sandbox = machine.site.sandbox("sandbox");
    write(sandbox.join("input"), "input", 0o644);
    own(&sandbox, Account::batch());
    let inode = fs::metadata(sandbox.join("input")).unwrap().ino();
    let helper = |name: &str| {
        let mut command = machine.command(Account::batch(), Path::new(LIBEXEC).join(name));
        command.arg(Path::new(LIBEXEC).join("glexec")).arg(PROXY).arg(&sandbox);
        succeeded(&command.args(["0", "0"]).output().unwrap());
    };
    helper("condor_glexec_setup");
    let input = fs::metadata(sandbox.join("input")).unwrap();
    assert_eq!((input.uid(), input.ino()), (account.uid, inode));
    assert!(retained(&sandbox).join(PROXY).exists());
    helper("condor_glexec_cleanup");
    let input = fs::metadata(sandbox.join("input")).unwrap();
    assert_eq!((input.uid(), input.ino()), (Account::batch().uid, inode));
}

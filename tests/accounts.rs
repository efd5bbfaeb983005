//! `glexec_accounts`: what an administrator does about accounts on lease, beside a daemon that
//! runs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use support::daemon::{AUDIT, Daemon};
use support::setuid::LIBEXEC;
use support::{Account, failed, messages, wait_until};

const LIST: &str = "/etc/glexec/accounts";

trait Administrator {
    fn called(&self, name: &str, words: &[&str]) -> Output;

    fn tries(&self, words: &[&str]) -> Output {
        self.called("glexec_accounts", words)
    }

    /// What a command prints that succeeds and warns of nothing.
    fn does(&self, words: &[&str]) -> String {
        let output = self.tries(words);
        assert!(output.status.success(), "{words:?}: {}", messages(&output));
        assert_eq!(messages(&output), "", "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The message of a command that is refused.
    fn is_refused(&self, words: &[&str]) -> String {
        let output = self.tries(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", messages(&output));
        assert_eq!(output.stdout, b"", "{words:?}");
        messages(&output)
    }
}

impl Administrator for Daemon {
    fn called(&self, name: &str, words: &[&str]) -> Output {
        let mut command = self.root(Path::new(LIBEXEC).join(name));
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
    }
}

/// A payload that runs until its standard input ends, and has said its account.
fn begun(daemon: &Daemon, credential: &str) -> (Child, String) {
    let marker = daemon.machine.site.scratch().join(format!("{credential}.runs"));
    fs::write(&marker, "").unwrap();
    fs::set_permissions(&marker, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let script = format!("id -un >{}; cat", marker.display());
    let mut command = daemon.script(&daemon.credential(credential), &script);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let account = || fs::read_to_string(&marker).unwrap().trim_end().to_owned();
    wait_until("the payload runs", || !account().is_empty());
    let account = account();
    (child, account)
}

/// The value of a member of an object of JSON.
fn member<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{line}"));
    let rest = rest.trim_start_matches('"');
    &rest[..rest.find(['"', ',', '}', ']']).unwrap()]
}

/// The line of an account in `list --json`.
fn state(daemon: &Daemon, account: &str) -> String {
    let text = daemon.does(&["list", "--json"]);
    let start = format!("{{\"account\":\"{account}\"");
    let line = text.lines().find(|line| line.trim_start_matches('[').starts_with(&start));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_pool_is_made_and_listed_once_and_takes_no_account_of_a_person() {
    let daemon = Daemon::new();
    let pool = ["add", "--pool", "gh-guest", "--count", "3"];
    assert_eq!(daemon.does(&pool), "3 guest accounts gh-guest: 3 made, 3 added to the list\n");
    assert_eq!(daemon.does(&pool), "3 guest accounts gh-guest: 0 made, 0 added to the list\n");
    let passwd = fs::read_to_string(daemon.machine.path("/etc/passwd")).unwrap();
    let made: Vec<&str> = passwd.lines().filter(|line| line.starts_with("gh-guest")).collect();
    assert_eq!(made.len(), 3);
    assert!(made.iter().all(|line| line.contains(":/nonexistent:") && line.ends_with("nologin")));
    let shadow = fs::read_to_string(daemon.machine.path("/etc/shadow")).unwrap();
    let locked = |line: &&str| line.starts_with("gh-guest") && line.contains(":!");
    assert_eq!(shadow.lines().filter(locked).count(), 3, "no password");
    let subordinate = fs::read_to_string(daemon.machine.path("/etc/subuid")).unwrap();
    assert!(!subordinate.contains("gh-guest"), "{subordinate}");
    // An account of a person's that has such a name.
    let person = "gh-user02:x:71000:71000::/home/gh-user02:/bin/bash\n";
    daemon.machine.write("/etc/passwd", passwd + person);
    let before = fs::read(daemon.machine.path(LIST)).unwrap();
    let why = daemon.is_refused(&["add", "--pool", "gh-user", "--count", "3"]);
    assert!(why.contains("gh-user02 exists and has a home or a shell"), "{why}");
    assert_eq!(fs::read(daemon.machine.path(LIST)).unwrap(), before);
}

#[test]
fn accounts_are_added_for_a_daemon_that_runs_and_those_that_cannot_be_used_are_refused() {
    let daemon = Daemon::with("", "");
    let output = daemon.runs("true");
    failed(&output, 203, &["there is no guest account"]);
    assert_eq!(
        daemon.does(&["add", "--create", "gh-new"]),
        "made; gh-new is a guest account now\n"
    );
    assert_eq!(daemon.says("id -un"), "gh-new");
    daemon.does(&["release", "gh-new"]);
    // The same with an owner: the calling account.
    assert!(daemon.is_refused(&["add", "gh-new", "gh-batch"]).contains("remove it first"));
    daemon.does(&["remove", "gh-new"]);
    let said = daemon.does(&["add", "gh-new", "gh-batch"]);
    assert_eq!(said, "gh-new is the account of gh-batch now\n");
    assert_eq!(daemon.says("id -un"), "gh-new");
    assert_eq!(member(&state(&daemon, "gh-new"), "owner"), "gh-batch");
    let before = fs::read(daemon.machine.path(LIST)).unwrap();
    for (words, why) in [
        (&["add", "root"][..], "it is root"),
        (&["add", "nobody"], "that of nobody"),
        (&["add", "gh-none"], "there is no such account"),
        (&["add", "a b"], "is not the name of an account"),
        (&["add", "gh-job", "/"], "is no subject"),
        (&["add", "gh-job", "a b"], "is not the name of an account"),
        (&["add"], "usage:"),
        (&["add", "--pool", "x"], "given together"),
        (&["add", "--pool", "x", "--count", "0"], "a number from 1 to 10000"),
    ] {
        let said = daemon.is_refused(words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert_eq!(fs::read(daemon.machine.path(LIST)).unwrap(), before);
    let found = fs::metadata(daemon.machine.path(LIST)).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o600));
}

#[test]
fn an_account_with_a_lease_is_not_removed_unless_it_is_released() {
    let daemon = Daemon::with_guests(2, "");
    let (child, account) = begun(&daemon, "removed");
    let line = state(&daemon, &account);
    assert_eq!((member(&line, "state"), member(&line, "client_name")), ("leased", "gh-batch"));
    assert_eq!(member(&line, "payloads"), "1", "{line}");
    let before = fs::read(daemon.machine.path(LIST)).unwrap();
    assert!(daemon.is_refused(&["remove", &account]).contains("has a lease"));
    assert_eq!(fs::read(daemon.machine.path(LIST)).unwrap(), before);
    let said = daemon.does(&["remove", "--release", &account]);
    assert!(said.ends_with("1 leases, 1 payloads ended\n"), "{said}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(137), "{}", messages(&output));
    let left = daemon.does(&["list"]);
    assert!(!left.contains(&account), "{left}");
    assert!(daemon.is_refused(&["remove", &account]).contains("is not in"));
}

#[test]
fn release_ends_the_payloads_of_the_named_accounts_alone() {
    let daemon = Daemon::with_guests(3, "");
    let [(first, one), (second, two), (third, three)] =
        ["a", "b", "c"].map(|name| begun(&daemon, name));
    assert_eq!(BTreeSet::from([&one, &two, &three]).len(), 3);
    let said = daemon.does(&["release", &two]);
    assert_eq!(said, format!("{two}: 1 leases, 1 payloads ended\n"));
    let status = |child: Child| child.wait_with_output().unwrap().status.code();
    assert_eq!(status(second), Some(137));
    assert_eq!(member(&state(&daemon, &two), "state"), "free");
    assert_eq!(member(&state(&daemon, &one), "state"), "leased");
    // The input of the other two ends.
    assert_eq!((status(first), status(third)), (Some(0), Some(0)));
    daemon.does(&["release", "--all"]);
    for account in [&one, &three] {
        assert_eq!(member(&state(&daemon, account), "state"), "free");
    }
}

#[test]
fn an_account_that_root_leases_is_given_to_no_client_until_it_is_released() {
    let daemon = Daemon::with_guests(2, "");
    let said = daemon.does(&["lease", "guest01"]);
    assert!(said.starts_with("guest01 is leased to root until "), "{said}");
    assert_eq!(member(&state(&daemon, "guest01"), "client_name"), "root");
    assert!(daemon.is_refused(&["lease", "guest01"]).contains("is not free"));
    assert_eq!(daemon.says("id -un"), "guest02");
    assert!(daemon.is_refused(&["lease", "guest02"]).contains("is not free"));
    let other = daemon.credential("other");
    failed(&daemon.script(&other, "true").output().unwrap(), 202, &["no guest account is free"]);
    daemon.does(&["release", "guest01"]);
    assert_eq!(daemon.script(&other, "true").output().unwrap().status.code(), Some(0));
    let past = ["lease", "--until", "2026-01-01 00:00", "guest01"];
    assert!(daemon.is_refused(&past).contains("is not in the future"));
    let output = daemon.tries(&["history", "--since", "@0", "--account", "guest01", "--json"]);
    let history = String::from_utf8(output.stdout).unwrap();
    assert!(history.contains("\"client_name\":\"root\""), "{history}");
}

#[test]
fn drain_lets_no_new_lease_begin_and_those_that_there_are_go_on() {
    let daemon = Daemon::with_guests(2, "");
    let (old, new) = (daemon.credential("old"), daemon.credential("new"));
    let runs = |credential: &Path| daemon.script(credential, "true").output().unwrap();
    assert_eq!(runs(&old).status.code(), Some(0));
    assert_eq!(daemon.does(&["drain"]), "no new lease begins; 1 leases are left\n");
    assert_eq!(runs(&old).status.code(), Some(0));
    failed(&runs(&new), 202, &["no new lease begins", "glexec_accounts undrain"]);
    daemon.does(&["undrain"]);
    assert_eq!(runs(&new).status.code(), Some(0));
}

#[test]
fn allow_and_deny_change_who_is_served() {
    let daemon = Daemon::new();
    let clients = daemon.machine.path("/etc/glexec/clients");
    assert_eq!(daemon.does(&["deny", "gh-batch"]), "1 users cannot ask for accounts any more\n");
    assert_eq!(daemon.runs("true").status.code(), Some(203));
    assert!(daemon.does(&["allow", "gh-batch"]).starts_with("gh-batch can ask for accounts"));
    assert_eq!(daemon.runs("true").status.code(), Some(0));
    let group = fs::read_to_string(daemon.machine.path("/etc/group")).unwrap();
    let line = group.lines().find(|line| line.starts_with("glexec:")).unwrap();
    assert!(line.split([':', ',']).any(|name| name == "gh-batch"), "{line}");
    let before = fs::read(&clients).unwrap();
    assert!(daemon.is_refused(&["allow", "gh-none"]).contains("there is no account"));
    assert_eq!(fs::read(&clients).unwrap(), before);
}

#[test]
fn history_tells_who_had_an_account_at_a_time() {
    let daemon = Daemon::with_guests(1, "");
    let uid = daemon.guest(1).uid.to_string();
    let before = seconds();
    let (child, account) = begun(&daemon, "historic");
    // The line is written when the payload runs already.
    let audit = daemon.machine.path(AUDIT);
    wait_until("the audit has the payload", || {
        fs::read_to_string(&audit).is_ok_and(|text| text.contains("payload_started"))
    });
    let now = seconds();
    let during = format!("@{now:.3}");
    wait_until("a later millisecond", || seconds() > now + 0.002);
    drop(child.wait_with_output());
    daemon.does(&["release", &account]);
    let released = seconds();
    wait_until("a later millisecond", || seconds() > released + 0.001);
    let after = format!("@{:.3}", seconds());
    let at = |words: &[&str], time: &str| {
        daemon.does(&[&["history", "--json", "--at", time][..], words].concat())
    };
    let line = at(&["--uid", &uid], &during);
    assert_eq!(member(&line, "account"), account);
    assert_eq!(member(&line, "client_name"), "gh-batch");
    assert!(member(&line, "identity").ends_with("/historic"), "{line}");
    assert_eq!(member(&line, "reason"), "admin");
    assert!(line.contains("\"end\":\"exited 0\""), "{line}");
    assert_eq!(at(&["--account", &account], &during), line);
    assert_eq!(at(&["--uid", &uid], &after), "[]\n");
    assert_eq!(at(&["--uid", "4711"], &during), "[]\n");
    let why =
        daemon.is_refused(&["history", "--uid", &uid, "--at", &format!("@{}", before - 99.0)]);
    assert!(why.contains("the audit begins at"), "{why}");
    // A rotation: the older file is read, too, and standard input.
    fs::rename(&audit, audit.with_extension("jsonl.1")).unwrap();
    daemon.does(&["drain"]);
    assert_eq!(at(&["--uid", &uid], &during), line);
    fs::rename(audit.with_extension("jsonl.1"), audit.with_extension("other")).unwrap();
    let path = format!("{}", Path::new(AUDIT).with_extension("other").display());
    assert_eq!(at(&["--uid", &uid, "--file", &path], &during), line);
    let mut from_input = daemon.root(Path::new(LIBEXEC).join("glexec_accounts"));
    from_input.args(["history", "--json", "--uid", &uid, "--at", &during, "--file", "-"]);
    from_input.stdin(fs::File::open(audit.with_extension("other")).unwrap());
    assert_eq!(from_input.output().unwrap().stdout, line.into_bytes());
    for wrong in ["yesterday", "2026-11-31 00:00", "@x"] {
        assert!(daemon.is_refused(&["history", "--at", wrong]).contains("is no time"));
    }
}

#[test]
fn a_command_of_a_payload_cannot_bring_a_line_into_the_audit() {
    let daemon = Daemon::new();
    let hostile =
        "true; : '\n{\"time\":\"2026-01-01T00:00:00.000Z\",\"event\":\"lease_begun\"}\u{1b}[2J'";
    assert!(daemon.runs(hostile).status.success());
    let text = fs::read_to_string(daemon.machine.path(AUDIT)).unwrap();
    assert!(text.contains("payload_started"));
    for line in text.lines() {
        let is_whole = line.starts_with("{\"time\":\"") && line.ends_with('}');
        assert!(is_whole && !line.starts_with("{\"time\":\"2026-01-01"), "{line}");
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
    }
}

#[test]
fn only_root_changes_anything() {
    let daemon = Daemon::new();
    for words in [&["list"][..], &["add", "gh-job"], &["release", "--all"], &["drain"]] {
        let program = Path::new(LIBEXEC).join("glexec_accounts");
        let mut command = daemon.machine.command(Account::batch(), program);
        failed(&command.args(words).output().unwrap(), 1, &["it must run as root"]);
    }
}

#[test]
fn legions_commands_have_its_names_and_usage() {
    let daemon = Daemon::with_guests(2, "");
    daemon.does(&["remove", "guest01"]);
    for name in ["add_host_account", "remove_host_account", "list_host_accounts"] {
        let link = daemon.machine.path(LIBEXEC).join(format!("legion_{name}"));
        symlink("glexec_accounts", link).unwrap();
    }
    let said = |name: &str, words: &[&str]| {
        let output = daemon.called(&format!("legion_{name}"), words);
        assert!(output.status.success(), "{name}: {}", messages(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = format!("/hosts/{}", host.trim_end());
    said("add_host_account", &["-c", &host, "guest01", "-c", "/CN=John"]);
    let listed = said("list_host_accounts", &[]);
    let lines: BTreeSet<String> =
        listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = ["guest01 free owner /CN=John", "guest02 free guest"].map(str::to_owned);
    assert_eq!(lines, BTreeSet::from(expected));
    said("remove_host_account", &["guest01"]);
    let other = daemon.called("legion_add_host_account", &["-c", "/hosts/other", "guest01"]);
    failed(&other, 1, &["/hosts/other is not this machine"]);
}

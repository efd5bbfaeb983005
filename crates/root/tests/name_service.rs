//! Accounts that /etc/passwd does not have. A script is in the place of getent(1). Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::process::Command;

use support::{Asker, CONFIG, GRID_MAPFILE, GRIDMAPDIR, on_machine, set_mode, write};

/// Answers only if it runs as nobody, with no other group and an empty environment.
const CHECKS: &str = r#"#!/bin/sh
[ "$(id -u) $(id -ru) $(id -G)" = "65534 65534 65534" ] || exit 1
[ "$(tr '\0' '\n' </proc/$$/environ | wc -l)" = 0 ] || exit 1
"#;

const ACCOUNTS: &str = r#"
case "$*" in
'passwd ldap') echo ldap:x:6000:6000::/home/ldap:/bin/zsh ;;
'passwd ldap7') echo ldap7:x:6007:6007::/home/ldap7:/bin/zsh ;;
'initgroups '*) echo "$2                 6001 6000 6002" ;;
'passwd minus') echo minus:x:4294967295:6000::/: ;;
'passwd nobody2') echo nobody2:x:65534:6000::/: ;;
*) exit 2 ;;
esac
"#;

fn play_getent(script: &str) {
    write("/etc/getent", script);
    set_mode("/etc/getent", 0o755);
    let mount = Command::new("mount").args(["--bind", "/etc/getent", "/usr/bin/getent"]).status();
    assert!(mount.unwrap().success());
    write(CONFIG, "");
    write(
        GRID_MAPFILE,
        "/CN=l ldap\n/CN=p .ldap\n/CN=m minus\n/CN=n nobody2\n/CN=x none\n/CN=a alice\n",
    );
}

/// The answers to a process with the caller's real user id and groups, as of a set-user-ID program.
fn ask(subject: &str) -> Result<String, (u8, String)> {
    let start = ["setpriv", "--ruid", "2000", "--groups", "0,2000,5000"];
    Asker::started_by(&start).ask(&["subject", "", subject])
}

#[test]
fn the_name_service_is_asked_as_nobody_for_accounts_and_their_groups() {
    on_machine("the_name_service_is_asked_as_nobody_for_accounts_and_their_groups", || {
        play_getent(&[CHECKS, ACCOUNTS].concat());
        assert_eq!(ask("/CN=l").as_deref(), Ok("ldap 6001 6002"));
        for unusable in ["/CN=m", "/CN=n", "/CN=x"] {
            assert_eq!(ask(unusable).unwrap_err().0, 203, "{unusable}");
        }
        for name in ["ldap1", "ldap7"] {
            write(&format!("{GRIDMAPDIR}/{name}"), "");
        }
        assert_eq!(ask("/CN=p").as_deref(), Ok("ldap7 6000 6001 6002"), "ldap1 is no account");
    });
}

#[test]
fn a_name_service_that_does_not_answer_is_a_refusal_and_no_guess() {
    on_machine("a_name_service_that_does_not_answer_is_a_refusal_and_no_guess", || {
        play_getent("#!/bin/sh\nexec sleep 1000\n");
        let (status, why) = ask("/CN=l").unwrap_err();
        assert_eq!(status, 202);
        assert!(why.contains("no answer within 10 seconds"), "{why}");
        assert_eq!(ask("/CN=a").as_deref(), Ok("alice 5000"), "it is in /etc/passwd");
        play_getent("#!/bin/sh\nexec yes ldap:x:6000\n");
        assert_eq!(ask("/CN=l").unwrap_err().0, 202, "an answer without an end");
    });
}

#[test]
fn groups_that_the_name_service_does_not_tell_are_a_refusal() {
    on_machine("groups_that_the_name_service_does_not_tell_are_a_refusal", || {
        let script = "[ $1 = passwd ] && echo ldap:x:6000:6000::/: || exit 2\n";
        play_getent(&format!("#!/bin/sh\n{script}"));
        let (status, why) = ask("/CN=l").unwrap_err();
        assert!(status == 202 && why.contains("which groups ldap has"), "{why}");
    });
}

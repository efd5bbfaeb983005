//! Session scripts: which ones run, and in which order. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::{chown, symlink};

use support::sessions::Scripts;
use support::{is_alive, pid_in, set_mode, wait_for};

#[test]
fn scripts_that_are_waited_for_run_in_the_order_of_their_names_across_directories() {
    let mut scripts = Scripts::new();
    let other = Scripts::new();
    scripts.put_logging(&["added/20W-b", "added/9W-d", "removed/10W-r"]);
    let log = scripts.site.path("log");
    for name in ["added/10W-a", "added/30W-c", "added/20W-b"] {
        other.put(name, &format!("echo other {name} $1 >>{}", log.display()));
    }
    // An earlier directory hides a name, and a link to the null device masks it.
    symlink("/dev/null", scripts.site.path("added/30W-c")).unwrap();
    scripts.directories = format!("{}:{}", scripts.directories, other.directories);
    let printed = scripts.run();
    assert_eq!(printed, ["OLD=1", "begun"]);
    let expected = [
        "other added/10W-a session_added",
        "added/20W-b session_added",
        "added/9W-d session_added",
        "removed/10W-r session_removed",
    ];
    assert_eq!(scripts.log(), expected);
    scripts.wait_until_unregistered();
}

#[test]
fn a_detached_script_is_not_waited_for_and_the_others_are_one_list_in_the_background() {
    let scripts = Scripts::new();
    // Each waits for a later one: it could not end if that were not started meanwhile.
    let wait = "while [ ! -e $top/go ]; do sleep 0.01; done";
    scripts.put("added/10D-d", &format!("{wait}; echo D >>$top/log; echo $$ >$top/d; sleep 1000"));
    scripts.put("added/20-first", &format!("{wait}; echo first >>$top/log"));
    scripts.put("added/30W-w", "echo W >>$top/log");
    scripts.put("added/40-second", "echo second >>$top/log; echo $$ >$top/second; sleep 1000");
    scripts.put("added/50-third", "echo third >>$top/log");
    let running = scripts.start();
    assert_eq!(scripts.log(), ["W"]);
    fs::write(scripts.site.path("go"), "").unwrap();
    let (detached, second) =
        (pid_in(&scripts.site.path("d")), pid_in(&scripts.site.path("second")));
    let log = scripts.log();
    let position = |word: &str| log.iter().position(|line| line == word);
    assert!(position("first") < position("second") && position("D").is_some(), "{log:?}");
    assert!(is_alive(&detached) && is_alive(&second));
    assert!(running.end().is_empty());
    assert!(!is_alive(&detached) && !is_alive(&second));
    assert!(!scripts.log().contains(&"third".to_owned()), "the payload has ended before it");
    scripts.wait_until_unregistered();
}

#[test]
fn in_the_background_of_the_end_the_list_runs_and_the_last_script_ends_the_registration() {
    let scripts = Scripts::new();
    let wait = "while [ ! -e $top/go ]; do sleep 0.01; done";
    scripts.put("removed/10D-d", &format!("{wait}; echo D >>$top/log"));
    scripts.put("removed/20-a", &format!("{wait}; echo a >>$top/log"));
    scripts.put("removed/30-b", "echo b >>$top/log");
    scripts.put("removed/40W-w", "echo W >>$top/log");
    assert_eq!(scripts.run(), ["OLD=1", "begun"]);
    assert_eq!((scripts.log(), scripts.registered().len()), (vec!["W".to_owned()], 1));
    fs::write(scripts.site.path("go"), "").unwrap();
    scripts.wait_until_unregistered();
    let mut log = scripts.log();
    assert!(log.iter().position(|line| line == "a") < log.iter().position(|line| line == "b"));
    log.sort();
    assert_eq!(log, ["D", "W", "a", "b"]);
}

#[test]
fn what_is_not_a_trusted_script_is_passed_over_and_told_once() {
    let scripts = Scripts::new();
    scripts.put_logging(&[
        "added/10W-good",
        "added/20W-copy~",
        "added/README",
        "added/30W-not-executable",
        "added/40W-group",
        "added/50W-other",
    ]);
    set_mode(&scripts.site.path("added/30W-not-executable"), 0o644);
    set_mode(&scripts.site.path("added/40W-group"), 0o775);
    chown(scripts.site.path("added/40W-group"), None, Some(61_001)).unwrap();
    chown(scripts.site.path("added/50W-other"), Some(61_001), None).unwrap();
    symlink("/nonexistent", scripts.site.path("added/60W-dangling")).unwrap();
    let printed = scripts.run();
    let notes: Vec<&String> = printed.iter().filter(|line| line.starts_with("note ")).collect();
    assert_eq!(notes.len(), 6, "{printed:#?}");
    for (name, why) in [
        ("20W-copy~", "a copy"),
        ("README", "NN-name"),
        ("30W-not-executable", "chmod +x"),
        ("40W-group", "group 61001 may write"),
        ("50W-other", "user 61001 is not trusted"),
        ("60W-dangling", "ENOENT"),
    ] {
        assert!(notes.iter().any(|note| note.contains(name) && note.contains(why)), "{notes:#?}");
    }
    assert_eq!(scripts.log(), ["added/10W-good session_added"]);
}

#[test]
fn a_directory_with_a_writable_parent_is_passed_over() {
    let scripts = Scripts::new();
    scripts.put_logging(&["added/10W-a", "removed/10W-a"]);
    set_mode(scripts.site.top(), 0o777);
    let printed = scripts.run();
    assert!(printed.iter().any(|line| line.contains("chmod o-w")), "{printed:?}");
    assert!(scripts.log().is_empty());
}

#[test]
fn links_are_followed_if_every_step_is_trusted() {
    let scripts = Scripts::new();
    fs::create_dir(scripts.site.path("scripts")).unwrap();
    fs::create_dir(scripts.site.path("loose")).unwrap();
    set_mode(&scripts.site.path("scripts"), 0o755);
    scripts.put_logging(&["scripts/real"]);
    symlink("../scripts/real", scripts.site.path("added/11W-relative")).unwrap();
    symlink(scripts.site.path("scripts"), scripts.site.path("link")).unwrap();
    symlink(scripts.site.path("link/real"), scripts.site.path("added/12W-two")).unwrap();
    symlink("../scripts/real", scripts.site.path("loose/x")).unwrap();
    symlink(scripts.site.path("loose/x"), scripts.site.path("added/13W-loose")).unwrap();
    symlink("14W-loop", scripts.site.path("added/14W-loop")).unwrap();
    set_mode(&scripts.site.path("loose"), 0o777);
    let printed = scripts.run();
    assert_eq!(scripts.log(), ["scripts/real session_added", "scripts/real session_added"]);
    let notes = printed.iter().filter(|line| line.starts_with("note ")).count();
    assert_eq!(notes, 2, "{printed:#?}");
}

#[test]
fn a_directory_of_consolekit_runs_unchanged_for_every_event() {
    let scripts = Scripts::new();
    let other = Scripts::new();
    for name in ["added", "changed", "removed"] {
        fs::remove_dir(other.site.path(name)).unwrap();
    }
    let log = scripts.site.path("log");
    for name in ["b.ck", "a.ck", "not-a-script"] {
        other.put(
            name,
            &format!(
                "echo {name} $1 $# $CK_SESSION_USER_UID $CK_SESSION_TYPE $CK_SESSION_IS_ACTIVE \
                 $CK_SESSION_IS_LOCAL ${{CK_SESSION_ID:+id}} ${{CK_SESSION_X11_DISPLAY-unset}} \
                 >>{}; exit 1",
                log.display()
            ),
        );
    }
    let running = Scripts { directories: other.directories.clone(), ..scripts };
    let mut session = running.start();
    session.send("suspend");
    wait_for("the scripts of the change", || (running.log().len() == 4).then_some(()));
    assert!(session.end().is_empty(), "its status is ignored");
    let facts = |active| format!("1 61020 batch {active} false id unset");
    let mut expected = Vec::new();
    for (event, active) in [("added", true), ("active_changed", false), ("removed", false)] {
        for name in ["a.ck", "b.ck"] {
            expected.push(format!("{name} session_{event} {}", facts(active)));
        }
    }
    assert_eq!(running.log(), expected);
}

#[test]
fn a_pair_of_pam_script_runs_unchanged() {
    let scripts = Scripts::new();
    for name in ["onsessionopen", "onsessionclose", "onauth"] {
        scripts.put(
            name,
            "echo ${0##*/} $# $PAM_USER $PAM_RUSER $PAM_SERVICE $PAM_TYPE \"[$PAM_TTY$PAM_RHOST]\" \
             >>$top/log\necho anything\n[ -w \"$PAM_SCRIPT_INFO\" ] && echo info >>$top/log\n:",
        );
    }
    assert_eq!(scripts.run(), ["OLD=1", "begun"]);
    let log = scripts.log().join("\n");
    for line in ["0 job batch glexec open_session []", "0 job batch glexec close_session []"] {
        assert!(log.contains(line), "{log}");
    }
    assert_eq!(log.matches("info").count(), 2);
    assert_eq!(scripts.log().len(), 4, "onauth has no counterpart");
}

#[test]
fn a_script_runs_as_the_configured_user_who_may_own_it() {
    let mut scripts = Scripts::new();
    scripts.user = "61001";
    let script = scripts.put("added/10W-id", "echo \"export IDS=$(id -u):$(id -g):$(id -G)\"");
    chown(script, Some(61_001), None).unwrap();
    assert_eq!(scripts.run(), ["OLD=1", "IDS=61001:61001:61001", "begun"]);
}

#[test]
fn a_script_has_a_session_of_its_own_and_clean_descriptors_and_environment() {
    let scripts = Scripts::new();
    scripts.put(
        "added/10W-x",
        "ls -l /proc/$$/fd >$top/fds; env >$top/env
         [ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && [ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] &&
         echo own >>$top/log",
    );
    scripts.run();
    assert_eq!(scripts.log(), ["own"]);
    let fds = scripts.site.text("fds");
    let targets = fds.lines().filter_map(|line| line.split_once(" -> ").map(|(_, to)| to));
    let others = targets.filter(|line| {
        *line != "/dev/null"
            && !line.starts_with("pipe:")
            && !line.ends_with("/fds")
            && !line.ends_with("added/10W-x")
    });
    assert_eq!(others.count(), 0, "{fds}");
    let environment = scripts.site.text("env");
    for line in [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "GLEXEC_SESSION_USER=job",
        "GLEXEC_SESSION_UID=61020",
        "GLEXEC_SESSION_GID=61021",
        "GLEXEC_SESSION_HOME=/home/job",
        "GLEXEC_SESSION_CALLER=batch",
        "GLEXEC_SESSION_COMMAND=/bin/payload with words",
    ] {
        assert!(environment.lines().any(|found| found == line), "{line}: {environment}");
    }
    assert!(!environment.contains("PAM_") && !environment.contains("RESULT"), "{environment}");
}

//! The end of an epilogue: its timeout, and that nothing of it stays. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use support::{LIMITS, NO_LIMIT, Printed, Site, is_alive, pid_in, printed, wait_for};

#[test]
fn at_the_timeout_it_gets_sigterm() {
    let site = Site::new("trap 'echo TERM >$top/got; exit 0' TERM; : >$top/begun; sleep 1000");
    let printed = ended_at_a_limit(&site, "begun");
    assert_eq!((printed.status.as_str(), site.text("got").as_str()), ("202", "TERM\n"));
    assert!(printed.line.contains("epilogue_timeout"), "{}", printed.line);
}

/// Runs an epilogue with a limit within which it has made this file.
fn ended_at_a_limit(site: &Site, begun: &str) -> Printed {
    let try_it = |limit| {
        let printed = printed(&mut site.runner(limit));
        site.path(begun).exists().then_some(printed)
    };
    LIMITS.into_iter().find_map(try_it).expect("it has begun")
}

#[test]
fn one_that_ignores_sigterm_or_has_stopped_gets_sigkill() {
    for lines in ["", "kill -STOP $$"] {
        let begin = "trap '' TERM\necho $$ >$top/pid\n: >$top/begun";
        let site = Site::new(&format!("{begin}\n{lines}\nwhile :; do sleep 1000; done"));
        assert_eq!(ended_at_a_limit(&site, "begun").status, "202");
        assert!(!is_alive(&site.text("pid")), "{lines}");
    }
}

/// Starts a process in a session of its own, which the keeper adopts.
const FORK_AWAY: &str = "\
    trap '' TERM HUP
    setsid sh -c 'setsid sh -c \"echo \\$\\$ >$top/away; exec sleep 1000\" & exec sleep 1000' &
    sleep 1000 &
    while [ ! -s $top/away ]; do sleep 0.01; done\n";

#[test]
fn what_it_has_forked_away_ends_with_it() {
    let site = Site::new(&format!("export top\n{FORK_AWAY}exit 0"));
    assert_eq!(site.run().status, "-");
    assert!(!is_alive(&site.text("away")));
}

#[test]
fn what_it_has_forked_away_ends_at_the_timeout_too() {
    let site = Site::new(&format!("export top\n{FORK_AWAY}trap - TERM\n: >$top/begun; sleep 1000"));
    assert_eq!(ended_at_a_limit(&site, "begun").status, "202");
    assert!(!is_alive(&pid_in(&site.path("away"))));
}

#[test]
fn a_process_that_forks_and_exits_again_and_again_ends_with_it() {
    // A C program: a shell forks too slowly for this test.
    let site = Site::new("setsid $top/hop $top/last &\nwhile [ ! -s $top/last ]; do :; done");
    for of_its_own in ["", "setsid();"] {
        let _ = fs::remove_file(site.path("last"));
        let source = format!(
            "#include <fcntl.h>\n#include <unistd.h>\n\
             int main(int count, char **words) {{ for (int n = 0;; n++) {{\n\
             if (fork()) _exit(0);\n{of_its_own}\n\
             if (n == 20) write(creat(words[1], 0600), \"x\", 1);\n}} }}\n"
        );
        let source = site.put("hop.c", &source);
        let cc = Command::new("cc").arg("-o").arg(site.path("hop")).arg(source).status();
        assert!(cc.expect("cc is needed: run ci/provision as root").success());
        assert_eq!(site.run().status, "-");
        // Its ids change: it is known by its program.
        let hop = site.path("hop");
        let is_hop =
            |entry: fs::DirEntry| fs::read_link(entry.path().join("exe")).ok() == Some(hop.clone());
        assert!(!fs::read_dir("/proc").unwrap().flatten().any(is_hop), "{of_its_own:?}");
    }
}

#[test]
fn if_the_switcher_is_killed_the_timeout_still_holds() {
    let site =
        Site::new(&format!("export top\necho $$ >$top/pid\n{FORK_AWAY}: >$top/begun; sleep 1000"));
    // The switcher is killed before the limit is reached, unless the machine is too busy for that.
    let is_killed = |limit| {
        let _ = fs::remove_file(site.path("begun"));
        let mut runner = site.runner(limit).stdout(Stdio::null()).spawn().unwrap();
        wait_for("the epilogue, or its end", || {
            (site.path("begun").exists() || runner.try_wait().unwrap().is_some()).then_some(())
        });
        let _ = runner.kill();
        !runner.wait().unwrap().success()
    };
    assert!(["2000", "20000"].into_iter().any(is_killed));
    let (pid, away) = (pid_in(&site.path("pid")), pid_in(&site.path("away")));
    wait_for("the end of the epilogue", || (!is_alive(&pid) && !is_alive(&away)).then_some(()));
}

#[test]
fn one_whose_keeper_is_killed_is_killed_and_counts_as_not_run() {
    let site = Site::new("echo $$ >$top/pid\nsleep 1000");
    let runner = site.runner(NO_LIMIT).stdout(Stdio::piped()).spawn().unwrap();
    let pid = pid_in(&site.path("pid"));
    let keeper = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let keeper = keeper.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    assert!(Command::new("kill").args(["-KILL", &keeper]).status().unwrap().success());
    let output = runner.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("202\n") && text.contains("was killed"), "{text}");
    wait_for("the end of the epilogue", || (!is_alive(&pid)).then_some(()));
}

//! The process of an epilogue: as whom it runs, what it has, and which file is executed. Needs
//! root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use support::{NO_LIMIT, Site, printed, set_mode, wait_for};

/// What an epilogue has: written to the file `seen`.
const LOOK: &str = r#"
open=$(for n in /proc/$$/fd/*; do echo "${n##*/} $(readlink "$n")"; done | sort -n)
{
    id -u; id -g; id -G; umask; pwd; echo "$PATH"
    grep -E '^Sig(Blk|Ign)' /proc/$$/status | tr -d '\t'
    ps -o sid=,pgid= -p $$ | tr -s ' ' '\n' | sort -u | tr -d '\n'; echo " $$"
    echo "$open"
} >"$top/seen" 2>&1
"#;

#[test]
fn it_runs_as_root_in_a_session_of_its_own_with_nothing_of_the_callers() {
    let site = Site::new(LOOK);
    let script = "trap '' PIPE HUP; umask 077; cd /tmp; exec 7</etc/passwd; exec \"$@\"";
    let mut shell = Command::new("setpriv");
    shell.args(["--groups=5,6", "--regid=0", "sh", "-c", script, "sh"]);
    let runner = site.runner(NO_LIMIT);
    shell.arg(runner.get_program()).args(runner.get_args());
    assert_eq!(printed(&mut shell).status, "-");
    let seen = site.text("seen");
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..3], ["0", "0", "0"]);
    assert_eq!(lines[3..6], ["0022", "/", "/usr/sbin:/usr/bin:/sbin:/bin"]);
    assert_eq!(lines[6..8], ["SigBlk:0000000000000000", "SigIgn:0000000000000000"]);
    let (own, pid) = lines[8].split_once(' ').unwrap();
    assert_eq!(own, pid, "session and process group");
    // Beside these the script has itself open, once by the switcher and once by the shell, and an
    // end of the pipe from which the shell reads the list.
    let open: Vec<_> = lines[9..].iter().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(open[..3], [("0", "/dev/null"), ("1", "/dev/null"), ("2", "/dev/null")]);
    let own_file = site.epilogue().display().to_string();
    let other = open[3..].iter().find(|(_, file)| *file != own_file && !file.starts_with("pipe:"));
    assert_eq!(other, None);
}

#[test]
fn epilogue_user_and_epilogue_group_are_what_it_runs_as_and_may_own_it() {
    for (group, gid) in [("-", "0"), ("61002", "61002")] {
        let site = Site::new(LOOK);
        // Only its user may read and execute it.
        chown(site.epilogue(), Some(61_001), None).unwrap();
        set_mode(&site.epilogue(), 0o500);
        chown(site.top(), Some(61_001), Some(61_002)).unwrap();
        set_mode(site.top(), if group == "-" { 0o755 } else { 0o775 });
        let printed = printed(&mut site.runner_as("61001", group, NO_LIMIT));
        assert_eq!(printed.status, "-", "{}", printed.line);
        let seen = site.text("seen");
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[..3], ["61001", gid, gid]);
    }
}

#[test]
fn where_root_has_fewer_rights_than_epilogue_user_that_user_opens_it() {
    let site = Site::new(LOOK);
    chown(site.epilogue(), Some(61_001), None).unwrap();
    chown(site.top(), Some(61_001), None).unwrap();
    set_mode(&site.epilogue(), 0o500);
    set_mode(site.top(), 0o700);
    // As root has it on NFS with root squash.
    let weak = "--bounding-set=-dac_override,-dac_read_search";
    for (user, status) in [("61001", "-"), ("0", "202")] {
        let runner = site.runner_as(user, "-", NO_LIMIT);
        let mut setpriv = Command::new("setpriv");
        setpriv.args([weak, "--inh-caps=-all"]).arg(runner.get_program()).args(runner.get_args());
        let printed = printed(&mut setpriv);
        assert_eq!(printed.status, status, "{printed:?}");
        assert_eq!(printed.check == "trusted", user == "61001", "{printed:?}");
    }
}

#[test]
fn its_own_status_decides() {
    for (lines, status, line) in [
        ("exit 0", "-", "it succeeded"),
        ("exit 1", "202", "it exited 1"),
        ("exit 201", "204", "it exited 201"),
        ("exit 204", "204", "it exited 204"),
        ("exit 205", "202", "it exited 205"),
        ("kill -SEGV $$", "202", "signal SEGV killed it"),
    ] {
        let printed = Site::new(lines).run();
        assert_eq!(printed.status, status, "{lines}");
        assert!(printed.line.contains(line), "{}", printed.line);
    }
}

#[test]
fn one_that_is_not_trusted_does_not_run() {
    let site = Site::new("echo ran >$top/seen");
    set_mode(&site.epilogue(), 0o777);
    let printed = site.run();
    assert_eq!(printed.status, "202");
    assert!(printed.line.contains("not trusted") && !site.path("seen").exists(), "{printed:?}");
    assert!(printed.line.ends_with(&printed.check), "{printed:?}");
}

#[test]
fn a_mount_point_on_the_path_is_crossed_and_examined() {
    for (owner, status) in [("61001", "202"), ("0", "-")] {
        let site = Site::new("");
        let runner = site.runner(NO_LIMIT);
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "sh", "-ec"]).arg(
            "mount -t tmpfs -o mode=0755,uid=$0 tmp \"${2%/*}\"
            printf '#!/bin/sh\\n' >\"$2\"
            chmod 755 \"$2\"
            exec \"$@\"",
        );
        shell.arg(owner).arg(runner.get_program()).args(runner.get_args());
        let printed = printed(&mut shell);
        assert_eq!(printed.status, status, "{}", printed.line);
        if owner != "0" {
            let why = format!("{}: not trusted: it belongs to user 61001", site.top().display());
            assert!(printed.line.contains(&why), "{}", printed.line);
        }
    }
}

#[test]
fn what_cannot_be_executed_is_named_with_the_reason() {
    for (name, mode, text, why) in [
        ("epilogue", 0o644, "#!/bin/sh\n", "no user may execute it"),
        ("epilogue", 0o755, "#!/nonexistent\n", "its interpreter does not exist"),
        ("epilogue", 0o755, "true\n", "neither a program for this machine nor a script"),
        ("other", 0o755, "", "ENOENT"),
    ] {
        let site = Site::new("");
        fs::remove_file(site.epilogue()).unwrap();
        let path = site.put(name, text);
        set_mode(&path, mode);
        let printed = site.run();
        assert_eq!(printed.status, "202");
        assert!(printed.line.contains(why), "{}", printed.line);
    }
}

#[test]
fn one_that_a_process_can_still_write_to_is_not_executed() {
    let site = Site::new("echo ran >$top/seen");
    let writer = fs::OpenOptions::new().append(true).open(site.epilogue()).unwrap();
    let printed = site.run();
    assert_eq!(printed.status, "202");
    assert!(printed.line.contains("open for writing"), "{}", printed.line);
    assert!(!site.path("seen").exists());
    drop(writer);
}

#[test]
fn one_that_is_replaced_between_check_and_execution_runs_as_it_was_checked() {
    let site = Site::new("[ ! -e $top/replaced ] || echo old >$top/seen");
    let new = site.put("new", "#!/bin/sh\necho new >${0%/*}/seen\n");
    chown(&new, Some(61_001), None).unwrap();
    // The script's process alone resets as many signals, after it has opened and checked the file.
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(site.path("trace")).args([
        "-e",
        "trace=rt_sigaction",
        "-e",
        "inject=rt_sigaction:signal=SIGSTOP:when=40",
    ]);
    let runner = site.runner(NO_LIMIT);
    strace.arg(runner.get_program()).args(runner.get_args()).env_clear();
    let running = strace.stdout(Stdio::piped()).process_group(0).spawn();
    let running = running.expect("strace is needed: run ci/provision as root");
    let stopped = wait_for("the stop of the process that has checked the epilogue", || {
        let trace = fs::read_to_string(site.path("trace")).ok()?;
        let line = trace.lines().find(|line| line.ends_with("--- stopped by SIGSTOP ---"))?;
        line.split_whitespace().next().map(str::to_owned)
    });
    let open = fs::read_dir(format!("/proc/{stopped}/fd")).unwrap().flatten();
    let mut files = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    assert!(files.any(|file| file == site.epilogue()), "it has not opened the epilogue");
    fs::write(site.path("replaced"), "").unwrap();
    fs::rename(new, site.epilogue()).unwrap();
    assert!(Command::new("kill").args(["-CONT", &stopped]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("-\n"), "{text}");
    assert_eq!(site.text("seen"), "old\n");
}

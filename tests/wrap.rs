//! `condor_glexec_pilot wrap`, called as a starter of today's HTCondor calls its USER_JOB_WRAPPER,
//! with real accounts and real switchers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use support::families::state;
use support::mounts::Mounts;
use support::pilot::{family, signal};
use support::user_job_wrapper::{Job, LINK, Node};
use support::{Account, Site, retained, wait_until, write};

#[test]
fn a_job_runs_as_another_user_and_its_files_go_there_and_back() {
    for node in Node::both() {
        let job = node.job(
            "dir_1",
            "id -u; pwd -P >place; cat input/a; cat .job.ad; echo x >made; mkdir new; echo y >new/z
             rm input/b; exit 3",
        );
        fs::create_dir(job.file("input")).unwrap();
        write(job.file("input/a"), "the input\n", 0o644);
        write(job.file("input/b"), "", 0o644);
        support::own(&job.file("input"), Account::batch());
        job.ends("exited 3");
        let out = job.text("_condor_stdout");
        let mut lines = out.lines();
        let user: u32 = lines.next().unwrap().parse().unwrap();
        assert!(user != 0 && user != Account::batch().uid, "{user}");
        assert_eq!(lines.next(), Some("the input"));
        assert_eq!(lines.next(), Some("GlobalJobId = \"host#dir_1#1\""));
        assert_eq!((job.text("made").as_str(), job.text("new/z").as_str()), ("x\n", "y\n"));
        assert!(!job.file("input/b").exists());
        for name in ["made", "new", "new/z", "input/a", "condor_exec.exe"] {
            let owner = fs::symlink_metadata(job.file(name)).unwrap().uid();
            assert_eq!(owner, Account::batch().uid, "{name}");
        }
        assert!(node.left().is_empty(), "{:?}", node.left());
    }
}

/// A directory of the batch user on a file system of its own.
fn other_file_system(node: &Node, options: &str) -> (PathBuf, Mounts) {
    let payloads = node.path("payloads");
    fs::create_dir(&payloads).unwrap();
    let mounts = Mounts::below(&payloads);
    mounts.add(&["-t", "tmpfs", "-o", &format!("mode=755,{options}"), "none"], &payloads);
    Account::batch().owns(&payloads);
    let switcher = node.site.switcher();
    node.set(&format!("glexec = {}\ndirectory = {}\n", switcher.display(), payloads.display()));
    (payloads, mounts)
}

/// The entries of a directory, with the kind, mode, number of names and content of each.
fn described(directory: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = match stat.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string(),
                kind if kind.is_file() && stat.len() < 100 => {
                    OsString::from_vec(fs::read(&path).unwrap())
                }
                _ => stat.len().to_string().into(),
            };
            let (mode, links) = (stat.mode(), stat.nlink());
            let name = path.file_name().unwrap().to_owned();
            // The time of what was not made by the test itself.
            let is_old = stat.mtime() == 1_000_000_000;
            let line = format!("{name:?} {mode:o} {links} {content:?} {is_old}");
            let below = if stat.is_dir() { described(&path) } else { Vec::new() };
            below.into_iter().map(move |line| format!("{name:?}/{line}")).chain([line])
        })
        .collect();
    found.sort();
    found
}

#[test]
fn the_sandboxes_can_be_on_another_file_system() {
    for node in Node::both() {
        let script = "cat input/a; stat -fc %T .; echo x >made; mkdir -m 700 new; echo y >new/z
             ln new/z new/hard; ln -s z new/link; echo closed >new/none; chmod 0 new/none
             head -c 3000000 /dev/zero >new/large; rm input/b; touch -d @1000000000 new
             chmod 500 new; chmod 0777 .; exit 3";
        let jobs = ["dir_1", "dir_2"].map(|name| {
            let job = node.job(name, script);
            fs::create_dir(job.file("input")).unwrap();
            write(job.file("input/a"), "the input\n", 0o400);
            write(job.file("input/b"), vec![0; 2 << 20], 0o644);
            support::own(&job.file("input"), Account::batch());
            job
        });
        jobs[0].ends("exited 3");
        assert!(node.left().is_empty(), "{:?}", node.left());
        let (payloads, _mounts) = other_file_system(&node, "size=64m");
        jobs[1].ends("exited 3");
        let [same, other] = jobs.map(|job| {
            let mode = fs::metadata(&job.scratch).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0o700, "the starter's directory is as it was");
            let out = job.text("_condor_stdout");
            fs::remove_file(job.file("_condor_stdout")).unwrap();
            fs::remove_file(job.file(".job.ad")).unwrap();
            let owner = fs::symlink_metadata(job.file("new/none")).unwrap().uid();
            assert_eq!(owner, Account::batch().uid);
            (out, described(&job.scratch))
        });
        assert_eq!(same.0.lines().next(), Some("the input"));
        assert_eq!(other.0, "the input\ntmpfs\n");
        assert_ne!(same.0, other.0);
        assert_eq!(same.1, other.1);
        assert_eq!(fs::read_dir(payloads.join("slot1")).unwrap().count(), 0);
    }
}

#[test]
fn in_a_closed_world_the_directory_of_the_sandboxes_is_hidden_wherever_it_is() {
    let node = Node::new(Site::new().owning());
    let switcher = node.site.switcher();
    node.set(&format!("glexec = {}\ndirectory = /srv/payloads\n", switcher.display()));
    let job = node.job("dir_1", "find /srv; ! touch /srv/payloads/slot1/made");
    let mut unshare = job.below("unshare");
    let script = "mount -t tmpfs none /srv && install -d -o gh-batch -m 755 /srv/payloads &&
         exec setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$0\" \"$@\"";
    unshare.args(["--mount", "sh", "-c", script]).arg(node.path("link").join(LINK));
    let status = unshare.arg(job.file("condor_exec.exe")).status().unwrap();
    assert!(status.success(), "{}", job.text("_condor_stderr"));
    assert_eq!(job.text("_condor_stdout"), "/srv\n/srv/payloads\n");
}

/// Puts the slots' directory on another file system, if asked for, as long as the value lives.
fn slots_on(node: &Node, is_other: bool) -> Mounts {
    let mounts = Mounts::below(&node.slots());
    if is_other {
        mounts.add(&["-t", "tmpfs", "none"], &node.slots());
    }
    Account::batch().owns(node.slots());
    mounts
}

#[test]
fn a_wrapper_that_is_killed_at_any_moment_loses_no_file() {
    const CALLS: [&str; 4] = ["renameat2", "renameat", "unlinkat", "mkdirat"];
    let node = Node::new(Site::new().owning());
    fs::create_dir(node.slots()).unwrap();
    for is_other in [false, true] {
        let _mounts = slots_on(&node, is_other);
        let (is_tried, mut index, mut kills) = (support::moments(4, "wrap"), 0, 0);
        for call in CALLS {
            for number in 1.. {
                index += 1;
                if !is_tried(index) {
                    continue;
                }
                let script = "cat input/a b >made && rm b && echo ran; cat made";
                let job = node.job(&format!("dir_{is_other}{call}{number}"), script);
                fs::create_dir(job.file("input")).unwrap();
                write(job.file("input/a"), "a\n", 0o644);
                write(job.file("b"), "b\n", 0o644);
                support::own(&job.scratch, Account::batch());
                let is_killed = job.is_killed_at(call, number);
                support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
                let what = format!("{call} {number} on another file system: {is_other}");
                assert!(node.left().is_empty(), "{what}: {:?}", node.left());
                let has_run = job.text("_condor_stdout").starts_with("ran\n");
                assert!(has_run || !job.file("made").exists(), "{what}");
                assert_eq!(job.text("input/a"), "a\n", "{what}");
                match has_run {
                    true => assert_eq!(job.text("made"), "a\nb\n", "{what}"),
                    false => assert_eq!(job.text("b"), "b\n", "{what}"),
                }
                assert!(!job.file(".glexec_passage").exists(), "{what}");
                fs::remove_dir_all(&job.scratch).unwrap();
                if !is_killed {
                    break;
                }
                kills += 1;
            }
        }
        assert!(kills >= CALLS.len(), "{kills}");
    }
}

#[test]
fn after_a_wrapper_and_its_starter_were_killed_at_any_moment_the_slot_takes_the_next_job() {
    const CALLS: [&str; 3] = ["renameat2", "unlinkat", "fchmod"];
    let node = Node::new(Site::new().owning());
    fs::create_dir(node.slots()).unwrap();
    for is_other in [false, true] {
        let _mounts = slots_on(&node, is_other);
        let (is_tried, mut index) = (support::moments(4, "next"), 0);
        for call in CALLS {
            for number in 1.. {
                index += 1;
                if !is_tried(index) {
                    continue;
                }
                let job = node.job("dir_1", "echo secret >secret; mkdir -m 0 none");
                let is_killed = job.is_killed_at(call, number);
                fs::remove_dir_all(&job.scratch).unwrap();
                let what = format!("{call} {number} on another file system: {is_other}");
                if index % 8 == 0 {
                    support::succeeded(&node.sweep().output().unwrap());
                    assert!(node.left().is_empty(), "{what}: {:?}", node.left());
                }
                let next = node.job("dir_2", "ls -A");
                next.ends("exited 0");
                assert!(!next.text("_condor_stdout").contains("secret"), "{what}");
                assert!(node.left().is_empty(), "{what}: {:?}", node.left());
                fs::remove_dir_all(&next.scratch).unwrap();
                if !is_killed {
                    break;
                }
            }
        }
    }
}

#[test]
fn what_another_user_makes_in_a_slot_meanwhile_costs_a_job_no_file() {
    let other = |slot: &Path, names: &[&str]| {
        let mut mkdir = Account::other().command("mkdir");
        mkdir.args(["-p", "-m", "755"]).args(names.iter().map(|name| slot.join(name)));
        mkdir.status().unwrap().success()
    };
    for node in Node::both() {
        let slot = node.slots().join("slot1");
        node.job("dir_1", "true").ends("exited 0");
        // While the job's files are collected.
        let job = node.job("dir_2", "cat 0 2000; echo x >made");
        for name in 0..=2000 {
            write(job.file(&name.to_string()), "x\n", 0o644);
        }
        support::own(&job.scratch, Account::batch());
        let mut child = job.start();
        wait_until("the files are collected", || job.file(".glexec_passage").exists());
        signal(&child, Signal::SIGSTOP);
        wait_until("the wrapper is stopped", || state(child.id()) == Some('T'));
        assert!(job.file(".glexec_passage").exists(), "not all files are collected");
        assert!(other(&slot, &["work", "work.condor"]));
        signal(&child, Signal::SIGCONT);
        assert!(child.wait().unwrap().success(), "{}", job.text("_condor_stderr"));
        assert_eq!(job.text("_condor_stdout"), "x\nx\n");
        assert_eq!((job.text("1000"), job.text("made")), ("x\n".into(), "x\n".into()));
    }
    // While they are on their way, and the wrapper is killed.
    let node = Node::new(Site::new().owning());
    let slot = node.slots().join("slot1");
    for is_gone in [false, true] {
        let job = node.job("dir_1", "true");
        write(job.file("input"), "x\n", 0o644);
        Account::batch().owns(job.file("input"));
        let is_on_the_way = |number: &usize| {
            let is_killed = job.is_killed_at("renameat2", *number);
            assert!(is_killed, "the wrapper was not killed on the way");
            !slot.join("work").exists() && job.file(".glexec_passage/input").exists()
        };
        (1..).find(is_on_the_way).unwrap();
        assert!(other(&slot, &["work", "work.condor"]));
        if is_gone {
            fs::remove_dir_all(&job.scratch).unwrap();
            support::succeeded(&node.sweep().output().unwrap());
        } else {
            support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
            assert_eq!(job.text("input"), "x\n");
            fs::remove_dir_all(&job.scratch).unwrap();
        }
        assert_eq!(fs::read(node.note()).unwrap(), b"");
        let next = node.job("dir_2", "true");
        next.ends("exited 0");
        fs::remove_dir_all(&next.scratch).unwrap();
    }
}

#[test]
fn the_exit_hook_fails_while_another_process_has_the_files() {
    let node = Node::new(Site::new().owning());
    let job = node.job("dir_1", "echo x >made; : >ready; exec sleep 600");
    let mut child = job.start();
    let sandbox = node.slots().join("slot1/work");
    wait_until("the job is ready", || sandbox.join("ready").exists());
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let note = fs::File::open(node.note()).unwrap();
    let note = Flock::lock(note, FlockArg::LockExclusive).map_err(|(_, cause)| cause).unwrap();
    let output = node.job_exit(&job.scratch).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("slot1: another process has it"), "{said}");
    drop(note);
    support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
    assert_eq!(job.text("made"), "x\n");
}

#[test]
fn a_proxy_that_has_the_name_of_the_switchers_credential_keeps_no_job_from_a_node() {
    for node in Node::both() {
        let job = node.job("dir_1", "true");
        let name = ".glexec_pilot_credential";
        write(job.file(name), "proxy\n", 0o600);
        write(job.file(".job.ad"), format!("x509userproxy = \"/home/a/{name}\"\n"), 0o644);
        support::own(&job.scratch, Account::batch());
        job.ends("exited 0");
        assert_eq!(job.text(name), "proxy\n");
        assert!(node.left().is_empty() && !node.slots().join("failed").exists());
    }
}

#[test]
fn nothing_of_the_wrapper_stays_in_the_scratch_directory() {
    for node in Node::both() {
        let job = node.job("dir_1", "true");
        let names = || {
            let entries = fs::read_dir(&job.scratch).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let mut before = names();
        before.extend(["_condor_stdout".into(), "_condor_stderr".into()]);
        before.sort();
        job.ends("exited 0");
        assert_eq!(names(), before);
        let mode = fs::metadata(job.file("_condor_stdout")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "the mode of the streams is as before");
    }
}

#[test]
fn a_job_gets_every_byte_of_its_arguments_and_its_environment() {
    let [sudo, closed] = Node::both();
    let shared = Node::new(Site::new().owning());
    let switcher = shared.site.switcher();
    shared.set(&format!("glexec = {}\nworld = shared\n", switcher.display()));
    for (node, keeps_paths) in [(sudo, false), (shared, false), (closed, true)] {
        let mut job = node.job("dir_1", "for i; do printf '<%s>' \"$i\"; done; pwd; env -0");
        let odd = OsString::from_vec((1..=255).collect());
        let list = [job.file("a"), job.file("b")].map(|path| path.display().to_string()).join(":");
        job.arguments = vec![odd.clone(), "".into(), "--help".into(), job.file("x").into()];
        job.variables.insert("ODD".into(), odd.clone());
        job.variables.insert("BELOW".into(), list.into());
        job.variables.insert("HOME".into(), "/home/pilot".into());
        job.ends("exited 0");
        let out = fs::read(job.file("_condor_stdout")).unwrap();
        let odd = odd.into_vec();
        // In a closed world the files are where the starter says.
        let sandbox = if keeps_paths { job.scratch } else { node.slots().join("slot1/work") };
        let sandbox = sandbox.display().to_string();
        let rest = format!("><><--help><{sandbox}/x>{sandbox}\n");
        let expected = [&b"<"[..], &odd, rest.as_bytes()].concat();
        assert!(out.starts_with(&expected), "{}", String::from_utf8_lossy(&out));
        let variables: Vec<&[u8]> = out[expected.len()..].split(|byte| *byte == 0).collect();
        let has = |wanted: &[u8]| variables.contains(&wanted);
        assert!(has(&[&b"ODD="[..], &odd].concat()));
        assert!(has(format!("BELOW={sandbox}/a:{sandbox}/b").as_bytes()));
        assert!(has(format!("HOME={sandbox}").as_bytes()));
        assert!(has(format!("_CONDOR_JOB_AD={sandbox}/.job.ad").as_bytes()));
        for dropped in [&b"_CONDOR_ANCESTOR_"[..], b"_CONDOR_WRAPPER_ERROR_FILE", b"GLEXEC"] {
            assert!(!variables.iter().any(|variable| variable.starts_with(dropped)));
        }
    }
}

#[test]
fn in_a_closed_world_a_job_sees_nothing_of_the_batch_system_and_of_other_jobs() {
    let node = Node::new(Site::new().owning());
    let other = node.job("dir_1", ": >ready; until test -e go; do sleep 0.05; done");
    let mut child = other.start();
    let sandbox = node.slots().join("slot1/work");
    wait_until("the job is ready", || sandbox.join("ready").exists());
    fs::create_dir(node.path("local/log")).unwrap();
    write(node.path("local/log/StartLog"), "secret", 0o644);
    let local = node.path("local");
    let script =
        "cd /; find \"$1\"; find \"$1\" -writable; touch \"$1/x\" \"$1/execute/x\"; exit 0";
    let mut job = node.job("dir_2", script);
    write(job.file(".machine.ad"), "Name = \"slot2@host\"\n", 0o644);
    job.arguments = vec![local.clone().into()];
    job.ends("exited 0");
    let out = job.text("_condor_stdout");
    assert!(out.contains("execute/dir_2/condor_exec.exe"), "{out}");
    for hidden in ["StartLog", "dir_1", "slot1", "note"] {
        assert!(!out.contains(hidden), "{hidden}: {out}");
    }
    assert!(!local.join("x").exists() && !local.join("execute/x").exists());
    write(sandbox.join("go"), "", 0o644);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wrapper_ends_exactly_as_its_job() {
    for node in Node::both() {
        let mut number = 0;
        let mut ends = |script: &str, expected: &str| {
            number += 1;
            node.job(&format!("dir_{number}"), script).ends(expected);
        };
        for status in [0, 1, 37, 126, 127, 137, 143, 201, 204, 240, 241, 242, 243, 244, 255] {
            ends(&format!("exit {status}"), &format!("exited {status}"));
        }
        for signal in [2, 6, 9, 11, 15] {
            ends(&format!("kill -{signal} $$"), &format!("killed {signal}"));
        }
        assert!(node.left().is_empty(), "{:?}", node.left());
    }
}

#[test]
fn no_variable_of_the_job_reaches_the_wrapper_or_the_switcher() {
    for node in Node::both() {
        let mut job = node.job("dir_1", "id -u; exit 4");
        let evil = node.site.script("evil", "touch /var/tmp/evil.$(id -u)");
        for (name, value) in [
            ("GLEXEC_HELPERS_LOG", job.file("log").display().to_string()),
            ("GLEXEC_SUDO_MAP", evil.display().to_string()),
            ("GLEXEC_STATE_DIR", "/nonexistent".to_owned()),
            ("GLEXEC_CLIENT_CERT", "/nonexistent".to_owned()),
            ("GLEXEC_HELPERS_IDLE_TIMEOUT", "none".to_owned()),
            ("GLEXEC_HELPERS_HANDOVER", "none".to_owned()),
            ("X509_USER_PROXY", "/nonexistent".to_owned()),
            ("PATH", node.site.path().display().to_string()),
            ("LD_PRELOAD", job.file("x.so").display().to_string()),
            ("_CONDOR_SCRATCH_DIR", "/".to_owned()),
        ] {
            job.variables.insert(name.into(), value.into());
        }
        job.variables.insert("PATH".into(), "/usr/bin:/bin".into());
        job.ends("exited 4");
        assert!(!job.file("log").exists());
        assert!(job.text("_condor_stdout").parse::<u32>().is_err());
    }
}

#[test]
fn settings_that_another_user_can_change_are_not_believed() {
    let node = Node::new(Site::new());
    let job = node.job("dir_1", "echo begun >begun");
    let refused = |why: &str| {
        let status = job.run();
        assert_eq!(status.code(), Some(1));
        assert!(
            job.text(".job_wrapper_failure").contains(why),
            "{}",
            job.text(".job_wrapper_failure")
        );
        fs::remove_file(job.file(".job_wrapper_failure")).unwrap();
        assert!(!job.file("begun").exists());
    };
    fs::set_permissions(node.settings(), fs::Permissions::from_mode(0o666)).unwrap();
    refused("its mode is 0666");
    fs::set_permissions(node.settings(), fs::Permissions::from_mode(0o644)).unwrap();
    Account::other().owns(node.settings());
    refused("it belongs to uid");
    Account::batch().owns(node.settings());
    fs::set_permissions(node.path("link"), fs::Permissions::from_mode(0o777)).unwrap();
    refused("its mode is 0777");
    fs::set_permissions(node.path("link"), fs::Permissions::from_mode(0o755)).unwrap();
    node.set("colour = red\n");
    refused("there is no setting colour");
}

#[test]
fn the_starters_files_neither_reach_a_job_nor_come_from_it() {
    for node in Node::both() {
        let job = node.job(
            "dir_1",
            "ls -A; cat .update.ad; echo forged >.update.ad; echo forged >.job_wrapper_failure
             echo forged >.machine.ad; echo forged >_condor_stdout; mkdir .docker_sock; exit 0",
        );
        job.ends("exited 0");
        assert!(!job.text("_condor_stdout").contains(".update.ad\n"));
        assert!(!job.text("_condor_stdout").contains("update\n"));
        assert_eq!(job.text(".update.ad"), "update\n");
        assert_eq!(job.text(".machine.ad"), "Name = \"slot1@host\"\n");
        assert!(!job.file(".docker_sock").exists());
    }
}

#[test]
fn a_job_that_cannot_be_executed_ends_with_126_or_127_and_is_not_run_again() {
    for node in Node::both() {
        let job = node.job("dir_1", "true");
        fs::set_permissions(job.file("condor_exec.exe"), fs::Permissions::from_mode(0o644))
            .unwrap();
        job.ends("exited 126");
        assert!(job.text("_condor_stderr").contains("condor_exec.exe"));
        let job = node.job("dir_2", "true");
        fs::remove_file(job.file("condor_exec.exe")).unwrap();
        job.ends("exited 127");
        assert!(node.left().is_empty(), "{:?}", node.left());
    }
}

#[test]
fn a_node_that_cannot_start_jobs_reports_that_and_changes_nothing() {
    let node = Node::new(Site::new());
    node.set("glexec = /nonexistent/glexec\n");
    let job = node.job("dir_1", "true");
    assert_eq!(job.run().code(), Some(1));
    let why = job.text(".job_wrapper_failure");
    assert!(why.contains("/nonexistent/glexec"), "{why}");
    assert!(job.file("condor_exec.exe").exists());
    assert!(node.left().is_empty(), "{:?}", node.left());
    let marker = fs::read_to_string(node.slots().join("failed")).unwrap();
    assert!(marker.starts_with("1\n") && marker.contains("/nonexistent/glexec"), "{marker}");
}

#[test]
fn a_signal_of_the_starter_goes_to_the_job_alone() {
    for node in Node::both() {
        let job = node.job(
            "dir_1",
            "trap 'echo term >>got; exit 5' TERM; trap 'echo usr1 >>got' USR1
             : >ready; while :; do sleep 0.05; done",
        );
        let mut child = job.start();
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        signal(&child, Signal::SIGUSR1);
        wait_until("USR1", || {
            fs::read_to_string(sandbox.join("got")).is_ok_and(|got| got == "usr1\n")
        });
        signal(&child, Signal::SIGTERM);
        assert_eq!(child.wait().unwrap().code(), Some(5));
        assert_eq!(job.text("got"), "usr1\nterm\n");
    }
}

#[test]
fn a_killed_wrapper_ends_its_job_and_the_exit_hook_brings_the_files_back() {
    for node in Node::both() {
        let job = node.job(
            "dir_1",
            "(trap '' TERM; exec setsid sleep 600) & echo x >made; : >ready; exec sleep 600",
        );
        let mut child = job.start();
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        assert!(!job.file("made").exists(), "it is in the sandbox");
        signal(&child, Signal::SIGKILL);
        child.wait().unwrap();
        wait_until("no process is left", || family(&sandbox).is_empty());
        support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
        assert_eq!(job.text("made"), "x\n");
        assert!(job.file("condor_exec.exe").exists());
        assert!(node.left().is_empty(), "{:?}", node.left());
        support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
    }
}

#[test]
fn the_next_job_of_a_slot_gets_nothing_of_one_whose_wrapper_and_starter_were_killed() {
    for node in Node::both() {
        let job = node.job("dir_1", "echo secret >secret; : >ready; exec sleep 600");
        let mut child = job.start();
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        signal(&child, Signal::SIGKILL);
        child.wait().unwrap();
        fs::remove_dir_all(&job.scratch).unwrap();
        let next = node.job("dir_2", "ls -A");
        next.ends("exited 0");
        assert!(!next.text("_condor_stdout").contains("secret"));
        assert!(!next.file("secret").exists());
        assert!(node.left().is_empty(), "{:?}", node.left());
    }
}

#[test]
fn what_another_user_makes_in_a_slot_keeps_no_job_from_it() {
    for node in Node::both() {
        node.job("dir_1", "true").ends("exited 0");
        let slot = node.slots().join("slot1");
        let script = "cd \"$0\" && mkdir work work.condor && echo x >work/made && chmod 700 work";
        let made = Account::other().command("sh").args(["-c", script]).arg(&slot).status().unwrap();
        assert!(made.success());
        let job = node.job("dir_2", "ls");
        job.ends("exited 0");
        assert!(!job.text("_condor_stdout").contains("made"));
        assert!(!job.file("made").exists() && job.file("condor_exec.exe").exists());
        node.job("dir_3", "true").ends("exited 0");
    }
}

#[test]
fn no_other_user_makes_a_slots_note() {
    for node in Node::both() {
        let other = |script: &str, at: &Path| {
            let mut command = Account::other().command("sh");
            command.args(["-c", script]).arg(at).status().unwrap().success()
        };
        // A directory of the slots where each user can make entries, as an administrator may have
        // left it.
        let (above, switcher) = (node.path("open"), node.site.switcher());
        let slots = above.join("slots");
        fs::create_dir_all(&slots).unwrap();
        Account::batch().owns(&slots);
        for (path, mode) in [(&above, 0o1777), (&slots, 0o1777)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        node.set(&format!("glexec = {}\ndirectory = {}\n", switcher.display(), slots.display()));
        let mut job = node.job("dir_1", "echo begun >begun");
        // Without it, the wrapper writes to standard error, and does not wait after a failure.
        job.variables.remove("_CONDOR_WRAPPER_ERROR_FILE".as_ref() as &std::ffi::OsStr);
        let refused = |why: &str| {
            assert_eq!(job.run().code(), Some(1));
            let said = job.text("_condor_stderr");
            assert!(said.contains(why) && said.lines().count() == 1, "{said}");
            fs::remove_file(job.file("_condor_stderr")).unwrap();
            assert!(!job.file("begun").exists());
        };
        for squat in ["mkdir -m 777 \"$0/.notes\"", "mkdir -m 777 \"$0/slot1\""] {
            assert!(other(squat, &slots));
            refused("not to you: remove it");
            fs::remove_dir_all(slots.join(".notes")).unwrap();
            let _ = fs::remove_dir_all(slots.join("slot1"));
            fs::set_permissions(&slots, fs::Permissions::from_mode(0o1777)).unwrap();
        }
        assert!(other("ln -s /etc \"$0/.notes\"", &slots));
        refused(".notes");
        fs::remove_file(slots.join(".notes")).unwrap();
        // It could be renamed.
        fs::set_permissions(&above, fs::Permissions::from_mode(0o777)).unwrap();
        refused("every user can rename");
        fs::set_permissions(&above, fs::Permissions::from_mode(0o1777)).unwrap();
        job.ends("exited 0");
        assert!(job.file("begun").exists());
        // What was made once, no other user replaces.
        for squat in ["ls .notes", "mv .notes x", "touch .notes/slot2"] {
            assert!(!other(&format!("cd \"$0\" && {squat}"), &slots), "{squat}");
        }
        // What has the old place of a note is one entry among others.
        assert!(other("echo x >\"$0/slot1/note\"", &slots));
        node.job("dir_2", "true").ends("exited 0");
    }
}

#[test]
fn a_job_that_runs_again_in_its_scratch_directory_finds_its_files() {
    for node in Node::both() {
        let job = node.job("dir_1", "test -e checkpoint && exit 0; echo x >checkpoint; exit 85");
        job.ends("exited 85");
        job.ends("exited 0");
    }
}

#[test]
fn a_second_call_beside_a_running_job_is_refused_and_harms_nothing() {
    for node in Node::both() {
        let job = node.job("dir_1", ": >ready; until test -e go; do sleep 0.05; done; exit 6");
        let mut child = job.start();
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        assert_eq!(job.run().code(), Some(1));
        assert!(job.text("_condor_stderr").contains("its job runs already"));
        assert!(!job.file(".job_wrapper_failure").exists());
        write(sandbox.join("go"), "", 0o644);
        assert_eq!(child.wait().unwrap().code(), Some(6));
    }
}

#[test]
fn a_wrapper_of_the_site_runs_in_front_of_the_job_as_its_user() {
    for node in Node::both() {
        let site = node.site.script("site-wrapper", "id -u; echo \"in front of $*\"; exec \"$@\"");
        let switcher = node.site.switcher();
        node.set(&format!("glexec = {}\nwrapper = {}\n", switcher.display(), site.display()));
        let mut job = node.job("dir_1", "id -u; echo \"the job has $*\"; exit 7");
        job.arguments = vec!["a".into(), "b".into()];
        job.ends("exited 7");
        let out = job.text("_condor_stdout");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], lines[2]);
        assert_ne!(lines[0], Account::batch().uid.to_string());
        assert!(lines[1].ends_with("condor_exec.exe a b"), "{out}");
        assert_eq!(lines[3], "the job has a b");
    }
}

#[test]
fn a_job_can_open_its_streams_by_path() {
    for node in Node::both() {
        let job =
            node.job("dir_1", "echo one >>/dev/stdout; echo two >>/dev/stderr; cat /dev/stdin");
        job.ends("exited 0");
        assert_eq!(
            (job.text("_condor_stdout"), job.text("_condor_stderr")),
            ("one\n".into(), "two\n".into())
        );
    }
}

/// Whether a file has an access control list; and its mode.
fn rights(path: &Path) -> (bool, u32) {
    let output = std::process::Command::new("getfacl").args(["-cEn"]).arg(path).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let has_list = list.contains("mask::");
    let named = list.lines().filter(|line| line.starts_with("user:") && !line.contains("::"));
    assert_eq!(named.count(), usize::from(has_list), "{list}");
    assert!(!list.lines().any(|line| line.starts_with("group:") && !line.contains("::")), "{list}");
    (has_list, fs::metadata(path).unwrap().mode() & 0o7707)
}

#[test]
fn no_other_user_can_open_the_streams_of_a_job() {
    for node in Node::both() {
        for (name, end) in [("dir_1", "exit"), ("dir_2", "hook"), ("dir_3", "sweep")] {
            let script = "echo one >>/dev/stdout; : >ready; until test -e go; do sleep 0.05; done";
            let mut job = node.job(name, script);
            // As where the submitter's files are on a shared file system.
            fs::set_permissions(&job.scratch, fs::Permissions::from_mode(0o755)).unwrap();
            job.output = node.path(name);
            let files = [job.output.clone(), job.file("_condor_stderr")];
            for file in &files {
                write(file, "", 0o600);
            }
            let mut child = job.start();
            let sandbox = node.slots().join("slot1/work");
            wait_until("the job is ready", || sandbox.join("ready").exists());
            assert_eq!(fs::read_to_string(&job.output).unwrap(), "one\n");
            for file in &files {
                assert_eq!(rights(file), (true, 0o600));
                let script = "cat \"$0\" || echo x >>\"$0\"";
                let mut other = Account::other().command("sh");
                assert!(!other.args(["-c", script]).arg(file).output().unwrap().status.success());
            }
            if end == "exit" {
                write(sandbox.join("go"), "", 0o644);
                assert!(child.wait().unwrap().success());
            } else {
                signal(&child, Signal::SIGKILL);
                child.wait().unwrap();
                assert_eq!(rights(&files[0]), (true, 0o600));
                // Another file has the name meanwhile.
                fs::rename(&files[1], job.file("moved")).unwrap();
                write(&files[1], "", 0o640);
                if end == "sweep" {
                    fs::remove_dir_all(&job.scratch).unwrap();
                    support::succeeded(&node.sweep().output().unwrap());
                } else {
                    support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
                }
            }
            assert_eq!(rights(&files[0]), (false, 0o600), "{end}");
            assert_eq!(fs::metadata(&files[0]).unwrap().mode() & 0o777, 0o600);
            assert!(node.left().is_empty(), "{:?}", node.left());
            assert_eq!(fs::read_dir(node.slots().join(".notes")).unwrap().count(), 1);
        }
    }
}

#[test]
fn a_job_is_suspended_as_the_batch_system_suspends_it() {
    for (node, is_rootless) in Node::both().into_iter().zip([false, true]) {
        let job = node.job(
            "dir_1",
            "(trap '' TERM; exec setsid sleep 600) & : >ready; until test -e go; do sleep 0.05; done
             exit 8",
        );
        let mut child = job.start();
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        let states = || -> Vec<char> { family(&sandbox).into_iter().filter_map(state).collect() };
        let mark = retained(&sandbox).display().to_string();
        if !is_rootless {
            wait_until("an agent follows the wrapper", || runs_with(&["follow", &mark]));
        }
        // HTCondor's ProcD signals all that descends from the wrapper, as far as its user may.
        let signal_all = |name: &str| {
            let mut kill = Account::batch().command("kill");
            kill.args(["-s", name, &child.id().to_string()]);
            kill.args(family(&sandbox).iter().map(u32::to_string)).output().unwrap();
        };
        wait_until("all processes are stopped", || {
            signal_all("STOP");
            let states = states();
            // A shell that starts a command waits in D for the child, which is stopped (vfork(2)).
            states.len() >= 2 && states.iter().all(|state| matches!(state, 'T' | 'D'))
        });
        signal_all("CONT");
        wait_until("all processes are continued", || !states().contains(&'T'));
        write(sandbox.join("go"), "", 0o644);
        assert_eq!(child.wait().unwrap().code(), Some(8));
        wait_until("no process is left", || family(&sandbox).is_empty());
        wait_until("no agent follows", || !runs_with(&["follow", &mark]));
    }
}

#[test]
fn a_proxy_that_the_starter_renews_reaches_the_job() {
    for node in Node::both() {
        let job = node.job(
            "dir_1",
            "cat proxy; : >ready; until grep -q second proxy; do sleep 0.05; done; \
             echo forged >proxy",
        );
        let put = |name: &str, content: &str| {
            write(job.file(name), content, 0o600);
            Account::batch().owns(job.file(name));
        };
        put(".job.ad", "GlobalJobId = \"h#1\"\nx509userproxy = \"/home/a/proxy\"\n");
        put("proxy", "first\n");
        let mut child = job.start();
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        put("proxy.new", "second\n");
        fs::rename(job.file("proxy.new"), job.file("proxy")).unwrap();
        assert!(child.wait().unwrap().success(), "{}", job.text("_condor_stderr"));
        assert_eq!(job.text("_condor_stdout"), "first\n");
        assert_eq!(job.text("proxy"), "second\n", "the job's own does not come back");
    }
}

#[test]
fn a_job_has_its_oauth_tokens_and_gets_renewed_ones_and_no_other_user_can_read_them() {
    let nodes = Node::both();
    let token = |job: &Job<'_>, name: &str, content: &str| {
        // As a starter replaces it: a new file, renamed.
        let (new, path) = (format!(".condor_creds/{name}.tmp"), format!(".condor_creds/{name}"));
        write(job.file(&new), content, 0o600);
        Account::batch().owns(job.file(&new));
        fs::rename(job.file(&new), job.file(&path)).unwrap();
    };
    let jobs = nodes.each_ref().map(|node| {
        let script = "cd \"$_CONDOR_CREDS\" && stat -c '%a %u' a.use b.use | uniq | wc -l
             stat -c %a a.use; cat a.use; : >../ready
             until grep -q second a.use && test -e new.use; do sleep 0.05; done
             cat b.use new.use; echo forged >a.use; echo forged >forged.use";
        let mut job = node.job("dir_1", script);
        fs::create_dir(job.file(".condor_creds")).unwrap();
        fs::set_permissions(job.file(".condor_creds"), fs::Permissions::from_mode(0o755)).unwrap();
        Account::batch().owns(job.file(".condor_creds"));
        let path = job.file(".condor_creds").into_os_string();
        job.variables.insert("_CONDOR_CREDS".into(), path);
        token(&job, "a.use", "first\n");
        token(&job, "b.use", "other\n");
        job
    });
    let children = jobs.each_ref().map(Job::start);
    for (node, job) in nodes.iter().zip(&jobs) {
        let sandbox = node.slots().join("slot1/work");
        wait_until("the job is ready", || sandbox.join("ready").exists());
        for path in [sandbox.join(".condor_creds/a.use"), job.file(".condor_creds/a.use")] {
            let read = Account::other().command("cat").arg(path).output().unwrap();
            assert!(!read.status.success() && read.stdout.is_empty());
        }
        token(job, "a.use", "second\n");
        token(job, "new.use", "new\n");
    }
    for (job, mut child) in jobs.iter().zip(children) {
        assert!(child.wait().unwrap().success(), "{}", job.text("_condor_stderr"));
        assert_eq!(job.text("_condor_stdout"), "1\n600\nfirst\nother\nnew\n");
        assert_eq!(job.text(".condor_creds/a.use"), "second\n", "the starter's own");
        assert!(!job.file(".condor_creds/forged.use").exists());
        let names = fs::read_dir(&job.scratch).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with(".condor_creds")).count(), 1);
    }
}

#[test]
fn a_job_of_htcondor_25_runs_in_the_scratch_directory_below_that_of_the_job() {
    for (node, is_closed) in Node::both().into_iter().zip([false, true]) {
        let above = node.path("local/execute/dir_7");
        for directory in ["", "user", "var", "tmp"] {
            fs::create_dir(above.join(directory)).unwrap();
        }
        let mut job = node.job(
            "dir_7/scratch",
            "id -u; pwd; echo \"$HOME\"; cat \"$_CONDOR_CHIRP_CONFIG\"; cat input
             echo x >made; ls -A \"$1\"/execute/dir_7 2>/dev/null; exit 5",
        );
        job.arguments = vec![node.path("local").into()];
        write(job.file("input"), "the input\n", 0o644);
        fs::rename(job.file(".chirp.config"), above.join("user/.chirp.config")).unwrap();
        support::own(&above, Account::batch());
        fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).unwrap();
        job.variables.insert("HOME".into(), "/home/pilot".into());
        let chirp = above.join("user/.chirp.config").into_os_string();
        job.variables.insert("_CONDOR_CHIRP_CONFIG".into(), chirp);
        job.ends("exited 5");
        let sandbox = node.slots().join("slot1/work");
        let place = if is_closed { job.scratch.clone() } else { sandbox };
        let place = place.display();
        let out = job.text("_condor_stdout");
        let (user, rest) = out.split_once('\n').unwrap();
        assert_ne!(user, Account::batch().uid.to_string());
        let expected = format!("{place}\n{place}\nchirp\nthe input\n");
        let listed = rest.strip_prefix(&expected).unwrap_or_else(|| panic!("{rest}"));
        // The job sees nothing but its scratch directory there.
        assert_eq!(listed, if is_closed { "scratch\n" } else { "scratch\ntmp\nuser\nvar\n" });
        assert_eq!(job.text("made"), "x\n");
        assert!(!job.file(".chirp.config").exists());
        assert!(node.left().is_empty(), "{:?}", node.left());
    }
}

#[test]
fn the_hook_before_a_job_refuses_what_cannot_be_executed_and_removes_commands() {
    let node = Node::new(Site::new());
    let job = node.job("dir_1", "true");
    let ad = "JobUniverse = 5\nCmd = \"/home/a/condor_exec.exe\"\nPreCmd = \"evil\"\n";
    let (is_accepted, printed) = node.prepare_job(&job, ad);
    assert!(is_accepted && printed.contains("PreCmd = undefined\n"), "{printed}");
    write(job.file("condor_exec.exe"), "#!/nonexistent/sh\n", 0o755);
    let (is_accepted, printed) = node.prepare_job(&job, ad);
    assert!(!is_accepted && printed.starts_with("HookStatusMessage = \""), "{printed}");
    assert!(printed.contains("its interpreter /nonexistent/sh does not exist"), "{printed}");
    node.set("wrapper = /bin/env\n");
    assert!(node.prepare_job(&job, ad).0, "the wrapper of the site decides where it is");
}

#[test]
fn a_job_whose_files_exceed_the_limit_is_killed() {
    for node in Node::both() {
        let switcher = node.site.switcher();
        node.set(&format!("glexec = {}\ndisk = request\n", switcher.display()));
        let job = node.job("dir_1", "head -c 3000000 /dev/zero >large; exec sleep 600");
        let ad = "GlobalJobId = \"h#1\"\nRequestDisk = 1024\n";
        write(job.file(".job.ad"), ad, 0o644);
        Account::batch().owns(job.file(".job.ad"));
        job.ends("killed 9");
        let said = job.text("_condor_stderr");
        assert!(said.contains("its files exceed 1048576 bytes"), "{said}");
        assert_eq!(fs::metadata(job.file("large")).unwrap().len(), 3_000_000);
    }
}

#[test]
fn an_account_of_a_slot_has_no_process_after_the_job() {
    let node = Node::new(Site::new());
    let map = node.path("map");
    write(&map, format!("gh-batch {} gh-job2\n", node.site.path().display()), 0o644);
    let switcher = node.site.switcher();
    node.set(&format!(
        "glexec = {}\naccounts = slot\nsudo_map = {}\n",
        switcher.display(),
        map.display()
    ));
    // Nothing of this process leads to the job.
    let escape = "(env -i setsid sleep 76543 </dev/null >/dev/null 2>&1 &)";
    let is_left = || runs_with(&["sleep", "76543"]);
    let job = node.job("dir_1", &format!("{escape}; sleep 0.2; id -u"));
    job.ends("exited 0");
    assert_eq!(job.text("_condor_stdout").trim(), Account::named("gh-job2").uid.to_string());
    assert!(!is_left());
    // Also if the wrapper was killed.
    let job = node.job("dir_2", &format!("{escape}; : >ready; exec sleep 600"));
    let mut child = job.start();
    wait_until("the job is ready", || node.slots().join("slot1/work/ready").exists() && is_left());
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
    assert!(!is_left());
    assert!(job.file("ready").exists() && node.left().is_empty());
}

#[test]
fn a_sweep_removes_what_a_job_without_scratch_directory_has_left_and_no_other() {
    for node in Node::both() {
        let job = node.job("dir_1", ": >ready; exec sleep 600");
        let sandbox = node.slots().join("slot1/work");
        for is_gone in [false, true] {
            let mut child = job.start();
            wait_until("the job is ready", || sandbox.join("ready").exists());
            let sweep = || support::succeeded(&node.sweep().output().unwrap());
            sweep();
            assert!(sandbox.exists(), "its wrapper lives");
            signal(&child, Signal::SIGKILL);
            child.wait().unwrap();
            if is_gone {
                fs::remove_dir_all(&job.scratch).unwrap();
                sweep();
                assert!(node.left().is_empty(), "{:?}", node.left());
            } else {
                sweep();
                assert!(sandbox.exists(), "its starter can ask for the files");
                support::succeeded(&node.job_exit(&job.scratch).output().unwrap());
                fs::remove_file(job.file("ready")).unwrap();
            }
        }
    }
}

#[test]
fn a_job_that_gives_its_streams_a_name_among_the_trials_keeps_no_node_from_being_swept() {
    let node = Node::new(Site::new());
    let trials = node.slots().join("doctor");
    fs::create_dir_all(&trials).unwrap();
    support::own(&node.slots(), Account::batch());
    fs::set_permissions(&trials, fs::Permissions::from_mode(0o1777)).unwrap();
    let link = trials.join("doctor_00000000");
    // The job's user may write to the file: so it may link to it (protected_hardlinks).
    let job = node.job("dir_1", &format!("ln -L /proc/self/fd/1 {}", link.display()));
    job.ends("exited 0");
    assert_eq!(fs::metadata(&link).unwrap().uid(), Account::batch().uid);
    support::succeeded(&node.sweep().output().unwrap());
}

/// Whether a process has all these words as arguments.
fn runs_with(words: &[&str]) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
        words.iter().all(|word| arguments.contains(&word.as_bytes()))
    })
}

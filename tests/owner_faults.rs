//! `glexec --give` and `--take`: killed, failed and misled at each changing call of all their
//! processes (strace(1)).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::Signal::SIGCONT;
use support::handover::{assert_owner, set_mode, text};
use support::mounts::in_memory;
use support::owner::open_to_write;
use support::owner_calls::{Calls, owners};
use support::snapshot::{Snapshot, set_attribute, set_modified, snapshot};
use support::{Account, failed, is_long, messages, moments, own, variables_of, wait_until, write};

/// The calls that change something on the disk.
const CHANGING: [&str; 14] = [
    "fchownat",
    "fchown",
    "fchmod",
    "fremovexattr",
    "fsetxattr",
    "renameat",
    "renameat2",
    "unlinkat",
    "linkat",
    "symlinkat",
    "utimensat",
    "mkdirat",
    "pwrite64",
    "ftruncate",
];

/// A call in one direction. The tree is at `from`, and its place in the end is `to`.
struct Change<'a> {
    calls: &'a Calls,
    option: &'a str,
    from: PathBuf,
    to: PathBuf,
}

impl Change<'_> {
    fn call(&self) -> Command {
        let other = if self.option == "--give" { "--to" } else { "--exchange" };
        // A give that was killed leaves another mode, if none is named.
        let more: &[&str] = if self.option == "--give" { &["--mode", "750"] } else { &[] };
        self.calls.call(&[(self.option, &self.from), (other, &self.to)], more)
    }

    /// The call below strace(1), which injects something.
    fn injected(&self, log: &Path, call: &str, inject: &str) -> Command {
        let _ = fs::remove_file(log);
        let program = self.call();
        let mut strace = Command::new("strace");
        strace.args(["-u", "gh-batch", "-f", "-q", "-o"]).arg(log);
        strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{inject}")]);
        strace.arg(program.get_program()).args(program.get_args());
        strace.env_clear().envs(variables_of(&program)).current_dir("/").stdin(Stdio::null());
        strace
    }

    /// Where the tree is now.
    fn top(&self) -> &Path {
        if self.from.join("one").exists() { &self.from } else { &self.to }
    }

    /// Makes the call once more. Then the whole tree is its new owner's, and nothing is beside it.
    fn finish(&self, what: &str) {
        let output = self.call().output().unwrap();
        assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""), "{what}");
        let account = if self.option == "--give" { self.calls.user } else { Account::batch() };
        assert_owner(&self.to, account);
        if self.option == "--take" {
            fs::remove_dir(&self.from).unwrap();
        }
        assert_eq!(self.calls.rootless.site.entries(), ["to"], "{what}");
    }
}

/// A tree with something for each kind of change in this direction, at `from`.
fn varied<'a>(calls: &'a Calls, option: &'a str) -> Change<'a> {
    let execute = calls.rootless.site.execute();
    for entry in fs::read_dir(&execute).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let change = Change { calls, option, from: calls.path("from"), to: calls.path("to") };
    let top = calls.empty("from");
    let give = option == "--give";
    for name in ["one", "two"] {
        let directory = top.join(name);
        fs::create_dir(&directory).unwrap();
        write(directory.join("file"), name, 0o640);
        fs::hard_link(directory.join("file"), top.join(format!("{name} again"))).unwrap();
        symlink("file", directory.join("link")).unwrap();
        write(directory.join("program"), name, if give { 0o750 } else { 0o4750 });
        if !give {
            write(directory.join("open"), name, 0o666);
            set_attribute(&directory.join("open"), "user.note", name);
            // Two targets: copies of one target that two calls make are two files.
            let target = if name == "one" { "/etc/hostname" } else { "/etc/passwd" };
            symlink(target, directory.join("out")).unwrap();
        }
    }
    set_times(&top);
    own(&top, if give { Account::batch() } else { calls.user });
    set_mode(&top, 0o750);
    for name in ["one", "two"] {
        if !give {
            set_mode(top.join(name).join("program"), 0o4750);
            let entry = format!("u:{}:r", calls.user.uid);
            support::owner_calls::set_list(&top.join(name).join("program"), &entry);
        }
    }
    if !give {
        calls.empty("to");
    }
    change
}

/// Sets the time of each file below a directory.
fn set_times(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            set_times(&entry.path());
        } else {
            set_modified(&entry.path(), 1_000_000_000, 7);
        }
    }
}

/// The content of each file, but not of links and of what takes their place.
fn contents(top: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = snapshot(top);
    all.retain(|path, entry| entry.kind == "file" && !path.ends_with("out"));
    all.into_iter().map(|(path, entry)| (path, entry.content)).collect()
}

/// What a tree has to be in the end: all but the times of what is copied or was left half done.
fn result(top: &Path) -> Snapshot {
    let mut all = snapshot(top);
    for (path, entry) in &mut all {
        if entry.kind != "file" || path.ends_with("out") {
            entry.modified = (0, 0);
        }
    }
    all
}

/// Lets something happen at each changing call in turn, in both directions, and then makes the same
/// call again. `happens` returns false if the call was not made so often. Returns how often it was.
/// It is each call in a long run, else one of three, and others for another `name`.
fn at_each_call(name: &str, happens: impl Fn(&Change<'_>, &Snapshot, &str, u32) -> bool) -> u32 {
    let calls = Calls::new();
    let (is_tried, mut index) = (moments(3, name), 0);
    let mut tried = 0;
    for option in ["--give", "--take"] {
        let reference = varied(&calls, option);
        reference.finish("reference");
        let expected = result(&reference.to);
        for call in CHANGING {
            for number in 1.. {
                index += 1;
                if !is_tried(index) {
                    continue;
                }
                let change = varied(&calls, option);
                let (before, content) = (snapshot(&change.from), contents(&change.from));
                if !happens(&change, &before, call, number) {
                    break;
                }
                tried += 1;
                let what = format!("{option}: {call} {number}");
                assert_eq!(contents(change.top()), content, "{what}: a file is not whole");
                change.finish(&what);
                let found = result(&change.to);
                let differs = |path: &&PathBuf| found.get(*path) != expected.get(*path);
                let differ: Vec<_> = found
                    .keys()
                    .chain(expected.keys())
                    .filter(differs)
                    .map(|path| (path, found.get(path), expected.get(path)))
                    .collect();
                assert!(differ.is_empty(), "{what}: {differ:?}");
            }
        }
    }
    tried
}

#[test]
fn a_call_that_is_killed_at_any_changing_call_is_finished_by_the_same_call() {
    let kills = at_each_call("killed", |change, _, call, number| {
        let log = change.calls.rootless.site.path().join("log");
        let inject = format!("signal=SIGKILL:when={number}");
        let output = change.injected(&log, call, &inject).output().unwrap();
        if !text(&log).contains("killed by SIGKILL") {
            assert!(output.status.success(), "{}", messages(&output));
            return false;
        }
        // No process of it is left that could go on.
        wait_until("the lease is free", || {
            change.calls.rootless.glexec().arg("/bin/true").output().unwrap().status.success()
        });
        true
    });
    assert!(kills > if is_long() { 40 } else { 8 }, "only {kills} kills");
}

#[test]
fn a_call_in_which_any_changing_call_fails_says_so_and_is_finished_by_the_same_call() {
    let failures = at_each_call("failed", |change, before, call, number| {
        let log = change.calls.rootless.site.path().join("log");
        let inject = format!("error=ENOSPC:when={number}");
        let output = change.injected(&log, call, &inject).output().unwrap();
        if !text(&log).contains("INJECTED") {
            assert!(output.status.success(), "{}", messages(&output));
            return false;
        }
        // What cannot be removed beside the tree is no failure: the next call removes it.
        if !output.status.success() {
            check_failure(change, before, &output, &format!("{call} {number}"));
        }
        true
    });
    assert!(failures > if is_long() { 40 } else { 8 }, "only {failures} failures");
}

/// Fails unless a call has said why it failed, and nothing was changed if it refused, or gives.
fn check_failure(change: &Change<'_>, before: &Snapshot, output: &Output, what: &str) {
    let status = output.status.code().unwrap();
    failed(output, status, &["No space left on device"]);
    assert!([202, 205].contains(&status), "{what}: {status}");
    if change.option == "--give" && !messages(output).contains("finishes it") {
        assert_eq!(&snapshot(&change.from), before, "{what}");
        assert!(owners(&change.from).iter().all(|owner| *owner == Account::batch()), "{what}");
    }
    if status == 205 {
        let owner = if change.option == "--give" { Account::batch() } else { change.calls.user };
        assert!(owners(&change.from).iter().all(|found| *found == owner), "{what}");
    }
}

/// Lets a traced call go on after each of its stops, and waits for its end. `stopped` is called at
/// the stops of the process that changes owners. Returns how many these are.
fn at_each_stop(strace: &mut Child, log: &Path, mut stopped: impl FnMut()) -> u32 {
    let (mut continued, mut stops) = (0, 0);
    wait_until("the call has ended", || {
        let lines = fs::read_to_string(log).unwrap_or_default();
        let pids: Vec<i32> = lines
            .lines()
            .filter(|line| line.ends_with("stopped by SIGSTOP ---"))
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        for pid in &pids[continued..] {
            // One signal continues all threads that were stopped: the process may have ended.
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let group = status.lines().find_map(|line| line.strip_prefix("Tgid:\t")).unwrap();
            // The first process has the lease, and the other one, or a thread of it, the tree.
            let children = text(format!("/proc/{0}/task/{0}/children", strace.id()));
            if children.trim() != group {
                stopped();
                stops += 1;
            }
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), SIGCONT);
        }
        continued = pids.len();
        strace.try_wait().unwrap().is_some()
    });
    stops
}

/// Renames a tree, and puts another one at its name. Returns what that is.
fn put_another(at: &Path, aside: &Path, account: Account) -> (Snapshot, Vec<Account>) {
    fs::rename(at, aside).unwrap();
    fs::create_dir(at).unwrap();
    write(at.join("planted"), "planted", 0o644);
    own(at, account);
    set_mode(at.join("planted"), 0o4755);
    set_mode(at, 0o755);
    (snapshot(at), owners(at))
}

#[test]
fn what_is_put_at_the_name_while_a_directory_is_taken_is_not_changed() {
    let calls = Calls::new();
    let log = calls.rootless.site.path().join("log");
    for (call, number) in [
        ("mkdirat", 1),
        ("mkdirat", 2),
        ("renameat2", 1),
        ("fchown", 1),
        ("fchown", 2),
        ("fchownat", 1),
        ("fchownat", 3),
        ("fchmod", 1),
        ("utimensat", 1),
    ] {
        for planted_owner in [Account::batch(), calls.user] {
            let what = format!("{call} {number}");
            let change = varied(&calls, "--take");
            let content = contents(&change.from);
            let inject = format!("signal=SIGSTOP:when={number}");
            let mut strace = change.injected(&log, call, &inject);
            let mut strace = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // The owner of the parent directory puts another tree there, which no call takes.
            let aside = calls.path("aside");
            let mut planted = None;
            let stops = at_each_stop(&mut strace, &log, || {
                if planted.is_none() {
                    planted = Some(put_another(change.top(), &aside, planted_owner));
                }
            });
            assert!(stops > 0, "{what}");
            let planted = planted.unwrap();
            let output = strace.wait_with_output().unwrap();
            if !output.status.success() {
                failed(&output, 202, &["something else"]);
            }
            // It has one of the two names: put there right after the names were exchanged, it is
            // taken for the cause of what is undone.
            let at = [&change.from, &change.to].into_iter().find(|at| at.join("planted").exists());
            let at = at.expect(&what);
            assert_eq!((snapshot(at), owners(at)), planted, "{what}");
            assert_eq!(contents(&aside), content, "{what}");
            if output.status.success() {
                assert_owner(&aside, Account::batch());
            }
            fs::remove_dir_all(at).unwrap();
            fs::rename(&aside, at).unwrap();
            change.finish(&what);
        }
    }
}

/// Fails unless each entry below a directory is one account's; returns how many there are.
fn counted(top: &Path, account: Account) -> usize {
    let (mut count, mut pending) = (0, vec![top.to_path_buf()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            assert_eq!(Account::of(&entry.path()), account, "{}", entry.path().display());
            count += 1;
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
    count
}

#[test]
#[ignore = "long: scripts/test --long"]
fn calls_for_a_million_files_that_are_killed_at_any_time_are_finished_by_the_same_call() {
    let calls = Calls::new();
    let _mounts = in_memory(&calls.rootless.site, "nr_inodes=3m");
    let top = calls.empty("from");
    for directory in 0..1000 {
        let directory = top.join(directory.to_string());
        fs::create_dir(&directory).unwrap();
        for file in 0..1000 {
            fs::File::create(directory.join(file.to_string())).unwrap();
        }
    }
    write(top.join("written"), "before", 0o644);
    own(&top, Account::batch());
    let mut random = fastrand::Rng::with_seed(17);
    let mut killed = 0;
    for option in ["--give", "--take", "--give", "--take"] {
        for _ in 0..3 {
            let mut child = calls.call(&[(option, &top)], &[]).stdout(Stdio::null()).spawn();
            let child = child.as_mut().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(random.u64(50..2500)));
            let _ = child.kill();
            killed += u32::from(!child.wait().unwrap().success());
            wait_until("the lease is free", || {
                calls.rootless.glexec().arg("/bin/true").output().unwrap().status.success()
            });
        }
        let writer = (option == "--take").then(|| open_to_write(&top.join("written")));
        calls.done(&[(option, &top)], &["--mode", "755"][..if writer.is_none() { 2 } else { 0 }]);
        let account = if option == "--give" { calls.user } else { Account::batch() };
        assert_eq!(counted(&top, account), 1_001_001, "{option}");
        assert_eq!(text(top.join("written")), "before");
        assert_eq!(calls.rootless.site.entries(), ["from"]);
    }
    assert!(killed > 4, "only {killed} were killed");
}

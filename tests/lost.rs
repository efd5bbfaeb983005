//! Nothing is lost: failures, what killed helpers leave, names that another process took, a job
//! that removed its directory.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::OsString;
use std::fs::{self};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use support::attack::IDLE;
use support::handover::{
    CLEANUP, PendingRename, SETUP, assert_is_back, assert_is_handed_over, assert_owner, data, fill,
    filled, handed_over, mode, new_proxy, run, set_mode, text, update,
};
use support::snapshot::{make_fifo, set_modified, snapshot};
use support::{
    Account, PROXY, Site, failed, messages, own, owner, retained, succeeded, variables_of,
    wait_until, write,
};

// A job that removed its directory.

#[test]
fn cleanup_of_a_directory_that_the_job_removed_leaves_the_proxy_alone() {
    let site = Site::new();
    let precious = filled(&site, "precious");
    let before = snapshot(&precious);
    let replace: [PendingRename; 4] = [
        ("gone", &|_| ()),
        ("file", &|path| write(path, "not a directory", 0o644)),
        ("link", &|path| symlink(&precious, path).unwrap()),
        ("fifo", &|path| make_fifo(path)),
    ];
    for (name, replace) in replace {
        let sandbox = handed_over(&site, name);
        let job = Account::of(&sandbox);
        fs::remove_dir_all(&sandbox).unwrap();
        replace(&sandbox);
        if name != "gone" {
            job.owns(&sandbox);
        }
        let output = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
        failed(&output, 1, &["the job removed its directory"]);
        assert_eq!(
            snapshot(&sandbox).into_keys().collect::<Vec<_>>(),
            [Path::new(""), Path::new(PROXY)],
            "{name}"
        );
        assert_eq!(text(sandbox.join(PROXY)), "the proxy\n");
        assert_owner(&sandbox, Account::batch());
        assert_eq!(site.entries().len(), 2, "{name}: {:?}", site.entries());
        site.clean_up(&sandbox);
        fs::remove_dir_all(&sandbox).unwrap();
    }
    assert_eq!(snapshot(&precious), before);
}

#[test]
fn cleanup_does_not_take_another_users_directory_for_the_jobs() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    fs::remove_dir_all(&sandbox).unwrap();
    fs::create_dir(&sandbox).unwrap();
    write(sandbox.join("lure"), "lure", 0o644);
    own(&sandbox, Account::other());
    let before = (snapshot(&sandbox), snapshot(&retained(&sandbox)));
    failed(
        &site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap(),
        1,
        &["belongs to uid"],
    );
    assert_eq!((snapshot(&sandbox), snapshot(&retained(&sandbox))), before);
    assert_eq!(site.entries(), ["s", "s.condor"]);
}

#[test]
fn what_the_job_made_unreadable_comes_back_at_most_wider_for_its_owner() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    for (name, bits) in [
        ("closed", 0),
        ("unlisted", 0o300),
        ("unsearched", 0o600),
        ("read-only", 0o500),
        ("blind", 0o200),
    ] {
        let directory = sandbox.join(name);
        fs::create_dir_all(directory.join("deeper")).unwrap();
        write(directory.join("file"), name, 0o044);
        write(directory.join("deeper/file"), name, 0);
        set_mode(directory.join("deeper"), bits);
        set_mode(directory, bits);
    }
    write(sandbox.join("unreadable"), "content", 0);
    own(&sandbox, Account::job());
    set_mode(&sandbox, 0);
    let before = data(&sandbox);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
    let mut after = data(&sandbox);
    assert!(after.keys().eq(before.keys()));
    for (path, entry) in &mut after {
        let left = &before[path];
        assert_eq!(entry.mode & !0o700, left.mode & !0o700, "{}", path.display());
        assert_eq!(entry.mode & left.mode, left.mode, "{}", path.display());
        entry.mode = left.mode;
    }
    assert_eq!(after, before);
}

// Nothing is lost.

/// Switchers that fail: the script, setup's exit status, and a word of its message.
fn failing(site: &Site) -> Vec<(PathBuf, i32, &'static str)> {
    let scripts = [
        ("201", "exit 201", 2, "client error"),
        ("202", "exit 202", 3, "internal error"),
        ("203", "exit 203", 3, "authorization error"),
        ("126", "exit 126", 2, "could not be executed"),
        ("127", "exit 127", 2, "not found"),
        ("killed", "kill -9 $$", 2, "137"),
        ("hangs", "exec sleep 60", 2, IDLE),
        ("idles", "exit 0", 2, "status 0"),
        ("same-user", r#"exec "$@""#, 2, "as the calling user"),
        ("babbles", "echo babble >&0; sleep 1", 2, "protocol"),
    ];
    let made = scripts.map(|(name, body, status, word)| (site.script(name, body), status, word));
    made.into_iter().chain([(site.path().join("missing"), 2, "missing")]).collect()
}

/// The idle timeout for a switcher of which this word is expected. It is short only if it is what
/// ends the call.
fn idle_of(word: &str) -> &'static str {
    if word == IDLE { "1" } else { "30" }
}

fn ended(output: &Output, status: i32, word: &str, what: &Path) {
    let text = messages(output);
    assert_eq!(output.status.code(), Some(status), "{}: {text}", what.display());
    assert!(
        text.lines().last().is_some_and(|line| line.contains(word)),
        "{}: {text}",
        what.display()
    );
}

#[test]
fn a_setup_that_fails_leaves_the_sandbox_as_it_was_and_nothing_beside_it() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let before = snapshot(&sandbox);
    for (switcher, status, word) in failing(&site) {
        let mut call = site.call(SETUP, &switcher, &sandbox);
        let output = call.env(IDLE, idle_of(word)).output().unwrap();
        ended(&output, status, word, &switcher);
        assert_eq!(snapshot(&sandbox), before, "{}", switcher.display());
        assert_eq!(site.entries(), ["s"], "{}", switcher.display());
        assert_owner(&sandbox, Account::batch());
    }
    site.set_up(&sandbox);
}

#[test]
fn a_cleanup_that_fails_leaves_the_jobs_files_where_they_were_and_the_next_completes() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let (left, before) = (data(&sandbox), snapshot(&sandbox));
    for (switcher, _, word) in failing(&site) {
        let mut call = site.call(CLEANUP, &switcher, &sandbox);
        let output = call.env(IDLE, idle_of(word)).output().unwrap();
        ended(&output, 1, word, &switcher);
        assert_eq!(snapshot(&sandbox), before, "{}", switcher.display());
        assert_is_handed_over(&site, &sandbox, &switcher.to_string_lossy());
    }
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &left, "after a cleanup that works");
}

#[test]
fn a_setup_that_fails_early_has_not_touched_the_sandbox() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    // The walk reaches it after most of the tree: the batch user can neither read it nor change its
    // mode.
    write(sandbox.join("below/root's"), "unreadable", 0o600);
    let touched = || {
        let found = fs::metadata(&sandbox).unwrap();
        (found.ino(), found.ctime(), found.ctime_nsec(), snapshot(&sandbox))
    };
    let before = touched();
    failed(&site.call(SETUP, &site.switcher(), &sandbox).output().unwrap(), 2, &["below/root's"]);
    assert_eq!(touched(), before);
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn cleaning_up_twice_is_harmless() {
    let site = Site::new();
    let (never, sandbox) = (filled(&site, "never"), handed_over(&site, "s"));
    let (untouched, left) = (snapshot(&never), data(&sandbox));
    site.clean_up(&sandbox);
    let first = snapshot(&sandbox);
    site.clean_up(&sandbox);
    site.clean_up(&never);
    assert_eq!((snapshot(&sandbox), data(&sandbox), snapshot(&never)), (first, left, untouched));
    assert_eq!(site.entries(), ["never", "s"]);
}

// The states that a killed helper leaves, built by hand.

/// The entry with a name, and its owner.
#[derive(Clone, Copy)]
enum Part {
    /// The whole data.
    Batch,
    Job,
    /// A part of it: begun or half deleted.
    HalfBatch,
    HalfJob,
    /// The marked directory with the proxy.
    Marked,
    /// The same without the proxy: begun or half deleted.
    MarkedEmpty,
    /// The same with all data, and with a part of it: the sandbox's own directory.
    MarkedData,
    MarkedHalf,
}
use Part::{Batch, HalfBatch, HalfJob, Job, Marked, MarkedData, MarkedEmpty, MarkedHalf};

const CONDOR: &str = ".condor";
/// Temporary names: of the retained directory or the batch user's copy; of the agent's copy; and
/// for an exchange.
const A: &str = ".gh.0000000a";
const B: &str = ".gh.0000000b";
const C: &str = ".gh.0000000c";

type State = (&'static str, &'static [(&'static str, Part)]);

/// Builds a state of the sandbox `s` from a tree of the same data.
fn lay(site: &Site, original: &Path, parts: &[(&str, Part)]) {
    for (suffix, part) in parts {
        let path = site.execute().join(format!("s{suffix}"));
        let account = if matches!(part, Job | HalfJob) { Account::job() } else { Account::batch() };
        match part {
            Batch | Job | MarkedData => {
                _ = run("cp", &["-a".as_ref(), original.as_os_str(), path.as_os_str()])
            }
            _ => fs::create_dir(&path).unwrap(),
        }
        match part {
            HalfBatch | HalfJob => fill(&path),
            MarkedHalf => {
                fill(&path);
                // The sandbox's own proxy can be one that no switcher accepts.
                write(path.join(PROXY), "the proxy\n", 0o644);
            }
            Marked => write(path.join(PROXY), "the proxy\n", 0o600),
            _ => {}
        }
        own(&path, account);
        match part {
            Marked | MarkedEmpty | MarkedData | MarkedHalf => set_mode(&path, 0o1700),
            HalfBatch | HalfJob => set_mode(&path, 0o700),
            _ => {}
        }
    }
}

/// Fails unless a cleanup brings everything back from each of the states, and leaves nothing beside
/// it.
fn restored(states: &[State]) {
    let site = Site::new();
    let original = site.path().join("original");
    fs::rename(filled(&site, "s"), &original).unwrap();
    fs::create_dir(original.join("more")).unwrap();
    write(original.join("more/data"), "that half a copy lacks", 0o640);
    own(&original, Account::batch());
    let expected = data(&original);
    let sandbox = site.execute().join("s");
    let mut wrong = Vec::new();
    for (what, parts) in states {
        lay(&site, &original, parts);
        let output = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
        let alone = output.status.success() && site.entries() == ["s"];
        if !alone || data(&sandbox) != expected || text(sandbox.join(PROXY)) != "the proxy\n" {
            wrong.push(format!("{what}: {:?} {}", site.entries(), messages(&output)));
        } else {
            assert_owner(&sandbox, Account::batch());
        }
        for entry in site.entries() {
            fs::remove_dir_all(site.execute().join(entry)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "not restored:\n{}", wrong.join("\n"));
}

#[test]
fn cleanup_restores_the_sandbox_after_a_setup_that_was_killed() {
    restored(&[
        ("in step 1, before the mark", &[("", Batch), (A, HalfBatch)]),
        ("in step 1, before the proxy", &[("", Batch), (A, MarkedEmpty)]),
        ("in step 1, before the name", &[("", Batch), (A, Marked)]),
        ("after step 1", &[("", Batch), (CONDOR, Marked)]),
        ("in step 2", &[("", Batch), (CONDOR, Marked), (B, HalfJob)]),
        ("after step 2", &[("", Batch), (CONDOR, Marked), (B, Job)]),
        ("after step 3", &[("", Batch), (A, Marked), (B, Job)]),
        ("after step 4", &[(CONDOR, Batch), (A, Marked), (B, Job)]),
        ("after step 4, its agent not", &[(CONDOR, Batch), (A, Marked)]),
        ("after step 5", &[("", Job), (CONDOR, Batch), (A, Marked)]),
        ("after step 6", &[("", Job), (CONDOR, MarkedData), (A, Marked)]),
        ("in step 7", &[("", Job), (CONDOR, MarkedData), (A, Marked), (C, HalfBatch)]),
        ("in step 8", &[("", Job), (CONDOR, MarkedHalf), (A, Marked)]),
        ("at the end of step 8", &[("", Job), (CONDOR, Marked), (A, MarkedEmpty)]),
        ("after step 8", &[("", Job), (CONDOR, Marked)]),
        ("while it was undone", &[("", Batch), (CONDOR, MarkedEmpty)]),
    ]);
}

#[test]
fn cleanup_completes_what_a_killed_cleanup_began() {
    restored(&[
        ("in step 1", &[("", Job), (CONDOR, MarkedHalf), (A, HalfBatch)]),
        ("in step 2", &[("", Job), (CONDOR, MarkedHalf)]),
        ("in step 3", &[("", Job), (CONDOR, MarkedHalf), (C, HalfBatch)]),
        ("after step 3", &[("", Job), (CONDOR, MarkedData)]),
        ("after step 4", &[("", Job), (CONDOR, Batch)]),
        ("after step 5", &[(CONDOR, Batch), (B, Job)]),
        ("after step 5, its agent not", &[(CONDOR, Batch)]),
        ("after step 6", &[("", Batch), (B, Job)]),
        ("in step 7", &[("", Batch), (B, HalfJob)]),
    ]);
}

// Earlier helpers built what came back beside the sandbox, and exchanged it with the retained
// directory.

#[test]
fn cleanup_understands_what_a_killed_setup_left_that_exchanged_names() {
    restored(&[
        ("after its exchange", &[("", Job), (CONDOR, Marked), (A, Batch)]),
        ("while it deleted", &[("", Job), (CONDOR, Marked), (A, HalfBatch)]),
        ("in the middle of an exchange, no name", &[("", Job), (A, Marked), (C, Batch)]),
        ("in the middle of an exchange, both named", &[("", Job), (CONDOR, Marked), (C, Batch)]),
    ]);
}

#[test]
fn cleanup_understands_what_a_killed_cleanup_left_that_exchanged_names() {
    restored(&[
        ("while it copied", &[("", Job), (CONDOR, Marked), (A, HalfBatch)]),
        ("after its copy", &[("", Job), (CONDOR, Marked), (A, Batch)]),
        ("after its exchange", &[("", Job), (CONDOR, Batch), (A, Marked)]),
        ("in the middle of an exchange, no name", &[("", Job), (A, Batch), (C, Marked)]),
        ("after its agent's step", &[(CONDOR, Batch), (A, Marked), (B, Job)]),
        ("the same, its agent not", &[(CONDOR, Batch), (A, Marked)]),
        ("after the last name", &[("", Batch), (A, Marked), (B, Job)]),
        ("while it deleted, the agent first", &[("", Batch), (A, Marked), (B, HalfJob)]),
        ("while it deleted", &[("", Batch), (A, Marked)]),
        ("at its end", &[("", Batch), (A, MarkedEmpty)]),
    ]);
}

#[test]
fn the_mark_tells_the_retained_directory_from_a_sandbox_with_the_sticky_bit() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    set_mode(&sandbox, 0o1700);
    let mut expected = data(&sandbox);
    site.set_up(&sandbox);
    assert_eq!((mode(&retained(&sandbox)), mode(&sandbox)), (0o1700, 0o700));
    site.clean_up(&sandbox);
    expected.get_mut(Path::new("")).unwrap().mode = 0o700;
    assert_is_back(&site, &sandbox, &expected, "there and back");
}

#[test]
fn a_condor_that_is_no_directory_of_the_batch_user_is_an_error_and_is_not_touched() {
    let site = Site::new();
    let precious = filled(&site, "precious");
    let make: [(PendingRename, Account); 5] = [
        (("own-file", &|path| write(path, "a file", 0o600)), Account::batch()),
        (("job-file", &|path| write(path, "a file", 0o600)), Account::job()),
        (("link", &|path| symlink(&precious, path).unwrap()), Account::batch()),
        (("others-directory", &|path| fs::create_dir(path).unwrap()), Account::other()),
        (("jobs-directory", &|path| fs::create_dir(path).unwrap()), Account::job()),
    ];
    for ((name, make), account) in make {
        let sandbox = filled(&site, name);
        let injected = retained(&sandbox);
        make(&injected);
        if name.ends_with("directory") {
            write(injected.join(PROXY), "injected", 0o600);
            set_mode(&injected, 0o1700);
        }
        if name == "link" {
            account.owns(&injected)
        } else {
            own(&injected, account)
        }
        for whose in [Account::batch(), Account::job()] {
            own(&sandbox, whose);
            let before =
                (snapshot(&sandbox), snapshot(&injected), snapshot(&precious), site.entries());
            for helper in [SETUP, CLEANUP] {
                let output = site.call(helper, &site.switcher(), &sandbox).output().unwrap();
                failed(&output, 1, &[&format!("{name}.condor")]);
            }
            let output = update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox)
                .output()
                .unwrap();
            failed(&output, 1, &[&format!("{name}.condor")]);
            assert_eq!(
                (snapshot(&sandbox), snapshot(&injected), snapshot(&precious), site.entries()),
                before,
                "{name}"
            );
            assert_eq!((owner(&sandbox), owner(&injected)), (whose, account), "{name}");
        }
    }
}

#[test]
fn an_unmarked_condor_of_the_batch_users_is_the_data_and_wins() {
    let site = Site::new();
    for left in [Some(Account::job()), None] {
        let sandbox = filled(&site, "s");
        let expected = data(&sandbox);
        fs::rename(&sandbox, retained(&sandbox)).unwrap();
        if let Some(account) = left {
            fs::create_dir(&sandbox).unwrap();
            write(sandbox.join("input"), "not the data", 0o644);
            own(&sandbox, account);
        }
        site.clean_up(&sandbox);
        assert_is_back(&site, &sandbox, &expected, "from .condor");
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

#[test]
fn a_condor_of_the_shell_helpers_is_retained() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let left = data(&sandbox);
    set_mode(retained(&sandbox), 0o700);
    succeeded(
        &update(&site, &site.switcher(), &new_proxy(&site, "the proxy\n"), &sandbox)
            .output()
            .unwrap(),
    );
    assert_is_handed_over(&site, &sandbox, "after update_proxy");
    set_mode(retained(&sandbox), 0o755);
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    set_modified(&sandbox, left[Path::new("")].modified.0, left[Path::new("")].modified.1);
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &left, "after cleanup");
}

#[test]
fn with_a_marked_condor_or_none_the_sandbox_is_the_data_of_any_owner() {
    restored(&[
        ("marked, the batch user's", &[("", Batch), (CONDOR, Marked)]),
        ("marked, the job user's", &[("", Job), (CONDOR, Marked)]),
        ("none, the batch user's", &[("", Batch)]),
        ("none, and a copy begun", &[("", Batch), (A, HalfBatch)]),
    ]);
}

fn is_temporary(name: &str) -> bool {
    let digits = name.strip_prefix("s.gh.").unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn temporary_names_begin_with_the_sandboxs_and_none_is_inside_condor() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    fs::hard_link(sandbox.join("input"), sandbox.join("same")).unwrap();
    own(&sandbox, Account::batch());
    let new = new_proxy(&site, "renewed");
    let log = site.path().join("log");
    let calls = [
        site.call(SETUP, &site.switcher(), &sandbox),
        update(&site, &site.switcher(), &new, &sandbox),
        site.call(CLEANUP, &site.switcher(), &sandbox),
    ];
    let mut made = 0;
    for call in calls {
        let mut traced = Command::new("strace");
        traced
            .args(["-f", "-qq", "-y", "-u", "gh-batch", "-e", "trace=%file", "-o"])
            .arg(&log)
            .arg("--");
        traced
            .arg(call.get_program())
            .args(call.get_args())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null());
        succeeded(&traced.envs(variables_of(&call)).output().unwrap());
        let execute = format!("<{}", site.execute().display());
        for line in text(&log).lines().filter(|line| !line.contains(") = -1 ")) {
            if !["mkdir", "O_CREAT", "rename", "link", "mknod"]
                .iter()
                .any(|word| line.contains(word))
            {
                continue;
            }
            for part in line.split(&execute).skip(1) {
                let Some((directory, rest)) = part.split_once(">, \"") else { continue };
                let name = rest.split('"').next().unwrap();
                let allowed = match directory {
                    "" => ["s", "s.condor"].contains(&name) || is_temporary(name),
                    "/s.condor" => !is_temporary(name),
                    _ => true,
                };
                assert!(allowed, "{line}");
                made += usize::from(is_temporary(name));
            }
        }
    }
    assert!(made >= 5, "temporary names are seen: {made}");
}

/// Makes what killed helpers and agents left, and entries that only look like it; returns the names
/// of the latter.
fn leave(site: &Site) -> [&'static str; 6] {
    let left = [("s.gh.0000000a", Account::batch()), ("s.gh.0000000b", Account::job())];
    let similar = [
        ("s.gh.0000000c", Account::other()),
        ("s.ghost", Account::batch()),
        ("s.gh.mine", Account::batch()),
        ("s.gh.0123456789", Account::job()),
        ("s2.gh.0000000d", Account::batch()),
        ("xs.gh.0000000e", Account::job()),
    ];
    for (name, account) in left.into_iter().chain(similar) {
        let path = site.execute().join(name);
        fs::create_dir(&path).unwrap();
        fill(&path);
        own(&path, account);
        set_mode(path.join("below"), 0);
    }
    similar.map(|(name, _)| name)
}

fn sorted(names: &[&str]) -> Vec<OsString> {
    let mut names: Vec<_> = names.iter().map(OsString::from).collect();
    names.sort();
    names
}

#[test]
fn setup_removes_what_killed_helpers_left_and_nothing_else() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let similar = leave(&site);
    site.set_up(&sandbox);
    assert_eq!(site.entries(), sorted(&[&similar[..], &["s", "s.condor"]].concat()));
}

#[test]
fn cleanup_removes_what_killed_helpers_left_and_nothing_else() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let similar = leave(&site);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), sorted(&[&similar[..], &["s"]].concat()));
}

// A process held at a system call.

/// A switcher that waits, when it is called, until the test lets it continue with the real one.
struct Gate {
    called: PathBuf,
    open: PathBuf,
    switcher: PathBuf,
}

impl Gate {
    fn new(site: &Site) -> Gate {
        let (called, open) = (site.scratch().join("called"), site.scratch().join("open"));
        let body = format!(
            "echo $$ > {called}.new; mv {called}.new {called}
            until [ -e {open} ] || [ ! -e {called} ]; do sleep 0.01; done
            exec {} \"$@\"",
            site.switcher().display(),
            called = called.display(),
            open = open.display()
        );
        Gate { switcher: site.script("gate", &body), called, open }
    }

    /// The process that will become the switcher, and then the agent.
    fn pid(&self) -> u32 {
        wait_until("the switcher is called", || self.called.exists());
        text(&self.called).trim().parse().unwrap()
    }

    fn open(&self) {
        fs::write(&self.open, "").unwrap();
    }
}

/// Holds a process, or what it becomes, before its `count`th system call of this name, until this
/// is dropped.
struct Held(Child);

impl Held {
    fn at(call: &str, count: u32, pid: u32) -> Held {
        let inject = format!("inject={call}:delay_enter=60000000:when={count}");
        let mut tracer = Command::new("strace");
        tracer.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &inject,
        ]);
        let held = Held(
            tracer
                .args(["-p", &pid.to_string()])
                .stderr(Stdio::null())
                .spawn()
                .expect("strace is installed: run ci/provision"),
        );
        let untraced = || text(format!("/proc/{pid}/status")).contains("TracerPid:\t0\n");
        wait_until("strace holds the process", || !untraced());
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The kernel releases a process whose tracer has ended.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn piped(mut call: Command) -> Child {
    call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Another user takes a name in the parent of the sandboxes.
fn take(path: &Path) {
    fs::create_dir(path).unwrap();
    Account::other().owns(path);
}

#[test]
fn a_name_taken_during_setup_leaves_the_data_in_condor_and_says_so() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), filled(&site, "s"));
    let before = snapshot(&sandbox);
    let setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    let publish = Held::at("renameat2", 1, gate.pid());
    gate.open();
    wait_until("the sandbox has gone to .condor", || {
        !sandbox.exists() && retained(&sandbox).join("input").exists()
    });
    take(&sandbox);
    drop(publish);
    failed(&setup.wait_with_output().unwrap(), 2, &["all of it is in", "s.condor"]);
    assert_eq!(snapshot(&retained(&sandbox)), before);
    assert_eq!((owner(&sandbox), snapshot(&sandbox).len()), (Account::other(), 1));
    fs::remove_dir(&sandbox).unwrap();
    let expected = data(&retained(&sandbox));
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &expected, "once the name is free");
}

#[test]
fn a_sandbox_with_the_sticky_bit_is_not_taken_for_the_retained_directory_after_a_kill() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), filled(&site, "s"));
    set_mode(&sandbox, 0o1700);
    let mut expected = data(&sandbox);
    let mut setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    let publish = Held::at("renameat2", 1, gate.pid());
    gate.open();
    wait_until("the sandbox has gone to .condor", || retained(&sandbox).join("input").exists());
    setup.kill().unwrap();
    setup.wait().unwrap();
    site.clean_up(&sandbox);
    drop(publish);
    expected.get_mut(Path::new("")).unwrap().mode = 0o700;
    assert_eq!(data(&sandbox), expected);
    assert_owner(&sandbox, Account::batch());
}

#[test]
fn a_name_taken_during_cleanup_leaves_the_data_in_condor_and_says_so() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), handed_over(&site, "s"));
    let expected = data(&sandbox);
    let cleanup = piped(site.call(CLEANUP, &gate.switcher, &sandbox));
    gate.pid();
    // The next step would give the data its name.
    let naming = Held::at("renameat2", 1, cleanup.id());
    gate.open();
    wait_until("the agent has moved the sandbox away", || !sandbox.exists());
    take(&sandbox);
    drop(naming);
    failed(&cleanup.wait_with_output().unwrap(), 1, &["all of it is in", "s.condor"]);
    assert_eq!(data(&retained(&sandbox)), expected);
    assert_eq!((owner(&sandbox), snapshot(&sandbox).len()), (Account::other(), 1));
    fs::remove_dir(&sandbox).unwrap();
    wait_until("the agent has deleted what it moved away", || {
        !site.entries().iter().any(|name| owner(&site.execute().join(name)) == Account::job())
    });
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &expected, "once the name is free");
}

#[test]
fn an_agent_whose_setup_is_gone_deletes_its_unfinished_copy_and_exits() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), filled(&site, "s"));
    let mut setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    let agent = gate.pid();
    let copying = Held::at("symlinkat", 1, agent);
    gate.open();
    let copies = || {
        let here = site.entries().into_iter().map(|name| site.execute().join(name));
        here.filter(|path| path.exists() && owner(path) == Account::job()).count()
    };
    wait_until("the agent has begun its copy", || copies() > 0);
    setup.kill().unwrap();
    setup.wait().unwrap();
    drop(copying);
    wait_until("the copy is deleted", || copies() == 0);
    // A zombie has an empty command line, too.
    let words = || fs::read(format!("/proc/{agent}/cmdline")).unwrap_or_default();
    wait_until("the agent is gone", || words().is_empty());
    let expected = data(&sandbox);
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &expected, "after cleanup");
}

/// A cleanup that is killed in the middle of its copy.
fn cleanup_killed_while_it_builds(site: &Site, sandbox: &Path) {
    let gate = Gate::new(site);
    let mut cleanup = piped(site.call(CLEANUP, &gate.switcher, sandbox));
    gate.pid();
    let building = Held::at("symlinkat", 1, cleanup.id());
    gate.open();
    wait_until("it has begun to build", || retained(sandbox).join("input").exists());
    cleanup.kill().unwrap();
    // A tracer gets the exit status before the parent.
    drop(building);
    cleanup.wait().unwrap();
}

#[test]
fn recover_brings_back_what_a_cleanup_of_a_starters_has_left_that_was_killed_while_it_copied() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let expected = data(&sandbox);
    cleanup_killed_while_it_builds(&site, &sandbox);
    let mut recover = site.helper("condor_glexec_pilot");
    succeeded(
        &recover.args(["recover", "--glexec"]).arg(site.switcher()).arg(&sandbox).output().unwrap(),
    );
    assert_is_back(&site, &sandbox, &expected, "by recover");
}

#[test]
fn recover_brings_back_what_is_left_when_setups_child_was_killed_at_its_last_step() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let expected = data(&sandbox);
    let emptied = site.execute().join(format!("s{A}"));
    fs::create_dir(&emptied).unwrap();
    own(&emptied, Account::batch());
    set_mode(&emptied, 0o1700);
    let mut recover = site.helper("condor_glexec_pilot");
    succeeded(
        &recover.args(["recover", "--glexec"]).arg(site.switcher()).arg(&sandbox).output().unwrap(),
    );
    assert_is_back(&site, &sandbox, &expected, "by recover");
}

#[test]
fn a_cleanup_that_is_given_another_proxys_name_changes_nothing() {
    let site = Site::new();
    for removed in [false, true] {
        let name = if removed { "removed" } else { "there" };
        let sandbox = handed_over(&site, name);
        if removed {
            fs::remove_dir_all(&sandbox).unwrap();
        }
        let before = snapshot(&retained(&sandbox));
        let mut cleanup = site.helper(CLEANUP);
        let cleanup = cleanup.arg(site.switcher()).arg("another").arg(&sandbox).args(["0", "0"]);
        failed(&cleanup.output().unwrap(), 1, &["another"]);
        assert_eq!(snapshot(&retained(&sandbox)), before, "{name}");
    }
}

// Two helpers at once.

#[test]
fn a_second_cleanup_leaves_the_first_alone_and_no_file_is_lost() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), handed_over(&site, "s"));
    let expected = data(&sandbox);
    let first = piped(site.call(CLEANUP, &gate.switcher, &sandbox));
    gate.pid();
    let building = Held::at("symlinkat", 1, first.id());
    gate.open();
    wait_until("the first has begun to build", || retained(&sandbox).join("input").exists());
    let mut second = site.call(CLEANUP, &site.switcher(), &sandbox);
    failed(&second.env(IDLE, "1").output().unwrap(), 1, &["another helper works on it"]);
    drop(building);
    succeeded(&first.wait_with_output().unwrap());
    assert_is_back(&site, &sandbox, &expected, "by the first");
}

#[test]
fn a_cleanup_beside_a_setup_leaves_it_alone_and_no_file_is_lost() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), filled(&site, "s"));
    let expected = data(&sandbox);
    let setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    gate.pid();
    // The mark is about to be set; without it, the retained directory is complete data beside the
    // job's.
    let marks = Held::at("fchmod", 1, setup.id());
    gate.open();
    wait_until("the copy is published", || sandbox.exists() && owner(&sandbox) != Account::batch());
    let mut cleanup = site.call(CLEANUP, &site.switcher(), &sandbox);
    failed(&cleanup.env(IDLE, "1").output().unwrap(), 1, &["another helper works on it"]);
    drop(marks);
    succeeded(&setup.wait_with_output().unwrap());
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &expected, "once the setup is over");
}

#[test]
fn a_setup_is_refused_while_a_cleanup_works_on_the_sandbox() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), handed_over(&site, "s"));
    let expected = data(&sandbox);
    let cleanup = piped(site.call(CLEANUP, &gate.switcher, &sandbox));
    gate.pid();
    // The entry that it removes last, when the sandbox has its name again.
    let removes = Held::at("unlinkat", 1, cleanup.id());
    gate.open();
    wait_until("the sandbox is back", || sandbox.exists() && owner(&sandbox) == Account::batch());
    let setup = site.call(SETUP, &site.switcher(), &sandbox).output().unwrap();
    failed(&setup, 2, &["another helper works on it"]);
    drop(removes);
    succeeded(&cleanup.wait_with_output().unwrap());
    assert_is_back(&site, &sandbox, &expected, "after cleanup");
}

#[test]
fn where_helpers_cannot_see_each_other_none_removes_what_another_has_brought_back() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), handed_over(&site, "s"));
    let expected = data(&sandbox);
    // It can be searched and written to, but not listed.
    set_mode(site.execute(), 0o1733);
    let first = piped(site.call(CLEANUP, &gate.switcher, &sandbox));
    gate.pid();
    let building = Held::at("symlinkat", 1, first.id());
    gate.open();
    wait_until("the first has begun to build", || retained(&sandbox).join("input").exists());
    site.clean_up(&sandbox);
    drop(building);
    failed(&first.wait_with_output().unwrap(), 1, &["another helper works on this sandbox"]);
    let mut back = data(&sandbox);
    back.insert(PathBuf::new(), expected[Path::new("")].clone());
    assert_eq!(back, expected);
}

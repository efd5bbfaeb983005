//! Real accounts and the real switcher: a complete job as the job user, from setup to cleanup.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use support::families::Target;
use support::installation::Installation;
use support::job::{Job, prepared, run};
use support::keys::{KEY, with_a_key};
use support::snapshot::snapshot;
use support::starter::Starter;
use support::{
    Account, PROXY, Site, failed, is_rootless, own, owner, program, retained, stays_above,
    succeeded, wait_until, write,
};

/// Runs a job to its end; returns run's status, and what the job wrote.
fn ran(
    site: &Site,
    sandbox: &Path,
    environment: &[u8],
    job: &[impl AsRef<OsStr>],
) -> (Option<i32>, Vec<u8>) {
    let mut starter = Starter::start(run(site, &site.switcher(), sandbox, job));
    let path = site.path().join("output");
    let (null, output) = (File::open("/dev/null").unwrap(), File::create(&path).unwrap());
    let error = starter.launch(environment, [&null, &output, &output]);
    assert_eq!(String::from_utf8_lossy(&error), "");
    (Some(starter.status()), fs::read(path).unwrap())
}

/// kill of a process through a switcher.
fn kill(site: &Site, switcher: &Path, sandbox: &Path, pid: u32, signal: &str) -> Output {
    let mut kill = site.helper("condor_glexec_kill");
    kill.arg(switcher)
        .arg(retained(sandbox).join(PROXY))
        .arg(pid.to_string())
        .args([signal, "0", "0"]);
    kill.output().unwrap()
}

/// Renews the proxy of a sandbox through the real switcher.
fn refresh(site: &Site, sandbox: &Path, content: &str) {
    let new = site.scratch().join("new");
    write(&new, content, 0o600);
    Account::batch().owns(&new);
    let mut update = site.helper("condor_glexec_update_proxy");
    succeeded(&update.arg(site.switcher()).arg(new).arg(PROXY).arg(sandbox).output().unwrap());
}

/// A process of an account.
fn sleeping(account: Account) -> Child {
    account.command("/bin/sleep").arg("60").spawn().unwrap()
}

/// Fails unless a run ends with status 1 and a line with these words, and sends nothing to the
/// starter.
fn refused(mut run: Command, words: &[&str]) {
    run.stderr(Stdio::piped());
    let mut starter = Starter::start(run);
    let mut received = Vec::new();
    starter.socket.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"", "the wrapper was started");
    failed(&starter.child.wait_with_output().unwrap(), 1, words);
}

#[test]
fn setup_gives_the_sandbox_to_the_job_user_and_keeps_only_the_proxy() {
    let site = Site::new();
    let sandbox = prepared(&site);
    assert_eq!(owner(&sandbox), Account::job());
    assert_eq!(owner(&retained(&sandbox)), Account::batch());
    assert_eq!(snapshot(&retained(&sandbox)).len(), 2);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn the_job_runs_as_the_job_user_in_the_sandbox() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let script = "id -u; pwd -P; echo made > made";
    let (status, output) = ran(&site, &sandbox, b"PATH=/bin:/usr/bin", &["/bin/sh", "-c", script]);
    let expected = format!("{}\n{}\n", Account::job().uid, sandbox.display());
    assert_eq!((status, String::from_utf8(output).unwrap()), (Some(0), expected));
    site.clean_up(&sandbox);
    assert_eq!(fs::read(sandbox.join("made")).unwrap(), b"made\n");
}

#[test]
fn runs_status_is_the_jobs() {
    let site = Site::new();
    let sandbox = prepared(&site);
    // A switcher that stays above the job says 204 for a status that it uses itself.
    let ambiguous = if stays_above() { 204 } else { 203 };
    for (script, status) in [
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("kill $$", 143),
        ("exit 200", 200),
        ("exit 203", ambiguous),
    ] {
        assert_eq!(
            ran(&site, &sandbox, b"A=1", &["/bin/sh", "-c", script]).0,
            Some(status),
            "{script}"
        );
    }
}

#[test]
fn no_file_carries_the_status_and_nothing_is_written_through_a_link_that_has_the_name_of_one() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let kept = site.scratch().join("kept");
    write(&kept, "the batch user's", 0o600);
    Account::batch().owns(&kept);
    let found = || {
        fs::metadata(&kept).map(|found| (found.ino(), found.mtime(), found.mtime_nsec())).unwrap()
    };
    let before = found();
    // The file to which the shell helpers wrote the status: in the sandbox, and beside it, where
    // the job could make it.
    let make =
        r#"/bin/ln -s "$0" _condor_glexec_rc && /bin/ln -s "$0" ../_condor_glexec_rc && exit 7"#;
    let (status, _) =
        ran(&site, &sandbox, b"A=1", &["/bin/sh", "-c", make, kept.to_str().unwrap()]);
    assert_eq!(status, Some(7));
    let mut target = Target::start(&sandbox);
    succeeded(&kill(&site, &site.switcher(), &sandbox, target.pid, "KILL"));
    assert_eq!(target.killed_by(), 9);
    refresh(&site, &sandbox, "the new proxy\n");
    let mut refused = site.call("condor_glexec_cleanup", &site.switcher(), &sandbox);
    site.forbid(&mut refused);
    assert_eq!(refused.output().unwrap().status.code(), Some(1));
    site.clean_up(&sandbox);
    assert_eq!((fs::read(&kept).unwrap(), found()), (b"the batch user's".to_vec(), before));
    assert!(
        fs::symlink_metadata(sandbox.join("_condor_glexec_rc")).is_err(),
        "the job could not read the file"
    );
    assert!(fs::symlink_metadata(site.execute().join("_condor_glexec_rc")).unwrap().is_symlink());
}

#[test]
fn run_keeps_its_process_id() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let job = Job::start(&site, &sandbox, "read end");
    if !stays_above() {
        assert_eq!(
            job.pid,
            job.starter.child.id(),
            "run, the adapter and sudo have each become the next, and then the job"
        );
        return;
    }
    let command = fs::read(format!("/proc/{}/cmdline", job.starter.child.id())).unwrap();
    let switcher = site.switcher();
    assert!(
        command.split(|byte| *byte == 0).any(|word| word == switcher.as_os_str().as_bytes()),
        "{command:?}"
    );
}

#[test]
fn what_fails_behind_the_switcher_ends_with_1() {
    let site = Site::new();
    let sandbox = prepared(&site);
    // In the wrapper,
    let mut starter = Starter::start(run(&site, &site.switcher(), &sandbox, &["/does/not/exist"]));
    let null = File::open("/dev/null").unwrap();
    assert_ne!(starter.launch(b"A=1", [&null, &null, &null]), b"");
    assert_eq!(starter.wait().code(), Some(1));
    // and before it.
    fs::remove_dir_all(&sandbox).unwrap();
    refused(
        run(&site, &site.switcher(), &sandbox, &["/bin/true"]),
        &["enter the sandbox", "ENOENT"],
    );
}

#[test]
fn arguments_reach_the_job_as_they_are() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let words: [&[u8]; 8] = [
        b"/bin/sh",
        b"-c",
        b"cat /proc/$$/cmdline",
        b"",
        b"--help",
        b"a\nb",
        b"\xff '$(id)\"",
        b"",
    ];
    let job = words.map(OsStr::from_bytes);
    let expected = words.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect::<Vec<u8>>();
    assert_eq!(ran(&site, &sandbox, b"PATH=/bin", &job), (Some(0), expected));
}

/// The variables of a process, from /proc.
fn variables(environ: &[u8]) -> Vec<&[u8]> {
    let all = environ.strip_suffix(b"\0").expect("strings").split(|byte| *byte == 0);
    all.filter(|entry| !entry.starts_with(b"SUDO_COMMAND=")).collect()
}

#[test]
fn the_environment_is_the_switchers_and_the_starters_and_nothing_else() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let long = vec![b'x'; 100_000];
    let sent: Vec<Vec<u8>> = vec![
        b"EMPTY=".to_vec(),
        b"QUOTES=it's \"so\"".to_vec(),
        b"LINES=a\nb\n".to_vec(),
        b"BYTES=\xff\x01=".to_vec(),
        [b"A=", &long[..]].concat(),
        [b"B=", &long[..]].concat(),
        [b"C=", &long[..]].concat(),
        [b"D=", &long[..]].concat(),
    ];
    let quoted = |entry: &Vec<u8>| {
        let doubled =
            entry.iter().flat_map(|byte| if *byte == b'\'' { vec![b'\''; 2] } else { vec![*byte] });
        [b"'", &doubled.collect::<Vec<_>>()[..], b"' "].concat()
    };
    let text = [
        &b"CONDOR_PRIVATE_KEY=secret _GLEXEC_HELPERS_FAMILY=forged "[..],
        &sent.iter().flat_map(quoted).collect::<Vec<_>>(),
    ];
    let print = ["/bin/cat", "/proc/self/environ"];
    let (status, found) = ran(&site, &sandbox, &text.concat(), &print);

    let mut alone = Account::batch().command(site.switcher());
    alone.args(print).env_clear().env("GLEXEC_SUDO_MAP", support::MAP).env("LC_ALL", "C");
    alone.env("GLEXEC_STATE_DIR", site.leases()).env("PATH", "/usr/bin:/bin");
    let given =
        alone.env("GLEXEC_CLIENT_CERT", retained(&sandbox).join(PROXY)).output().unwrap().stdout;
    let mut expected = variables(&given);
    expected.extend(sent.iter().map(|entry| &entry[..]));
    expected.sort_unstable();
    let mark = format!("_GLEXEC_HELPERS_FAMILY={}", retained(&sandbox).display());
    let mut found = variables(&found);
    assert_eq!((status, found.pop()), (Some(0), Some(mark.as_bytes())), "the mark comes last");
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn the_callers_keys_do_not_reach_the_job() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let mut call = run(&site, &site.switcher(), &sandbox, &["/bin/cat", "/proc/keys"]);
    with_a_key(&mut call);
    let mut starter = Starter::start(call);
    let path = site.path().join("output");
    let (null, output) = (File::open("/dev/null").unwrap(), File::create(&path).unwrap());
    assert_eq!(starter.launch(b"A=1", [&null, &output, &output]), b"");
    assert_eq!(starter.wait().code(), Some(0));
    let shown = fs::read_to_string(path).unwrap();
    assert!(shown.contains("_ses") && !shown.contains(KEY), "{shown}");
}

#[test]
fn the_family_mark_is_the_real_path_of_the_retained_directory() {
    let site = Site::new();
    let sandbox = prepared(&site);
    symlink(site.execute(), site.path().join("detour")).unwrap();
    let job = ["/bin/sh", "-c", "echo $_GLEXEC_HELPERS_FAMILY"];
    let (status, output) = ran(&site, &site.path().join("detour/s"), b"A=1", &job);
    assert_eq!(
        (status, output),
        (Some(0), format!("{}\n", retained(&sandbox).display()).into_bytes())
    );
}

#[test]
fn the_job_has_the_three_descriptors_and_no_other() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let script = "cat; echo to the error >&2; ls /proc/$$/fd";
    let mut starter =
        Starter::start(run(&site, &site.switcher(), &sandbox, &["/bin/sh", "-c", script]));
    let paths = ["input", "output", "error"].map(|name| site.path().join(name));
    write(&paths[0], "from the input\n", 0o600);
    let input = File::open(&paths[0]).unwrap();
    let [output, error] = [&paths[1], &paths[2]].map(|path| File::create(path).unwrap());
    assert_eq!(starter.launch(b"PATH=/bin", [&input, &output, &error]), b"");
    assert_eq!(starter.wait().code(), Some(0));
    let [output, error] = [&paths[1], &paths[2]].map(|path| fs::read_to_string(path).unwrap());
    assert_eq!((output.as_str(), error.as_str()), ("from the input\n0\n1\n2\n", "to the error\n"));
}

#[test]
fn kill_ends_a_job() {
    let site = Site::new();
    let sandbox = prepared(&site);
    for (signal, status) in [("9", 137), ("TERM", 143), ("SIGINT", 130)] {
        let job = Job::start(&site, &sandbox, "read end");
        succeeded(&kill(&site, &site.switcher(), &sandbox, job.pid, signal));
        assert_eq!(job.status(), Some(status), "{signal}");
    }
}

#[test]
fn a_job_that_is_stopped_goes_on_when_it_is_continued() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let mut job = Job::start(&site, &sandbox, "exec cat");
    job.write_line("before");
    assert_eq!(job.read_line(), "before");
    succeeded(&kill(&site, &site.switcher(), &sandbox, job.pid, "STOP"));
    wait_until("the job is stopped", || job.state() == 'T');
    job.write_line("after");
    assert_eq!(job.state(), 'T');
    succeeded(&kill(&site, &site.switcher(), &sandbox, job.pid, "CONT"));
    assert_eq!(job.read_line(), "after");
    job.stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(job.status(), Some(0));
}

#[test]
fn a_running_job_sees_the_new_proxy() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let mut job = Job::start(&site, &sandbox, &format!("read go; exec cat {PROXY}"));
    refresh(&site, &sandbox, "the new proxy\n");
    job.write_line("go");
    assert_eq!(job.read_line(), "the new proxy");
    assert_eq!(job.status(), Some(0));
    site.clean_up(&sandbox);
    assert_eq!(fs::read(sandbox.join(PROXY)).unwrap(), b"the new proxy\n");
}

#[test]
fn a_switcher_that_leads_to_another_user_is_refused_before_the_job_runs() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let mut run = run(&site, &site.switcher(), &sandbox, &["/bin/true"]);
    let (owned, other) =
        (Account::job().uid.to_string(), site.map_to_another_user(&mut run).uid.to_string());
    // A user namespace shows one id for all users that it does not map.
    let shown = if is_rootless() { "65534" } else { &owned };
    refused(run, &[&sandbox.display().to_string(), shown, &other]);
    let mut cleanup = site.call("condor_glexec_cleanup", &site.switcher(), &sandbox);
    site.map_to_another_user(&mut cleanup);
    failed(&cleanup.output().unwrap(), 1, &[&owned, &other]);
    assert_eq!(owner(&sandbox), Account::job());
    site.clean_up(&sandbox);
}

#[test]
fn a_cleanup_that_is_led_to_another_account_ends_none_of_its_processes() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let mut cleanup = site.call("condor_glexec_cleanup", &site.switcher(), &sandbox);
    let mut bystander = sleeping(site.map_to_another_user(&mut cleanup));
    let output = cleanup.env("GLEXEC_HELPERS_CLEANUP", "account").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(bystander.try_wait().unwrap().is_none(), "another account's process was ended");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert_eq!(owner(&sandbox), Account::job());
    site.clean_up(&sandbox);
}

#[test]
fn a_switcher_that_does_not_change_the_user_is_noticed() {
    let site = Site::new();
    let switcher = site.script("no-change", r#"exec "$@""#);
    let sandbox = site.sandbox("s");
    let before = snapshot(&sandbox);
    let setup = site.call("condor_glexec_setup", &switcher, &sandbox).output().unwrap();
    failed(&setup, 2, &["the calling user"]);
    assert_eq!((snapshot(&sandbox), site.entries()), (before, vec!["s".into()]));
    let mut other = sleeping(Account::job());
    failed(&kill(&site, &switcher, &sandbox, other.id(), "9"), 2, &["the calling user"]);
    assert_eq!(other.try_wait().unwrap(), None, "it was not killed");
    other.kill().unwrap();
    other.wait().unwrap();
    site.set_up(&sandbox);
    let batch = Account::batch().uid.to_string();
    refused(run(&site, &switcher, &sandbox, &["/bin/true"]), &["belongs to uid", &batch]);
}

#[test]
fn the_agent_does_nothing_as_root() {
    let site = Site::new();
    let sandbox = prepared(&site);
    let mut victim = sleeping(Account::job());
    let (path, pid) = (sandbox.to_str().unwrap(), victim.id().to_string());
    for operation in [
        &["serve", path][..],
        &["enter", path, "family", "/bin/true"],
        &["signal", "1", &pid, "9"],
        &["hunt", "1", &pid, "9", "0", "15", "mark"],
        &["watch", "1", &pid, "mark"],
        &["hunt-account", "1", "9", "0", "ignore"],
    ] {
        let output = Command::new(program("condor_glexec_agent"))
            .args(operation)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        failed(&output, 1, &["runs commands as root"]);
    }
    assert_eq!(victim.try_wait().unwrap(), None, "it was not killed");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn a_sandbox_of_the_shell_helpers_can_be_used() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    write(sandbox.join("input"), "input\n", 0o644);
    own(&sandbox, Account::job());
    fs::create_dir(retained(&sandbox)).unwrap();
    fs::set_permissions(retained(&sandbox), Permissions::from_mode(0o700)).unwrap();
    write(retained(&sandbox).join(PROXY), "the proxy\n", 0o600);
    own(&retained(&sandbox), Account::batch());

    let mut job = Job::start(&site, &sandbox, "cat input; read end");
    assert_eq!(job.read_line(), "input");
    refresh(&site, &sandbox, "renewed\n");
    assert_eq!(fs::read(sandbox.join(PROXY)).unwrap(), b"renewed\n");
    succeeded(&kill(&site, &site.switcher(), &sandbox, job.pid, "9"));
    assert_eq!(job.status(), Some(137));
    site.clean_up(&sandbox);
    assert_eq!((owner(&sandbox), site.entries()), (Account::batch(), vec!["s".into()]));
    assert_eq!(fs::read(sandbox.join("input")).unwrap(), b"input\n");
    assert_eq!(fs::read(sandbox.join(PROXY)).unwrap(), b"renewed\n");
}

#[test]
fn what_sudo_says_is_passed_on_and_not_tried_again() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let mut call = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
    let map = site.path().join("no rule");
    write(&map, "gh-batch gh-other\n", 0o644);
    failed(
        &call.env("GLEXEC_SUDO_MAP", map).output().unwrap(),
        2,
        &["glexec-sudo: the switcher, or", "status 1: sudo: "],
    );
}

#[test]
fn an_error_names_the_settings_where_sudo_withholds_the_socket() {
    let site = Site::new();
    let logs = site.path().join("input");
    let installation =
        Installation::with_sudo_setting(&site, &format!("log_input, iolog_dir={}", logs.display()));
    let sandbox = site.sandbox("s");
    let before = snapshot(&sandbox);
    let setup = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
    let output = installation.own(&setup).output().unwrap();
    failed(&output, 2, &["use_pty", "log_input"]);
    assert_eq!((snapshot(&sandbox), site.entries()), (before, vec!["s".into()]));
    site.set_up(&sandbox);
    let run = run(&site, &site.switcher(), &sandbox, &["/bin/true"]);
    refused(installation.own(&run), &["use_pty", "log_input"]);
}

#[test]
fn every_command_of_a_job_works_with_descriptors_0_to_2_closed() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let proxy = retained(&sandbox).join(PROXY);
    let new = site.scratch().join("new");
    write(&new, "another proxy\n", 0o600);
    Account::batch().owns(&new);
    let done = |name: &str, words: &[&OsStr]| {
        let mut shell = Account::batch().command("/bin/sh");
        shell
            .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
            .arg(program(name))
            .arg(site.switcher())
            .args(words);
        shell.env("GLEXEC_SUDO_MAP", support::MAP).env("GLEXEC_STATE_DIR", site.leases());
        assert_eq!(shell.status().unwrap().code(), Some(0), "{name}");
    };
    let [name, retries, pause] = [PROXY, "2", "0"].map(OsStr::new);
    done("condor_glexec_setup", &[name, sandbox.as_os_str(), retries, pause]);
    let mut target = Target::start(&sandbox);
    let pid = target.pid.to_string();
    done(
        "condor_glexec_kill",
        &[proxy.as_os_str(), OsStr::new(&pid), OsStr::new("KILL"), retries, pause],
    );
    assert_eq!(target.killed_by(), 9);
    done("condor_glexec_update_proxy", &[new.as_os_str(), name, sandbox.as_os_str()]);
    done("condor_glexec_cleanup", &[name, sandbox.as_os_str(), retries, pause]);
    assert_eq!(fs::read_to_string(sandbox.join(PROXY)).unwrap(), "another proxy\n");
}

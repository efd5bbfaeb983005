//! The system calls of the programs: properties in races and on old kernels that a result alone
//! cannot show. strace(1), as root, follows the helpers through sudo.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::families::{Target, pid_here};
use support::installation::install;
use support::snapshot::{set_attribute, snapshot};
use support::starter::Starter;
use support::{
    Account, PROXY, Site, as_job, messages, own, owner, program, retained, succeeded, variables_of,
    wait_until, write,
};

/// A command under strace, which follows every process that it starts and writes the calls of each
/// to a file in `log`.
fn traced(call: &Command, log: &Path, expressions: &[&str]) -> Command {
    let _ = fs::create_dir(log);
    let mut command = Command::new("strace");
    command.args(["-u", "gh-batch", "-ff", "-q", "-v", "-s", "4096", "-o"]).arg(log.join("pid"));
    for expression in expressions {
        command.args(["-e", expression]);
    }
    command.arg(call.get_program()).args(call.get_args()).current_dir("/").stdin(Stdio::null());
    command.env_clear().envs(variables_of(call));
    command
}

/// The calls of one process, line by line.
fn traces(log: &Path) -> Vec<Vec<String>> {
    let entries = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect())
        .collect()
}

/// The program that a line of a trace executes.
fn executed(line: &str) -> Option<&str> {
    line.strip_suffix(" = 0")?.strip_prefix("execve(\"")?.split('"').next()
}

/// The programs that were executed in any process.
fn all_executed(log: &Path) -> Vec<String> {
    let lines = traces(log).into_iter().flatten();
    let mut all: Vec<String> =
        lines.filter_map(|line| executed(&line).map(str::to_owned)).collect();
    all.sort();
    all.dedup();
    all
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn agent() -> String {
    text(program("condor_glexec_agent"))
}

fn wrapper() -> String {
    text(program("condor_glexec_job_wrapper"))
}

/// A call of run for a job in a sandbox that is set up.
fn run(site: &Site, switcher: &Path, sandbox: &Path, job: &[&str]) -> Command {
    let mut run = site.helper("condor_glexec_run");
    run.arg(switcher).arg(PROXY).arg(sandbox).arg(wrapper()).args(["-", "-", "-"]).args(job);
    run
}

/// A call of kill for a process through the real switcher.
fn kill(site: &Site, sandbox: &Path, pid: u32, signal: &str) -> Command {
    let mut kill = site.helper("condor_glexec_kill");
    kill.arg(site.switcher())
        .arg(retained(sandbox).join(PROXY))
        .arg(pid.to_string())
        .args([signal, "0", "0"]);
    kill
}

/// Acts as the starter until the job is executed.
fn started(command: Command) -> Starter {
    let mut starter = Starter::start(command);
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"A=1", [&null, &null, &null]), b"");
    starter
}

/// A sandbox with every kind of entry that is transferred.
fn filled(site: &Site, name: &str) -> PathBuf {
    let sandbox = site.sandbox(name);
    fs::create_dir_all(sandbox.join("d/e/empty")).unwrap();
    write(sandbox.join("d/data"), "data", 0o640);
    set_attribute(&sandbox.join("d/data"), "user.note", "x");
    fs::hard_link(sandbox.join("d/data"), sandbox.join("d/e/again")).unwrap();
    symlink("../hole", sandbox.join("d/to the hole")).unwrap();
    symlink("d", sandbox.join("link")).unwrap();
    File::create(sandbox.join("hole")).unwrap().set_len(1 << 16).unwrap();
    own(&sandbox, Account::batch());
    sandbox
}

#[test]
fn run_becomes_the_switcher_and_the_wrapper_becomes_the_job() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    let (switcher, log) = (site.switcher(), site.path().join("log"));
    let call = run(&site, &switcher, &sandbox, &["/bin/true"]);
    let mut starter = started(traced(&call, &log, &["trace=execve,clone,clone3,fork,vfork"]));
    assert!(starter.wait().success());
    let expected = [
        format!("execve {}", text(program("condor_glexec_run"))),
        format!("execve {}", text(&switcher)),
        "execve /usr/bin/sudo".to_owned(),
        format!("execve {}", agent()),
        format!("execve {}", wrapper()),
        "execve /bin/true".to_owned(),
    ];
    let all = traces(&log);
    let ours = all
        .iter()
        .find(|lines| lines.iter().any(|line| executed(line) == Some("/bin/true")))
        .unwrap();
    // In one process from beginning to end; only sudo itself starts others.
    let mut is_sudo = false;
    let mut steps = Vec::new();
    for line in ours.iter().filter(|line| !line.starts_with("+++")) {
        match executed(line) {
            Some(program) => {
                is_sudo = program == "/usr/bin/sudo";
                steps.push(format!("execve {program}"));
            }
            None if is_sudo => {}
            None => steps.push(line.clone()),
        }
    }
    assert_eq!(steps, expected);
}

/// The programs that the switchers themselves execute: the adapter becomes sudo, which asks PAM
/// whether the account is valid.
const OF_SWITCHERS: [&str; 4] =
    ["/usr/bin/sudo", "/usr/sbin/unix_chkpwd", "/usr/bin/newuidmap", "/usr/bin/newgidmap"];

#[test]
fn nothing_but_the_agent_and_no_shell_is_started_by_a_helper() {
    let site = Site::new().copying();
    // A name that a shell would misread.
    let sandbox = site.sandbox("s '$(id)`id`; x* \\");
    let new = site.scratch().join("new");
    write(&new, "new\n", 0o600);
    Account::batch().owns(&new);
    let mut update = site.helper("condor_glexec_update_proxy");
    update.arg(site.switcher()).arg(&new).arg(PROXY).arg(&sandbox);
    let setup = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
    let check = |number: usize, call: &Command| {
        let log = site.path().join(format!("log{number}"));
        succeeded(&traced(call, &log, &["trace=execve"]).output().unwrap());
        let mut expected = vec![text(call.get_program()), text(site.switcher()), agent()];
        expected.sort();
        let mut found = all_executed(&log);
        found.retain(|path| !OF_SWITCHERS.contains(&path.as_str()));
        assert_eq!(found, expected);
    };
    check(0, &setup);
    let mut target = Target::start(&sandbox);
    let calls = [
        update,
        kill(&site, &sandbox, target.pid, "9"),
        site.call("condor_glexec_cleanup", &site.switcher(), &sandbox),
    ];
    for (number, call) in calls.iter().enumerate() {
        check(number + 1, call);
    }
    assert_eq!(target.killed_by(), 9);
    // One argument, unchanged: setup's call is the first log.
    let lines = traces(&site.path().join("log0")).concat();
    let quoted = text(&sandbox).replace('\\', "\\\\");
    let call = format!("\", [\"{}\", \"serve\", \"{quoted}\"]", agent());
    assert!(
        lines.iter().any(|line| line.starts_with("execve") && line.contains(&call)),
        "{call} in {lines:#?}"
    );
}

#[test]
fn the_agent_is_the_one_beside_the_running_helper() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let elsewhere = site.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    install(program("condor_glexec_setup"), elsewhere.join("setup"));
    let switcher = site.script("tell", "echo \"$1\" >&2; exit 5");
    let mut call = Account::batch().command(elsewhere.join("setup"));
    let output = call.arg(switcher).arg(PROXY).arg(&sandbox).args(["0", "0"]).output().unwrap();
    support::failed(&output, 2, &[&text(elsewhere.join("condor_glexec_agent"))]);
}

#[test]
fn run_writes_nothing_to_descriptor_0() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let silent = site.script("silent", "exec >&- 2>&-; exit 9");
    let usage = site.helper("condor_glexec_run");
    let missing = run(&site, &site.path().join("missing"), &sandbox, &["/bin/true"]);
    for (mut call, status) in
        [(usage, 1), (missing, 127), (run(&site, &silent, &sandbox, &["/bin/true"]), 9)]
    {
        call.stderr(Stdio::piped());
        let mut starter = Starter::start(call);
        let mut bytes = Vec::new();
        starter.socket.read_to_end(&mut bytes).unwrap();
        assert_eq!((starter.wait().code(), bytes), (Some(status), Vec::new()));
    }
}

#[test]
fn setup_and_cleanup_work_where_renameat2_knows_no_flag() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let before = snapshot(&sandbox);
    let log = site.path().join("log");
    for (helper, whose) in
        [("condor_glexec_setup", Account::job()), ("condor_glexec_cleanup", Account::batch())]
    {
        let call = site.call(helper, &site.switcher(), &sandbox);
        let plain = ["trace=renameat2", "inject=renameat2:error=EINVAL"];
        succeeded(&traced(&call, &log, &plain).output().unwrap());
        assert_eq!(owner(&sandbox), whose);
        let mut after = snapshot(&sandbox);
        after.get_mut(Path::new(PROXY)).unwrap().modified = before[Path::new(PROXY)].modified;
        assert_eq!(after, before, "{helper}");
        let beside: &[&str] = if whose == Account::job() { &["s", "s.condor"] } else { &["s"] };
        assert_eq!(site.entries(), beside, "{helper}");
    }
    assert!(
        traces(&log).concat().iter().filter(|line| line.contains("RENAME_NOREPLACE")).count() >= 4
    );
}

/// The fault of a call of a helper or agent that walks trees below `execute`; `None` if there is
/// none.
fn fault_of(line: &str, execute: &str) -> Option<&'static str> {
    let (name, rest) = line.split_once('(')?;
    let arguments = rest.split(", ").collect::<Vec<_>>();
    let (directory, path) = match name {
        "symlinkat" => (arguments[1], arguments[2]),
        _ if arguments[0].starts_with('"') => ("AT_FDCWD", arguments[0]),
        _ => (arguments[0], *arguments.get(1)?),
    };
    let path = path.trim_end_matches(')').trim_matches('"');
    if directory == "AT_FDCWD" {
        let inside = path.strip_prefix(execute).is_some_and(|below| !below.is_empty());
        return inside.then_some("a path into a sandbox");
    }
    if path.contains('/') {
        return Some("a path of several components");
    }
    match name {
        "openat2"
            if !(rest.contains("RESOLVE_NO_SYMLINKS") && rest.contains("RESOLVE_BENEATH")) =>
        {
            Some("follows links")
        }
        "openat" if path != "." && !rest.contains("O_NOFOLLOW") => Some("follows links"),
        "newfstatat" if !rest.contains("AT_SYMLINK_NOFOLLOW") && !path.is_empty() => {
            Some("follows links")
        }
        "utimensat" if !rest.contains("AT_SYMLINK_NOFOLLOW") && path != "NULL" => {
            Some("follows links")
        }
        "linkat" if rest.contains("AT_SYMLINK_FOLLOW") || arguments[3].contains('/') => {
            Some("links elsewhere")
        }
        "renameat" | "renameat2" if arguments[3].contains('/') => Some("renames elsewhere"),
        _ => None,
    }
}

/// Traces setup and cleanup of a filled sandbox, and checks each call that takes a path, of the
/// helpers and the agent.
fn judged(expressions: &[&str]) {
    let site = Site::new().copying();
    let sandbox = filled(&site, "s");
    write(sandbox.join("unreadable"), "has to be opened up first", 0);
    Account::batch().owns(sandbox.join("unreadable"));
    let execute = text(site.execute());
    let mut seen = 0;
    for helper in ["condor_glexec_setup", "condor_glexec_cleanup"] {
        let log = site.path().join(helper);
        let call = site.call(helper, &site.switcher(), &sandbox);
        succeeded(
            &traced(&call, &log, &[&["trace=%file"], expressions].concat()).output().unwrap(),
        );
        for lines in traces(&log) {
            let mut ours = false;
            for line in &lines {
                if let Some(program) = executed(line) {
                    ours = program == text(call.get_program()) || program == agent();
                } else if ours {
                    assert_eq!(fault_of(line, &execute), None, "{line}");
                    seen += u32::from(line.starts_with("openat") || line.starts_with("unlinkat"));
                }
            }
        }
    }
    assert!(seen > 60, "{seen} calls: is strace at work?");
}

#[test]
fn only_the_agent_follows_a_link_and_only_one_that_leaves() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    site.set_up(&sandbox);
    let outside = site.path().join("outside");
    write(&outside, "open to all", 0o644);
    symlink(&outside, sandbox.join("d/leaves")).unwrap();
    own(&sandbox, Account::job());
    let log = site.path().join("log");
    let call = site.call("condor_glexec_cleanup", &site.switcher(), &sandbox);
    succeeded(&traced(&call, &log, &["trace=%file"]).output().unwrap());
    let through = |line: &String| line.contains("\"leaves\", O_") && !line.contains("O_NOFOLLOW");
    let (helpers, others): (Vec<_>, Vec<_>) = traces(&log).into_iter().partition(|lines| {
        lines.iter().any(|line| executed(line) == Some(&text(call.get_program())))
    });
    assert_eq!(helpers.concat().iter().filter(|line| through(line)).count(), 0);
    // By its single name, and without waiting for a FIFO or a lease; in a thread of the agent, and
    // once.
    let followed: Vec<_> = others.concat().into_iter().filter(through).collect();
    let [open] = &followed[..] else { panic!("{followed:#?}") };
    assert!(open.contains(r#", "leaves", O_RDONLY|O_NOCTTY|O_NONBLOCK|O_CLOEXEC) = "#), "{open}");
    assert_eq!(fs::read_to_string(sandbox.join("d/leaves")).unwrap(), "open to all");
}

/// A switcher under which each of these system calls of the agent takes some milliseconds.
fn slow(site: &Site, call: &str, milliseconds: u32) -> PathBuf {
    let strace = format!(
        "strace -qq -o /dev/null -e trace={call} -e inject={call}:delay_enter={milliseconds}ms"
    );
    site.script("slow", &format!("exec {} {strace} \"$@\"", as_job()))
}

#[test]
fn an_agent_that_is_at_work_for_longer_than_the_idle_limit_is_not_given_up() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    write(sandbox.join("large"), vec![b'x'; 20 << 20], 0o644);
    own(&sandbox, Account::batch());
    // Each takes more than four seconds in total.
    let copies = slow(&site, "pwrite64", 160);
    let mut setup = site.call("condor_glexec_setup", &copies, &sandbox);
    succeeded(&setup.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "2").output().unwrap());
    for number in 0..100 {
        write(sandbox.join(format!("file {number}")), "", 0o644);
    }
    own(&sandbox, Account::job());
    let deletes = slow(&site, "unlinkat", 50);
    let mut cleanup = site.call("condor_glexec_cleanup", &deletes, &sandbox);
    succeeded(&cleanup.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "2").output().unwrap());
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn trees_are_walked_by_single_names_and_no_link_is_followed() {
    judged(&[]);
}

#[test]
fn no_link_is_followed_on_a_kernel_without_openat2() {
    judged(&["inject=openat2:error=ENOSYS"]);
}

/// An old kernel.
const OLD: [&str; 2] = [
    "trace=openat2,close_range,pidfd_open,pidfd_send_signal",
    "inject=openat2,close_range,pidfd_open,pidfd_send_signal:error=ENOSYS",
];

#[test]
fn everything_works_on_an_old_kernel() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let before = snapshot(&sandbox);
    let log = site.path().join("log");
    let old = |call: Command| traced(&call, &log, &OLD);
    succeeded(&old(site.call("condor_glexec_setup", &site.switcher(), &sandbox)).output().unwrap());
    assert_eq!(owner(&sandbox), Account::job());
    let job = ["/bin/sh", "-c", "echo $$ > pid; exec sleep 100"];
    let mut starter = started(old(run(&site, &site.switcher(), &sandbox, &job)));
    let mut pid = String::new();
    wait_until("the job has written its pid", || {
        pid = fs::read_to_string(sandbox.join("pid")).unwrap_or_default();
        pid.ends_with('\n')
    });
    let pid = pid_here(pid.trim().parse().unwrap(), Account::of(&sandbox));
    succeeded(&old(kill(&site, &sandbox, pid, "TERM")).output().unwrap());
    assert_eq!(starter.status(), 128 + 15);
    fs::remove_file(sandbox.join("pid")).unwrap();
    succeeded(
        &old(site.call("condor_glexec_cleanup", &site.switcher(), &sandbox)).output().unwrap(),
    );
    let mut after = snapshot(&sandbox);
    for path in ["", PROXY] {
        after.get_mut(Path::new(path)).unwrap().modified = before[Path::new(path)].modified;
    }
    assert_eq!(after, before);
    let lines = traces(&log).concat();
    for name in ["openat2", "close_range", "pidfd_open"] {
        assert!(lines.iter().any(|line| line.starts_with(name)), "{name} was never asked for");
    }
}

#[test]
fn kill_holds_a_process_and_checks_its_user_before_it_sends_the_signal() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    let log = site.path().join("log");
    let mut target = Target::start(&sandbox);
    let call = kill(&site, &sandbox, target.pid, "TERM");
    succeeded(
        &traced(&call, &log, &["trace=execve,kill,pidfd_open,pidfd_send_signal"]).output().unwrap(),
    );
    let pid = target.pid;
    assert_eq!(target.killed_by(), 15);
    let all = traces(&log);
    let of_agent =
        all.iter().find(|lines| lines.iter().any(|line| executed(line) == Some(&agent()))).unwrap();
    let start = of_agent.iter().position(|line| executed(line) == Some(&agent())).unwrap();
    let (opened, sent) = (format!("pidfd_open({pid}, 0)"), "pidfd_send_signal(");
    let calls: Vec<&str> = of_agent[start + 1..]
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("---"))
        // It first asks whether the process is a switcher of root's above the job.
        .filter(|line| !line.starts_with(&format!("kill({pid}, 0)")))
        .collect();
    let [open, asked, signalled, ..] = calls[..] else { panic!("{calls:?}") };
    assert!(open.starts_with(&opened), "{calls:?}");
    let held = open.rsplit("= ").next().unwrap();
    assert!(
        asked.starts_with(&format!("{sent}{held}, 0, ")) && asked.ends_with("= 0"),
        "{calls:?}"
    );
    assert!(
        signalled.starts_with(&format!("{sent}{held}, SIGTERM, ")) && signalled.ends_with("= 0"),
        "{calls:?}"
    );
}

#[test]
fn a_family_is_refused_on_a_kernel_without_pidfds() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    let target = Target::start(&sandbox);
    let mut call = site.helper("condor_glexec_kill");
    call.arg("--family").arg(site.switcher()).arg(retained(&sandbox).join(PROXY));
    call.args([&target.pid.to_string(), "KILL", "0", "0"]);
    let output = traced(&call, &site.path().join("log"), &OLD).output().unwrap();
    assert!(target.is_alive());
    support::failed(&output, 2, &["hold by a descriptor", "ENOSYS"]);
}

#[test]
fn descriptors_are_closed_on_an_old_kernel_too() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let list = site.scratch().join("list");
    let switcher = site.script("list", &format!("ls /proc/$$/fd > '{}'", list.display()));
    let run = run(&site, &switcher, &sandbox, &["/bin/true"]);
    let mut opened = Command::new("/bin/sh");
    opened
        .args(["-c", r#"exec "$@" 7</dev/null"#, "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    let output = traced(&opened, &site.path().join("log"), &OLD).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    let listed = fs::read_to_string(&list).unwrap();
    assert!(listed.contains('2') && !listed.contains('7'), "{listed}");
}

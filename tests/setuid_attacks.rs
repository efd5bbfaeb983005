//! `glexec` set-user-ID root against its callers, and against its payloads: never a payload with
//! more rights than the target's, never one after a refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::handover::set_mode;
use support::installation::install;
use support::setuid::{CONFIGURATION, LIBEXEC, Setuid, ends};
use support::{Account, failed, messages, own, wait_until, write};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Either `id` has run as the target and nothing else, or it has not run at all.
fn is_target_or_refused(output: &Output, what: &str) {
    let job = Account::job();
    // Without the names, which a fault can keep `id` from finding.
    let found: String =
        text(output).split('(').map(|part| part.split(')').next_back().unwrap()).collect();
    let as_target = format!("uid={} gid={} groups={}\n", job.uid, job.gid, job.gid);
    if !found.is_empty() {
        assert_eq!(found, as_target, "{what}");
    } else if output.status.code() == Some(0) {
        panic!("{what}: it succeeded and did nothing: {}", messages(output));
    }
}

/// The caller's shell, which does this before it calls.
fn after(setuid: &Setuid, script: &str) -> Output {
    setuid.shell(&format!("{script}\nexec \"$GLEXEC\" /usr/bin/id")).output().unwrap()
}

#[test]
fn no_variable_of_the_caller_has_an_effect() {
    let setuid = Setuid::new();
    let scratch = setuid.site.scratch();
    let own_configuration = scratch.join("glexec.conf");
    write(&own_configuration, "user_white_list = gh-other\nmin_uid = 1\n", 0o644);
    let directory = scratch.display();
    for variables in [
        format!(
            "LD_PRELOAD={directory}/x.so LD_LIBRARY_PATH={directory} LD_AUDIT={directory}/x.so"
        ),
        format!(
            "LD_DEBUG=all LD_DEBUG_OUTPUT={directory}/debug LD_SHOW_AUXV=1 \
             LD_TRACE_LOADED_OBJECTS=1"
        ),
        "GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.perturb=7".into(),
        format!(
            "GCONV_PATH={directory} LOCPATH={directory} LC_ALL=xx NLSPATH={directory}/%N CHARSET=x"
        ),
        format!("IFS=x ENV={directory}/x BASH_ENV={directory}/x PATH={directory} TZ={directory}/x"),
        format!(
            "GLEXEC_CONF={0} GLEXEC_CONFIG_FILE={0} GLEXEC_CONFIG={0}",
            own_configuration.display()
        ),
        format!("LCMAPS_DB_FILE={directory}/x LCAS_DB_FILE={directory}/x TMPDIR={directory}"),
        format!(
            "GLEXEC_HELPERS_LOG={directory}/log GLEXEC_STATE_DIR={directory} GLEXEC_LEASE_UID=0"
        ),
        "RUST_BACKTRACE=full RUST_MIN_STACK=1 RUST_LOG=trace MALLOC_CHECK_=3 MALLOC_TRACE=x".into(),
        "GLEXEC_USER=root GLEXEC_TARGET_USER=root SUDO_USER=root USER=root HOME=/root UID=0".into(),
    ] {
        let script = format!("exec env {variables} \"$GLEXEC\" /usr/bin/id");
        let output = setuid.shell(&script).output().unwrap();
        is_target_or_refused(&output, &variables);
        assert_eq!(
            (output.status.code(), messages(&output)),
            (Some(0), String::new()),
            "{variables}"
        );
    }
    let mut left: Vec<_> =
        fs::read_dir(&scratch).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["credential", "glexec.conf"]);
}

#[test]
fn closed_and_used_up_descriptors_do_no_harm() {
    let setuid = Setuid::new();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", "<&- 2>&-"] {
        // Of a call without standard output the status tells.
        let script =
            format!("\"$GLEXEC\" /bin/sh -c 'test $(id -u) = {}' {closed}", Account::job().uid);
        let output = setuid.shell(&script).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{closed}: {}", messages(&output));
        // No file that glexec opens is one of these: a message does not get into the credential.
        let mut call = setuid.shell(&format!("\"$GLEXEC\" /nonexistent {closed}"));
        assert_eq!(call.output().unwrap().status.code(), Some(127), "{closed}");
        assert_eq!(fs::read_to_string(setuid.credential()).unwrap(), "a token\n");
    }
    let full = "i=3; while [ $i -lt 200 ]; do
            eval \"exec $i</etc/shells\" 2>/dev/null || break; i=$((i+1)); done";
    for limit in [
        "ulimit -n 10; exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3 9<&3",
        "ulimit -n 64",
        "ulimit -n 4; exec 3</dev/null",
    ] {
        is_target_or_refused(&after(&setuid, limit), limit);
    }
    let all = setuid
        .command(Account::batch(), "/bin/bash")
        .args([
            "-c",
            &format!("{full}; exec \"$0\" /bin/ls /proc/self/fd"),
            &format!("{LIBEXEC}/glexec"),
        ])
        .env("GLEXEC_CLIENT_CERT", setuid.credential())
        .output()
        .unwrap();
    assert_eq!(text(&all), "0\n1\n2\n3\n", "{}", messages(&all));
}

#[test]
fn limits_of_the_caller_end_nothing_half_way() {
    let setuid = Setuid::with("log_destination = file\nlog_file = /mnt/libexec/log\n");
    for limits in [
        "ulimit -n 4",
        "ulimit -Sn 4",
        "ulimit -f 0",
        "ulimit -Sf 0",
        "ulimit -s 16",
        "ulimit -Ss 64",
        "ulimit -t 1",
        "ulimit -St 1",
        "ulimit -v 4096",
        "ulimit -Sv 4096",
        "ulimit -v 200000",
        "ulimit -d 16",
        "ulimit -c unlimited",
        "ulimit -c 0",
        "ulimit -l 0",
        "ulimit -i 0",
        "ulimit -e 0",
        "ulimit -x 0",
    ] {
        let mut call = setuid.command(Account::batch(), "/bin/bash");
        call.args([
            "-c",
            &format!("{limits}; exec \"$0\" /usr/bin/id"),
            &format!("{LIBEXEC}/glexec"),
        ]);
        let output = call.env("GLEXEC_CLIENT_CERT", setuid.credential()).output().unwrap();
        is_target_or_refused(&output, limits);
    }
    for limits in ["ulimit -Sn 4", "ulimit -Sf 0", "ulimit -St 1", "ulimit -c unlimited"] {
        assert_eq!(after(&setuid, limits).status.code(), Some(0), "{limits}");
    }
    // With no process left for the target, its payload is refused.
    let output = after(&setuid, "ulimit -u 0 2>/dev/null || ulimit -p 0");
    is_target_or_refused(&output, "NPROC");
    let log = fs::read_to_string(setuid.path("/mnt/libexec/log")).unwrap();
    assert!(log.ends_with('\n') && log.lines().all(|line| line.contains("glexec")), "{log}");
}

#[test]
fn a_call_without_any_argument_is_a_usage_error() {
    let setuid = Setuid::new();
    // execve with an empty vector: the kernel, or glexec, sees no program's name.
    let script = "import os, sys
os.environ.pop('LC_CTYPE', None)
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
none = (ctypes.c_char_p * 1)(None)
variable = ('GLEXEC_CLIENT_CERT=' + os.environ['GLEXEC_CLIENT_CERT']).encode()
some = (ctypes.c_char_p * 2)(variable, None)
libc.execve(sys.argv[1].encode(), none, some)
sys.exit(99)";
    let mut call = setuid.command(Account::batch(), "python3");
    call.args(["-c", script, &format!("{LIBEXEC}/glexec")]);
    let output = call.env("GLEXEC_CLIENT_CERT", setuid.credential()).output().unwrap();
    failed(&output, 201, &["no command"]);
}

#[test]
fn the_umask_of_the_caller_does_not_open_what_glexec_writes() {
    let setuid = Setuid::with("log_destination = file\nlog_file = /mnt/libexec/log\n");
    let proxy = setuid.site.execute().join("proxy");
    for mask in ["0777", "0"] {
        let _ = fs::remove_file(setuid.path("/mnt/libexec/log"));
        let script = format!(
            "umask {mask}; export GLEXEC_SOURCE_PROXY=\"$GLEXEC_CLIENT_CERT\" GLEXEC_TARGET_PROXY={}
             exec \"$GLEXEC\" /bin/sh -c umask",
            proxy.display()
        );
        let output = setuid.shell(&script).output().unwrap();
        assert_eq!(text(&output).trim_end().trim_start_matches('0'), mask.trim_start_matches('0'));
        for path in [&proxy, &setuid.path("/mnt/libexec/log")] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}

#[test]
fn a_credential_that_is_swapped_all_the_time_maps_only_to_its_own_account() {
    let setuid = Setuid::new();
    let scratch = setuid.site.scratch();
    for (name, mode) in [("a", 0o600), ("b", 0o600)] {
        fs::create_dir(scratch.join(name)).unwrap();
        write(scratch.join(name).join("token"), "x", mode);
        own(&scratch.join(name), Account::batch());
    }
    let map = format!("gh-batch {0}/a gh-job\n", scratch.display());
    setuid.write("/etc/glexec.caller-map", map);
    // The directory of the credential is exchanged for one that maps to no account, and for a link
    // to a file that only root can read.
    let swap = "cd \"$0\"; exec 2>/dev/null
        while :; do ln -sfn a way; ln -sfn b way; ln -sfn /etc way; done";
    let mut swapping = setuid.command(Account::batch(), "/bin/sh");
    let mut swapping = swapping.args(["-c", swap]).arg(&scratch).spawn().unwrap();
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let mut call = setuid.glexec();
        call.env("GLEXEC_CLIENT_CERT", scratch.join("way/token")).args(["/usr/bin/id", "-un"]);
        let output = call.output().unwrap();
        match output.status.code() {
            Some(0) => assert_eq!(text(&output), "gh-job\n"),
            Some(201 | 203) => assert_eq!(text(&output), ""),
            status => panic!("{status:?}: {}", messages(&output)),
        }
        *statuses.entry(output.status.code()).or_insert(0) += 1;
    }
    swapping.kill().unwrap();
    swapping.wait().unwrap();
    assert!(statuses.len() > 1, "nothing was swapped: {statuses:?}");
}

#[test]
fn a_tracer_of_the_caller_gets_no_process_with_rights() {
    let setuid = Setuid::new();
    // Traced from its start, the kernel gives the program no right: the caller's own way is left.
    let strace = |lines: &str| {
        setuid.configure(&format!("{CONFIGURATION}{lines}"));
        let mut call = setuid.command(Account::batch(), "strace");
        call.args(["-f", "-o", "/dev/null", &format!("{LIBEXEC}/glexec"), "/usr/bin/id", "-u"]);
        call.env("GLEXEC_CLIENT_CERT", setuid.credential()).output().unwrap()
    };
    let output = strace("door = setuid\n");
    failed(&output, 202, &["a tracer"]);
    assert_eq!(text(&output), "");
    let output = strace("");
    assert!(text(&output).is_empty() || text(&output).trim_end() != Account::job().uid.to_string());
    // Afterwards it cannot be attached to, neither the parent nor the payload.
    setuid.configure(CONFIGURATION);
    let mut child = setuid.glexec().args(["/bin/sleep", "60"]).spawn().unwrap();
    let children = || {
        let list = format!("/proc/{0}/task/{0}/children", child.id());
        fs::read_to_string(list).unwrap_or_default()
    };
    wait_until("the payload runs", || {
        let pid: Option<u32> = children().trim_end().parse().ok();
        pid.is_some_and(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        })
    });
    let payload = children().trim_end().to_owned();
    for pid in [child.id().to_string(), payload] {
        let mut attach = setuid.command(Account::batch(), "strace");
        let output = attach.args(["-o", "/dev/null", "-p", &pid]).output().unwrap();
        assert!(messages(&output).contains("Operation not permitted"), "{}", messages(&output));
        let mut list = setuid.command(Account::batch(), "/bin/ls");
        assert!(!list.arg(format!("/proc/{pid}/fd/")).output().unwrap().status.success());
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    ends(&mut child);
}

#[test]
fn a_copy_of_glexec_of_another_users_has_no_rights() {
    let setuid = Setuid::new();
    let copy = setuid.site.scratch().join("glexec");
    install(setuid.path(&format!("{LIBEXEC}/glexec")), &copy);
    Account::other().owns(&copy);
    set_mode(&copy, 0o4755);
    let mut call = setuid.command(Account::batch(), &copy);
    let output =
        call.env("GLEXEC_CLIENT_CERT", setuid.credential()).arg("/usr/bin/id").output().unwrap();
    failed(&output, 202, &["rights other than root's"]);
}

#[test]
fn what_a_caller_says_starts_no_line_of_the_log() {
    let setuid = Setuid::with("log_level = 5\n");
    let forged = "x\n<29>glexec.mon[1#2]: Started, target uid 0";
    let mut call = setuid.glexec();
    call.env("GLEXEC_ID", forged).env("GLEXEC_MODE", forged);
    call.args(["/bin/echo", forged, "\r\x1b[2J\u{9b}31m"]).output().unwrap();
    let mut call = setuid.glexec();
    call.env("GLEXEC_ID", forged).env("GLEXEC_CLIENT_CERT", forged).args([forged, forged]);
    let output = call.output().unwrap();
    failed(&output, 201, &[]);
    let mut call = setuid.glexec();
    let long = "y".repeat(100_000);
    call.env("GLEXEC_ID", &long).args(["/bin/true", &long]).output().unwrap();
    let lines = setuid.logged();
    assert!(lines.len() >= 3, "{lines:?}");
    for line in &lines {
        assert!(!line.contains(char::is_control) && line.len() < 5000, "{line:?}");
        let is_ours = line.contains(">glexec[") || line.contains(">glexec.mon[");
        assert!(is_ours && !line.starts_with("<29>glexec.mon[1#2]"), "{line}");
    }
}

// A fault at each step.

/// The system calls that change or ask for rights, and those between them; strace(1) makes each
/// fail, one after the other.
const CALLS: &str = "setresuid,setresgid,setgroups,setfsuid,setfsgid,capset,prctl,setsid,keyctl,\
    getresuid,getresgid,getgroups,umask,rt_sigprocmask,prlimit64,setrlimit,getrlimit,fcntl,dup3,\
    dup2,pipe2,clone,fork,vfork,openat,open,read,close_range,readlink,statx,newfstatat,fstat,flock,\
    chdir,fchdir,getcwd,getdents64,lseek,execve,setitimer,write,poll,kill,wait4,setuid,setgid,\
    ioctl";

/// A call below strace of root's, which lets the program keep its rights, with faults in it.
fn strace(setuid: &Setuid, options: &[String]) -> Command {
    let mut command = setuid.command(Account { uid: 0, gid: 0 }, "strace");
    command.args(["-f", "-qq", "-u", "gh-batch"]).args(options);
    command.arg(format!("{LIBEXEC}/glexec")).arg("/usr/bin/id");
    command.env("GLEXEC_CLIENT_CERT", setuid.credential());
    command
}

/// The system calls of a successful call until the payload is executed: name, and how many times.
fn calls_made(setuid: &Setuid, trace: &Path) -> Vec<(String, usize)> {
    let options =
        ["-o".to_owned(), trace.display().to_string(), "-e".to_owned(), format!("trace={CALLS}")];
    let output = strace(setuid, &options).output().unwrap();
    is_target_or_refused(&output, "without a fault");
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    let mut made: Vec<(String, usize)> = Vec::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let name = call.trim_start().split('(').next().unwrap();
        if call.contains("execve(\"/usr/bin/id\"") {
            break;
        }
        if CALLS.split(',').any(|known| known == name) {
            match made.iter_mut().find(|(found, _)| found == name) {
                Some((_, count)) => *count += 1,
                None => made.push((name.to_owned(), 1)),
            }
        }
    }
    made
}

#[test]
fn an_error_at_any_step_never_gives_a_payload_more_than_the_targets_rights() {
    let setuid = Setuid::new();
    let trace = setuid.site.path().join("trace");
    let mut refused = 0;
    for (name, count) in calls_made(&setuid, &trace) {
        // Many are alike; the first ones of each kind and every few of the others.
        for number in (1..=count).filter(|number| *number <= 24 || number % 7 == 0) {
            let error = if name.starts_with("set") { "EPERM" } else { "EIO" };
            let options = [
                "-o".to_owned(),
                "/dev/null".to_owned(),
                "-e".to_owned(),
                format!("trace={name}"),
                "-e".to_owned(),
                format!("inject={name}:error={error}:when={number}"),
            ];
            let output = strace(&setuid, &options).output().unwrap();
            let what = format!("{name} {number}");
            is_target_or_refused(&output, &what);
            refused += usize::from(output.status.code() != Some(0));
        }
    }
    assert!(refused > 30, "the faults had no effect: {refused}");
}

#[test]
fn a_change_of_user_that_only_pretends_to_succeed_is_noticed() {
    let setuid = Setuid::new();
    // retval: the kernel does nothing, and the program is told that it did.
    for name in ["setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset"] {
        for number in 1..=8 {
            let options = [
                "-o".to_owned(),
                "/dev/null".to_owned(),
                "-e".to_owned(),
                format!("inject={name}:retval=0:when={number}"),
            ];
            let output = strace(&setuid, &options).output().unwrap();
            is_target_or_refused(&output, &format!("{name} {number}"));
        }
    }
}

#[test]
fn a_payload_of_a_killed_glexec_does_not_run_on() {
    let setuid = Setuid::new();
    let trace = setuid.site.path().join("trace");
    let made = calls_made(&setuid, &trace);
    for (name, count) in made.iter().filter(|(name, _)| {
        ["setresuid", "setgroups", "prctl", "pipe2", "execve", "clone", "read"]
            .contains(&name.as_str())
    }) {
        for number in 1..=*count.min(&8) {
            let mut call = strace(
                &setuid,
                &[
                    "-o".to_owned(),
                    "/dev/null".to_owned(),
                    "-e".to_owned(),
                    format!("inject={name}:signal=KILL:when={number}"),
                ],
            );
            let output = call.output().unwrap();
            is_target_or_refused(&output, &format!("{name} {number}"));
        }
    }
}

//! `glexec`: with real user namespaces, and real subordinate ids of the batch user.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
use support::families::{Target, is_alive, state};
use support::glexec::{Rootless, STATUSES, processes_of};
use support::handover::{SETUP, field, kill, set_mode, text};
use support::job::run;
use support::keys::{KEY, with_a_key};
use support::machine::Machine;
use support::mounts::Mounts;
use support::starter::Starter;
use support::{
    Account, SUBORDINATE, Site, executable, failed, messages, own, owner, program, succeeded,
    under, variables_of, wait_until, write,
};

/// Starts a payload that prints a line when it begins; returns that line too.
fn begun(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().to_owned())
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// The children of a process; none if it has ended.
fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

// Exit statuses.

#[test]
fn the_status_is_the_payloads_or_tells_by_which_signal_it_ended() {
    let rootless = Rootless::new();
    for (script, status) in STATUSES {
        let output = rootless.shell(script);
        assert_eq!(
            (output.status.code(), messages(&output).as_str()),
            (Some(status), ""),
            "{script}"
        );
    }
}

#[test]
fn a_caller_that_asks_for_it_sees_the_payloads_own_end() {
    use std::os::unix::process::ExitStatusExt as _;
    let rootless = Rootless::new();
    let ended = |script: &str| {
        let mut call = rootless.glexec();
        call.env("GLEXEC_EXACT_STATUS", "1").args(["/bin/sh", "-c", script]);
        call.output().unwrap().status
    };
    for status in [0, 137, 201, 202, 203, 204, 255] {
        assert_eq!(ended(&format!("exit {status}")).code(), Some(status));
    }
    // Also SIGPIPE, which Rust programs ignore.
    for signal in [9, 13, 15, 34] {
        assert_eq!(ended(&format!("kill -{signal} $$")).signal(), Some(signal));
    }
}

#[test]
fn a_usage_error_is_201_and_says_why() {
    let rootless = Rootless::new();
    let scratch = rootless.site.scratch();
    let credential = |name: &str, mode: u32, account: Account| {
        let path = rootless.credential(name);
        set_mode(&path, mode);
        account.owns(&path);
        path
    };
    let link = scratch.join("link");
    symlink(scratch.join("credential"), &link).unwrap();
    let fifo = scratch.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    Account::batch().owns(&fifo);
    let cases = [
        (scratch.join("missing"), "cannot open"),
        (credential("readable", 0o644, Account::batch()), "chmod 600"),
        (credential("writable", 0o620, Account::batch()), "chmod 600"),
        (credential("closed", 0o000, Account::batch()), "cannot open"),
        (credential("another's", 0o600, Account::other()), "cannot open"),
        (credential("root's", 0o604, Account::named("root")), "not to you"),
        (link, "cannot open"),
        (fifo, "not a regular file"),
        (scratch.clone(), "not a regular file"),
    ];
    for (path, why) in &cases {
        let output = rootless.glexec_with(path).arg("/bin/true").output().unwrap();
        failed(&output, 201, &[why, &path.display().to_string()]);
    }
    let none =
        rootless.glexec().env_remove("GLEXEC_CLIENT_CERT").arg("/bin/true").output().unwrap();
    failed(&none, 201, &["GLEXEC_CLIENT_CERT"]);
    for (words, why) in [
        (&[][..], "no command"),
        (&["--"], "no command"),
        (&[""], "empty"),
        (&["--bogus", "/bin/true"], "--bogus"),
        (&["/nonexistent"], "/nonexistent"),
        (&["nonexistent"], "no such program"),
        (&["/etc/passwd"], "no user may execute it"),
    ] {
        failed(&rootless.glexec().args(words).output().unwrap(), 201, &[why]);
    }
}

#[test]
fn the_credential_of_the_environment_is_the_proxy_where_no_other_is_named() {
    let rootless = Rootless::new();
    let mut command = rootless.glexec();
    command
        .env_remove("GLEXEC_CLIENT_CERT")
        .env("X509_USER_PROXY", rootless.site.scratch().join("credential"));
    succeeded(&command.arg("/bin/true").output().unwrap());
}

#[test]
fn an_error_names_the_first_directory_that_the_payload_cannot_pass() {
    let rootless = Rootless::new();
    let closed = rootless.site.scratch().join("closed");
    fs::create_dir_all(closed.join("below")).unwrap();
    executable(&closed.join("below/program"), b"#!/bin/sh\n");
    own(&closed, Account::batch());
    set_mode(&closed, 0o700);
    set_mode(closed.join("below"), 0o700);
    let advice = format!("may not search the directory {}: run chmod o+x", closed.display());
    failed(&rootless.glexec().arg(closed.join("below/program")).output().unwrap(), 201, &[&advice]);
    failed(
        &rootless.glexec().arg("/bin/true").current_dir(closed.join("below")).output().unwrap(),
        201,
        &["working directory", &advice],
    );
    let mut proxy = rootless.glexec();
    proxy.env("GLEXEC_SOURCE_PROXY", rootless.site.scratch().join("credential"));
    let output = proxy
        .env("GLEXEC_TARGET_PROXY", closed.join("below/proxy"))
        .arg("/bin/true")
        .output()
        .unwrap();
    failed(&output, 201, &["GLEXEC_TARGET_PROXY", &advice]);
    // A mode that admits others does not help below a closed directory.
    set_mode(closed.join("below"), 0o755);
    let script = ["/bin/sh", "-c", "cat program"];
    let inside = rootless.glexec().args(script).current_dir(closed.join("below")).output().unwrap();
    failed(&inside, 201, &["working directory", &advice]);
    set_mode(closed.join("below"), 0o700);
    set_mode(&closed, 0o711);
    failed(
        &rootless.glexec().arg(closed.join("below/program")).output().unwrap(),
        201,
        &["below: run chmod o+x"],
    );
    let inside =
        rootless.glexec().arg("/bin/true").current_dir(closed.join("below")).output().unwrap();
    failed(&inside, 201, &["working directory", "below: run chmod o+x"]);
    set_mode(closed.join("below"), 0o711);
    succeeded(&rootless.glexec().arg(closed.join("below/program")).output().unwrap());
    succeeded(
        &rootless.glexec().arg("/bin/true").current_dir(closed.join("below")).output().unwrap(),
    );
}

#[test]
fn a_working_directory_without_a_path_is_201() {
    let rootless = Rootless::new();
    let place = rootless.site.execute().join("place");
    let inside = |done: &str| {
        fs::create_dir(&place).unwrap();
        let call = rootless.glexec();
        let script = format!(
            "cd {0} && {done} &&
            exec setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$0\" /bin/true",
            place.display()
        );
        let mut shell = Command::new("unshare");
        shell
            .args(["--mount", "/bin/sh", "-c", &script])
            .arg(call.get_program())
            .env_clear()
            .envs(variables_of(&call));
        shell.output().unwrap()
    };
    failed(&inside(&format!("rmdir {}", place.display())), 201, &["working directory"]);
    // A file system mounted there has the path.
    failed(
        &inside(&format!("mount -t tmpfs none {}", place.display())),
        201,
        &["working directory", "another directory has that path"],
    );
}

/// A call as the batch user, on a machine whose /usr/bin this script has changed.
fn with_system_programs(call: &Command, change: &str) -> Output {
    let script = format!(
        "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/upper,workdir=/mnt/work none /usr/bin
        {change}
        exec setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$@\""
    );
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
    shell.arg(call.get_program()).args(call.get_args()).env_clear().envs(variables_of(call));
    shell.output().unwrap()
}

#[test]
fn programs_of_the_system_are_not_searched_for_in_path() {
    let rootless = Rootless::new();
    let fakes = rootless.site.scratch().join("bin");
    fs::create_dir(&fakes).unwrap();
    set_mode(&fakes, 0o755);
    for name in ["newuidmap", "newgidmap", "getent", "getsubids"] {
        executable(&fakes.join(name), b"#!/bin/sh\necho called >\"$0.called\"; exit 1\n");
    }
    own(&fakes, Account::batch());
    for path in [fakes.to_str().unwrap(), "/nonexistent", ""] {
        succeeded(&rootless.glexec().env("PATH", path).arg("/bin/true").output().unwrap());
    }
    assert_eq!(fs::read_dir(&fakes).unwrap().count(), 4, "none was called");
}

#[test]
fn subordinate_ids_of_a_service_are_asked_for_with_a_time_limit() {
    let machine = Machine::new();
    let output = machine.script(
        "root",
        r#"set -e
        cd /; user=$(id -u condor) group=$(id -g condor)
        mkdir -m 700 /run/leases; echo token >/run/token; chmod 600 /run/token
        chown $user /run/leases /run/token
        glexec() {
            env -i GLEXEC_STATE_DIR=/run/leases GLEXEC_CLIENT_CERT=/run/token PATH=/nonexistent \
                /usr/bin/setpriv --reuid $user --regid $group --clear-groups \
                /run/built/glexec "$@" || echo "status $?"
        }
        fake() { printf '#!/bin/sh\n%s\n' "$2" >/usr/bin/$1; chmod 755 /usr/bin/$1; }
        echo condor:400000:10 >/etc/subuid; cp /etc/subuid /etc/subgid
        sed -i /^subid:/d /etc/nsswitch.conf
        glexec /usr/bin/id -u
        # newuidmap cannot load this service, and reads the file.
        echo 'subid: gh_test' >>/etc/nsswitch.conf
        fake getsubids 'echo "0: condor 400005 1"'
        rm -rf /run/leases/*
        glexec /usr/bin/id -u
        fake getsubids 'exit 1'
        glexec /usr/bin/id -u
        fake getsubids 'exec sleep 600'
        glexec /usr/bin/id -u
        rm /usr/bin/getsubids
        glexec /usr/bin/id -u
        # An account that is not in /etc/passwd.
        sed -i /^condor:/d /etc/passwd
        fake getent 'exec sleep 600'
        glexec /usr/bin/id -u
        "#,
    );
    assert!(output.status.success(), "{}", messages(&output));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        printed,
        "400000\n400005\nstatus 202\nstatus 202\n400005\nstatus 202\n",
        "{}",
        messages(&output)
    );
    let lines = messages(&output);
    let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("glexec: ")).collect();
    let [none, ids, account] = lines[..] else { panic!("{lines:?}") };
    assert!(none.contains("condor has no subordinate ids"), "{none}");
    assert!(
        ids.ends_with("ids of condor: /usr/bin/getsubids: no answer within 10 seconds"),
        "{ids}"
    );
    assert!(account.ends_with(": /usr/bin/getent: no answer within 10 seconds"), "{account}");
}

#[test]
fn unmet_requirements_are_202_and_the_error_says_what_to_do() {
    let rootless = Rootless::new();
    let credential = rootless.credential("of another");
    Account::other().owns(&credential);
    let mut command = Account::other().command(program("glexec"));
    command
        .env_clear()
        .env("GLEXEC_CLIENT_CERT", &credential)
        .env("GLEXEC_STATE_DIR", "/var/tmp/gh-test-unused");
    failed(
        &command.arg("/bin/true").output().unwrap(),
        202,
        &["no subordinate ids", "usermod --add-subuids"],
    );

    let mut call = rootless.glexec();
    call.arg("/bin/true");
    for name in ["newuidmap", "newgidmap"] {
        let output = with_system_programs(&call, &format!("rm /usr/bin/{name}"));
        failed(&output, 202, &[&format!("{name} is not installed in /usr/bin, "), "uidmap"]);
        let broken = format!("printf '#!/bin/sh\\necho not today >&2; exit 1' >/usr/bin/{name}");
        let output = with_system_programs(&call, &broken);
        failed(&output, 202, &[&format!("/usr/bin/{name} failed: not today")]);
    }

    let table = rootless.table("table", 0..0, &[]);
    let with_table = || {
        let mut command = rootless.glexec();
        command.env("GLEXEC_STATE_DIR", &table).args(["id", "-u"]);
        command.output().unwrap()
    };
    let user = String::from_utf8(with_table().stdout).unwrap();
    fs::rename(table.join(user.trim()), table.join("12345")).unwrap();
    failed(&with_table(), 202, &["uid 12345", "no longer one of your subordinate ids"]);

    failed(&under(&call, &["setpriv", "--no-new-privs"]).output().unwrap(), 202, &["no_new_privs"]);

    // In a user namespace of root's, with another setting.
    let mut holder = Command::new("unshare").args(["--user", "sleep", "60"]).spawn().unwrap();
    let file = |name: &str| format!("/proc/{}/{name}", holder.id());
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    wait_until("it has a namespace", || fs::read_link(file("ns/user")).unwrap() != own);
    for name in ["uid_map", "gid_map"] {
        fs::write(file(name), "0 0 65536\n").unwrap();
    }
    let script = "echo 0 >/proc/sys/user/max_user_namespaces || exit 9
        exec setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$@\"";
    let mut forbidden = Command::new("nsenter");
    forbidden.args(["--user", "--target", &holder.id().to_string(), "/bin/sh", "-c", script, "sh"]);
    forbidden.arg(call.get_program()).args(call.get_args()).env_clear();
    forbidden.envs(variables_of(&call));
    let output = forbidden.output().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    failed(&output, 202, &["user namespace", "sysctl -w user.max_user_namespaces"]);

    let injected = rootless.site.scratch().join("injected");
    symlink("/tmp", &injected).unwrap();
    let output =
        rootless.glexec().env("GLEXEC_STATE_DIR", &injected).arg("/bin/true").output().unwrap();
    failed(&output, 202, &["injected", "GLEXEC_STATE_DIR"]);
}

#[test]
fn a_table_of_leases_that_cannot_be_written_is_202_and_nothing_has_run() {
    let rootless = Rootless::new();
    let state = rootless.table("state", 0..0, &[]);
    let mounts = Mounts::below(&state);
    let options = format!("mode=700,uid={},size=64k", Account::batch().uid);
    mounts.add(&["-t", "tmpfs", "-o", &options, "none"], &state);
    let executed = rootless.site.execute().join("executed");
    let call = |command: &mut Command| {
        command.env("GLEXEC_STATE_DIR", &state).arg("touch").arg(&executed);
        command.output().unwrap()
    };
    // The lease exists, and the guard of another call must be recorded in it.
    succeeded(&call(&mut rootless.glexec()));
    fs::remove_file(&executed).unwrap();
    let mut full = fs::File::create(state.join("full")).unwrap();
    while full.write_all(&[0; 4096]).is_ok() {}
    failed(&call(&mut rootless.glexec()), 202, &["cannot write the lease", "No space left"]);
    assert!(!executed.exists());
}

#[test]
fn a_call_that_finds_all_ids_in_use_is_202() {
    let rootless = Rootless::new();
    let state = rootless.table("state", SUBORDINATE, &[]);
    let other = rootless.credential("one more");
    let output = rootless
        .glexec_with(&other)
        .env("GLEXEC_STATE_DIR", &state)
        .arg("/bin/true")
        .output()
        .unwrap();
    failed(&output, 202, &["all 256 subordinate ids are in use"]);
}

// What the payload gets.

#[test]
fn the_payload_is_a_subordinate_user_with_one_group_and_no_others() {
    let rootless = Rootless::new();
    let mut command = rootless.glexec();
    let said = rootless.says(
        "id -u; id -g; id -G; grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs):' /proc/self/status",
    );
    let lines: Vec<&str> = said.lines().collect();
    let user: u32 = lines[0].parse().unwrap();
    assert!(SUBORDINATE.contains(&user));
    assert_eq!(lines[1..3], [lines[0], lines[0]]);
    assert!(lines[3..7].iter().all(|line| line.ends_with("0000000000000000")), "{said}");
    assert!(lines[7].ends_with('1'), "{said}");
    let (mut child, _) = begun(command.args(["/bin/sh", "-c", "echo begun; exec sleep 60"]));
    let pids = processes_of(user);
    assert_eq!(pids.len(), 1, "outside, too, it has this id");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_environment_is_new_and_descriptors_above_2_are_closed() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let mut expected: Vec<String> = vec![
        format!("USER={user}"),
        format!("LOGNAME={user}"),
        "HOME=/".into(),
        "SHELL=/bin/sh".into(),
        "PATH=/usr/local/bin:/usr/bin:/bin".into(),
        "GLEXEC_ENV=a \u{e9}".into(),
    ];
    expected.sort();
    let output = rootless
        .glexec()
        .env("SECRET", "x")
        .env("LD_PRELOAD", "/x")
        .env("GLEXEC_ENV", "a \u{e9}")
        .env("GLEXEC_ENV_OTHER", "x")
        .arg("/usr/bin/env")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort();
    assert_eq!(lines, expected);
    let call = rootless.glexec();
    let mut open = Account::batch().command("/bin/sh");
    open.args(["-c", "exec \"$@\" 7</dev/null 9>&1", "sh"])
        .arg(call.get_program())
        .args(["ls", "/proc/self/fd"])
        .env_clear();
    open.envs(variables_of(&call));
    // 3 is the directory that ls lists.
    assert_eq!(String::from_utf8(open.output().unwrap().stdout).unwrap(), "0\n1\n2\n3\n");
}

#[test]
fn a_payload_has_the_callers_directory_umask_and_limits_default_signals_and_a_separate_group() {
    let rootless = Rootless::new();
    let mut command = rootless.glexec();
    let script = "pwd; umask; ulimit -Sn; ulimit -Hn; grep -E '^Sig(Blk|Ign):' /proc/self/status
        ps -o pgid= -p $$; echo $$";
    command.args(["/bin/sh", "-c", script]).current_dir("/usr/lib");
    let call = "trap '' PIPE TERM USR1; umask 027; ulimit -Sn 40; ulimit -Hn 600; exec \"$@\"";
    let mut ignoring = Account::batch().command("/bin/sh");
    ignoring
        .args(["-c", call, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir("/usr/lib")
        .env_clear();
    ignoring.envs(variables_of(&command));
    let output = ignoring.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..4], ["/usr/lib", "0027", "40", "600"]);
    assert!(
        lines[4].ends_with("0000000000000000") && lines[5].ends_with("0000000000000000"),
        "{said}"
    );
    assert_eq!(lines[6], lines[7]);
}

#[test]
fn no_umask_keeps_a_call_from_what_an_earlier_one_has_written() {
    let rootless = Rootless::new();
    for umask in ["0000", "0022", "0077", "0400", "0777"] {
        let table = rootless.site.scratch().join(umask);
        let target = rootless.site.execute().join(umask);
        let log = rootless.site.scratch().join(format!("log {umask}"));
        let call = |credential: &str| {
            let call = rootless.glexec_with(&rootless.credential(credential));
            let script = format!(
                "umask {umask}; exec \"$0\" /bin/sh -c 'id -u; umask; cat $X509_USER_PROXY'"
            );
            let mut shell = Account::batch().command("/bin/sh");
            shell
                .args(["-c", &script])
                .arg(call.get_program())
                .env_clear()
                .envs(variables_of(&call));
            shell.env("GLEXEC_STATE_DIR", &table).env("GLEXEC_HELPERS_LOG", &log);
            shell.env("GLEXEC_SOURCE_PROXY", rootless.site.scratch().join("credential"));
            let output =
                shell.env("GLEXEC_TARGET_PROXY", target.join(credential)).output().unwrap();
            assert_eq!(
                (output.status.code(), messages(&output).as_str()),
                (Some(0), ""),
                "umask {umask}"
            );
            String::from_utf8(output.stdout).unwrap()
        };
        fs::create_dir(&target).unwrap();
        set_mode(&target, 0o1777);
        let first = call("one");
        assert_eq!(first.lines().skip(1).collect::<Vec<_>>(), [umask, "a token"]);
        assert_eq!(call("one"), first);
        let second = call("two");
        assert_ne!(second, first);
        // One of them ends.
        fs::remove_file(rootless.site.scratch().join("one")).unwrap();
        assert_eq!(call("two"), second);
        assert_eq!(fs::metadata(&table).unwrap().mode() & 0o7777, 0o700);
        let files =
            fs::read_dir(&table).unwrap().flatten().map(|entry| entry.path()).chain([log.clone()]);
        for file in files.chain(["one", "two"].map(|name| target.join(name))) {
            assert_eq!(
                fs::metadata(&file).unwrap().mode() & 0o7777,
                0o600,
                "umask {umask}: {}",
                file.display()
            );
        }
        fs::remove_file(rootless.site.scratch().join("two")).unwrap();
    }
}

#[test]
fn a_socket_on_descriptor_0_arrives_intact_and_is_closed_when_the_payload_closes_it() {
    let rootless = Rootless::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(support::TIMEOUT)).unwrap();
    let mut command = rootless.glexec();
    command
        .args(["/bin/sh", "-c", "head -c 4 >&0; exec <&- >/dev/null; sleep 60"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    drop(command);
    ours.write_all(b"word").unwrap();
    let mut all = String::new();
    ours.read_to_string(&mut all).unwrap();
    assert_eq!(all, "word");
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn it_sees_the_processes_of_its_own_namespace_only() {
    let rootless = Rootless::new();
    let said = rootless.says("set -- /proc/[0-9]*; echo $#; cat /proc/1/comm");
    let (count, first) = said.split_once('\n').unwrap();
    assert!(count.parse::<u32>().unwrap() < 10, "{said}");
    assert_eq!(first, "glexec");
}

#[test]
fn the_payload_gets_a_copy_of_the_proxy() {
    let rootless = Rootless::new();
    let source = rootless.credential("source");
    let target = rootless.site.execute().join("target");
    let with = |target: Option<&Path>, words: &[&str]| {
        let mut command = rootless.glexec();
        command.env("GLEXEC_SOURCE_PROXY", &source);
        if let Some(target) = target {
            command.env("GLEXEC_TARGET_PROXY", target);
        }
        command.args(words).output().unwrap()
    };
    // A symbolic link at that path is replaced.
    symlink(&source, &target).unwrap();
    std::os::unix::fs::lchown(&target, Some(rootless.user()), None).unwrap();
    let output = with(
        Some(&target),
        &[
            "/bin/sh",
            "-c",
            "echo $X509_USER_PROXY; cat $X509_USER_PROXY; stat -c '%u %a' $X509_USER_PROXY",
        ],
    );
    let expected = format!("{}\na token\n{} 600\n", target.display(), rootless.user());
    assert_eq!(
        (messages(&output).as_str(), String::from_utf8(output.stdout).unwrap()),
        ("", expected)
    );
    let output = with(Some(Path::new("/dev/null")), &["/usr/bin/env"]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("X509"));
    // A copy whose path is not named is removed after the payload, also beside another call.
    let script = "stat -c '%u %a' $X509_USER_PROXY; echo $X509_USER_PROXY";
    for is_beside in [false, true] {
        let _beside = is_beside.then(|| Target::through(rootless.glexec()));
        let output = with(None, &["/bin/sh", "-c", script]);
        let printed = String::from_utf8(output.stdout).unwrap();
        let (stat, path) = printed.trim_end().split_once('\n').unwrap();
        assert_eq!(stat, format!("{} 600", rootless.user()));
        assert!(
            path.starts_with(&format!("/tmp/x509up_u{}.glexec.", rootless.user()))
                && !Path::new(path).exists()
        );
    }
    failed(&with(Some(Path::new("relative")), &["/bin/true"]), 201, &["absolute"]);
    failed(&with(Some(Path::new("/nonexistent/x")), &["/bin/true"]), 201, &["GLEXEC_TARGET_PROXY"]);
    write(&source, vec![b'x'; (1 << 20) + 1], 0o600);
    failed(&with(Some(&target), &["/bin/true"]), 201, &["source", "larger than"]);
    set_mode(&source, 0o644);
    failed(&with(Some(&target), &["/bin/true"]), 201, &["source", "chmod 600"]);
}

#[test]
fn help_version_and_settings_are_printed() {
    let rootless = Rootless::new();
    for (option, word) in [
        ("-h", "GLEXEC_CLIENT_CERT"),
        ("--help", "201"),
        ("-v", "glexec 0."),
        ("--version", "glexec 0."),
        ("-V", "GLEXEC_CONFIG_FILE=\"/"),
    ] {
        let output = rootless.glexec().arg(option).output().unwrap();
        succeeded(&output);
        assert!(String::from_utf8(output.stdout).unwrap().contains(word), "{option}");
    }
    let output = rootless.glexec().args(["--", "/bin/echo", "--", "-h"]).output().unwrap();
    assert_eq!(output.stdout, b"-- -h\n");
    failed(
        &rootless.glexec().args(["--", "-h"]).output().unwrap(),
        201,
        &["-h: there is no such program"],
    );
}

#[test]
fn the_log_holds_the_callers_id_escaped() {
    let rootless = Rootless::new();
    let log = rootless.site.scratch().join("log");
    let mut command = rootless.glexec();
    command.env("GLEXEC_HELPERS_LOG", &log).env("GLEXEC_ID", "job 7\n\u{1b}[2J");
    command.args(["/bin/sh", "-c", "exit 7"]).output().unwrap();
    let line = text(&log);
    assert_eq!((field(&line, "helper"), field(&line, "status")), ("\"glexec\"", "7"));
    assert_eq!(field(&line, "uid"), rootless.user().to_string());
    assert!(line.contains("job 7\\\\n\\\\u{1b}[2J"), "{line}");
    let output =
        rootless.glexec().env("GLEXEC_HELPERS_LOG", "stderr").arg("/bin/true").output().unwrap();
    assert_eq!(field(&messages(&output), "status"), "0");
    let output = rootless
        .glexec()
        .env("GLEXEC_HELPERS_LOG", "/nonexistent/log")
        .arg("/bin/true")
        .output()
        .unwrap();
    failed(&output, 0, &["warning", "/nonexistent/log"]);
}

#[test]
fn the_log_goes_to_a_regular_file_of_one_name_and_nothing_is_waited_for() {
    let rootless = Rootless::new();
    let place = rootless.site.execute();
    let secret = rootless.credential("diary");
    let (link, hard_link, fifo, device) =
        (place.join("link"), place.join("hard"), place.join("fifo"), Path::new("/dev/null"));
    symlink(&secret, &link).unwrap();
    fs::hard_link(&secret, &hard_link).unwrap();
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    for path in [&link, &fifo] {
        Account::other().owns(path);
    }
    set_mode(&fifo, 0o666);
    for (path, why) in [
        (link.as_path(), "symbolic links"),
        (&hard_link, "it has more than one hard link"),
        (&fifo, ""),
        (device, "not a regular file"),
        (&place, "directory"),
    ] {
        let output =
            rootless.glexec().env("GLEXEC_HELPERS_LOG", path).arg("/bin/true").output().unwrap();
        failed(&output, 0, &["warning: cannot write to the log", &path.display().to_string(), why]);
    }
    // Also while a process reads from the FIFO, and by the other programs.
    let _reader = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let output =
        rootless.glexec().env("GLEXEC_HELPERS_LOG", &fifo).arg("/bin/true").output().unwrap();
    failed(&output, 0, &["warning", "not a regular file"]);
    let sandbox = rootless.site.sandbox("s");
    let mut setup = rootless.site.call(SETUP, &program("glexec"), &sandbox);
    failed(
        &setup.env("GLEXEC_HELPERS_LOG", &link).output().unwrap(),
        0,
        &["warning", "symbolic links"],
    );
    assert_eq!(text(&secret), "a token\n");
}

#[test]
fn a_system_log_that_takes_nothing_is_not_waited_for() {
    let rootless = Rootless::new();
    let device = rootless.site.path().join("dev");
    fs::create_dir(&device).unwrap();
    let socket = UnixDatagram::bind(rootless.site.path().join("log")).unwrap();
    set_mode(rootless.site.path().join("log"), 0o666);
    let full = UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.send_to(b"x", rootless.site.path().join("log")).is_ok() {}
    let script = "mount -t tmpfs none dev && for name in null log; do : >dev/$name; done
        mount --bind /dev/null dev/null && mount --bind log dev/log && mount --rbind dev /dev ||
            exit 9
        exec setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$0\" /bin/true";
    let call = rootless.glexec();
    let mut shell = Command::new("unshare");
    shell
        .args(["--mount", "/bin/sh", "-c", script])
        .arg(call.get_program())
        .current_dir(rootless.site.path());
    shell.env_clear().envs(variables_of(&call)).env("GLEXEC_HELPERS_LOG", "syslog");
    failed(&shell.output().unwrap(), 0, &["warning: cannot write to the log syslog"]);
    drop(socket);
}

#[test]
fn no_program_works_with_rights_that_its_file_gives_it() {
    let rootless = Rootless::new();
    let place = rootless.site.path().join("bin");
    fs::create_dir(&place).unwrap();
    let log = rootless.site.path().join("log");
    let names =
        ["setup", "run", "job_wrapper", "cleanup", "kill", "update_proxy", "pilot", "agent"];
    for name in names
        .map(|name| format!("condor_glexec_{name}"))
        .iter()
        .map(String::as_str)
        .chain(["glexec", "glexec_wrapenv", "glexec_unwrapenv", "mkgltempdir"])
    {
        let path = place.join(name);
        executable(&path, &fs::read(program(name)).unwrap());
        let status = match name {
            "glexec" => 202,
            "condor_glexec_pilot" => 240,
            "glexec_unwrapenv" => 125,
            _ => 1,
        };
        let refused = |what: &str| {
            let mut command = Account::batch().command(&path);
            command.env_clear().env("PATH", "/usr/bin:/bin").env("GLEXEC_HELPERS_LOG", &log);
            let output = command
                .env("GLEXEC_CLIENT_CERT", rootless.credential("credential"))
                .arg("--help")
                .output()
                .unwrap();
            failed(&output, status, &[&format!("{name}: "), "set-user-ID", "chmod u-s,g-s"]);
            assert!(output.stdout.is_empty() && !log.exists(), "{what}");
        };
        set_mode(&path, 0o2755);
        refused("the group");
        // A glexec that is root's and set-user-ID follows its configuration: tests/setuid.rs.
        if name != "glexec" {
            set_mode(&path, 0o4755);
            refused("the user");
        }
        set_mode(&path, 0o755);
        assert!(Command::new("setcap").arg("cap_chown+ep").arg(&path).status().unwrap().success());
        refused("capabilities");
        // The file belongs to the caller: it gives no other user's rights.
        Account::batch().owns(&path);
        set_mode(&path, 0o6755);
        let output = Account::batch().command(&path).arg("--help").output().unwrap();
        assert_ne!(
            (output.status.code(), messages(&output).contains("chmod u-s")),
            (Some(status), true),
            "{name}"
        );
    }
}

// What the payload cannot do.

#[test]
fn a_payload_cannot_reach_its_caller_nor_another_payload() {
    let rootless = Rootless::new();
    let mut caller = Account::batch().command("sleep").arg("60").spawn().unwrap();
    let secret = rootless.credential("secret");
    let other = rootless.credential("of the other");
    let (mut neighbour, neighbours) =
        begun(rootless.glexec_with(&other).args(["/bin/sh", "-c", "id -u; exec sleep 60"]));
    // A second call of the same lease sees the caller's processes, but cannot reach them.
    let (mut first, user) =
        begun(rootless.glexec().args(["/bin/sh", "-c", "id -u; exec sleep 60"]));
    assert_ne!(user, neighbours);
    let others = processes_of(neighbours.parse().unwrap());
    assert_eq!(others.len(), 1);
    assert_eq!(rootless.says("strace -qq -o /dev/null echo can trace"), "can trace");
    for pid in others.into_iter().chain([caller.id(), neighbour.id(), first.id()]) {
        let script = format!(
            "kill -9 {pid} 2>/dev/null && echo killed
            cat /proc/{pid}/environ 2>/dev/null && echo read
            cat /proc/{pid}/mem 2>/dev/null && echo mem
            ls /proc/{pid}/fd 2>/dev/null && echo fd
            strace -p {pid} 2>&1 | grep -q attached && echo traced
            [ -d /proc/{pid} ] && echo seen"
        );
        assert_eq!(rootless.says(&script), "seen", "process {pid}");
        assert!(is_alive(pid));
    }
    let script = format!(
        "cat {} 2>/dev/null || echo closed; echo x 2>/dev/null >{} || echo closed",
        secret.display(),
        secret.display()
    );
    assert_eq!(rootless.says(&script), "closed\nclosed");
    for child in [&mut first, &mut neighbour, &mut caller] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_namespace_that_a_payload_has_made_is_not_joined() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let (mut first, _) =
        begun(rootless.glexec().args(["/bin/sh", "-c", "echo begun; exec sleep 60"]));
    let nested = "unshare --user /bin/sh -c 'echo begun; exec sleep 60'";
    let (mut second, _) = begun(rootless.glexec().args(["/bin/sh", "-c", nested]));
    let printed = "readlink /proc/self/ns/user; id -u";
    let beside_both = rootless.says(printed);
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("only the second is left", || processes_of(user).len() == 2);
    // The shell above the nested one is still in the namespace of the lease.
    assert_eq!(rootless.says(printed), beside_both);
    second.kill().unwrap();
    second.wait().unwrap();
    // Also where no process is left in the namespace of the lease.
    let (mut first, _) =
        begun(rootless.glexec().args(["/bin/sh", "-c", "echo begun; exec sleep 60"]));
    let nested = "exec unshare --user /bin/sh -c 'echo begun; exec sleep 60'";
    let (mut second, _) = begun(rootless.glexec().args(["/bin/sh", "-c", nested]));
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("only the second is left", || processes_of(user).len() == 1);
    let alone = processes_of(user)[0];
    let nested = fs::read_link(format!("/proc/{alone}/ns/user")).unwrap();
    let lines = rootless.says(&format!("{printed}; kill {alone} && echo killed"));
    assert!(
        !lines.contains(nested.to_str().unwrap()) && lines.ends_with(&format!("{user}\nkilled")),
        "{lines}"
    );
    assert_eq!(second.wait().unwrap().code(), Some(143));
    assert_eq!(rootless.user(), user);
}

#[test]
fn processes_above_a_payload_keep_no_descriptor_of_the_callers_open() {
    let rootless = Rootless::new();
    for beside in [false, true] {
        let _beside = beside.then(|| Target::through(rootless.glexec()));
        let call = rootless.glexec();
        let mut open = Account::batch().command("/bin/sh");
        open.args(["-c", "exec \"$@\" 7</etc/passwd", "sh"]).arg(call.get_program());
        open.args(["/bin/sh", "-c", "echo begun; exec sleep 60 >/dev/null"]).env_clear();
        open.envs(variables_of(&call));
        let (mut child, _) = begun(&mut open);
        let guard = children_of(child.id())[0];
        // Neither the caller's descriptors nor the table of leases.
        let table = format!("/var/tmp/glexec-{}", Account::batch().uid);
        let unwanted = [Path::new("/etc/passwd"), Path::new(&table)];
        for pid in [child.id(), guard] {
            let open = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
            let paths = || open().filter_map(|entry| fs::read_link(entry.path()).ok());
            assert!(paths().count() > 3, "they can be seen");
            assert_eq!(paths().find(|path| unwanted.contains(&path.as_path())), None);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_payload_makes_no_file_set_user_id_or_set_group_id_in_any_way() {
    let rootless = Rootless::new();
    let place = |name: &str| rootless.site.execute().join(name);
    let doors =
        |name: &str| format!("{} {}", program("examples/set_id").display(), place(name).display());
    // Without the filter some of the attempts succeed.
    fs::create_dir(place("outside")).unwrap();
    Account::batch().owns(place("outside"));
    let outside =
        Account::batch().command("/bin/sh").args(["-c", &doors("outside")]).output().unwrap();
    let outside = String::from_utf8(outside.stdout).unwrap();
    assert!(
        outside.contains("open uid: 0\n") && outside.contains("creat32 both: 0\n"),
        "{outside}"
    );
    let said =
        rootless.says(&format!("mkdir {} && {}", place("inside").display(), doors("inside")));
    for line in said.lines() {
        let (way, cause) =
            line.split_once(": ").unwrap_or_else(|| panic!("it has such bits: {line}"));
        let expected = match way {
            way if way.starts_with("plain") => "0",
            // Calls whose arguments a filter cannot see, or of another ABI.
            way if ["openat2", "io_uring", "chmod of x32"]
                .iter()
                .any(|word| way.starts_with(word)) =>
            {
                "38"
            }
            _ => "1",
        };
        assert_eq!(cause, expected, "{way}");
    }
    // The same for a payload that joins a namespace, and for one in a nested namespace.
    let _beside = Target::through(rootless.glexec());
    for words in ["", "unshare --user --map-root-user "] {
        let file = place("door");
        let script = format!(
            "cp /bin/true {0}; chmod 755 {0}; {words}chmod 4755 {0} 2>&1; stat -c %a {0}; rm {0}",
            file.display()
        );
        let said = rootless.says(&script);
        assert!(said.contains("Operation not permitted") && said.ends_with("\n755"), "{said}");
    }
    assert_eq!(
        rootless.says("mkdir -p /tmp/gh-test-$$/sub && echo made && rm -r /tmp/gh-test-$$"),
        "made"
    );
}

#[test]
fn the_installed_agent_alone_has_openat2_and_only_where_it_executes_nothing() {
    let rootless = Rootless::new();
    let installed = rootless.site.path().join("bin");
    fs::create_dir(&installed).unwrap();
    let (glexec, agent) = (installed.join("glexec"), installed.join("condor_glexec_agent"));
    let copy = rootless.site.path().join("condor_glexec_agent");
    for (path, name, mode) in [(&glexec, "glexec", 0o755), (&agent, "condor_glexec_agent", 0o711)] {
        executable(path, &fs::read(program(name)).unwrap());
        set_mode(path, mode);
    }
    executable(&copy, &fs::read(&agent).unwrap());
    set_mode(&copy, 0o711);
    // Each call fails: the agent gets no socket, and there is no such wrapper.
    let length_of_filter = |program: &Path, words: &[&str]| {
        let trace = rootless.site.scratch().join("trace");
        let call = rootless.glexec();
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-u", "gh-batch", "-e", "trace=seccomp", "-o"]).arg(&trace);
        traced
            .arg(&glexec)
            .arg(program)
            .args(words)
            .env_clear()
            .envs(variables_of(&call))
            .stdin(Stdio::null());
        traced.output().unwrap();
        let text = text(&trace);
        let found: Vec<&str> = text.lines().filter(|line| line.contains("seccomp(")).collect();
        assert!(found.len() == 1 && found[0].ends_with(" = 0"), "{text}");
        found[0].split_once("len=").unwrap().1.split(',').next().unwrap().parse::<u32>().unwrap()
    };
    let whole = length_of_filter(Path::new("/bin/true"), &[]);
    for words in [&["serve", "/nonexistent"][..], &["hunt-account", "1", "15", "0", "ignore"]] {
        assert!(length_of_filter(&agent, words) < whole, "{words:?}");
        assert_eq!(length_of_filter(&copy, words), whole, "another file of that name, {words:?}");
    }
    assert_eq!(length_of_filter(&agent, &["enter", "/nonexistent", "mark", "/bin/true"]), whole);
    // If the payload's user can read the file, it can also trace the process.
    set_mode(&agent, 0o755);
    assert_eq!(length_of_filter(&agent, &["serve", "/nonexistent"]), whole);
}

#[test]
fn the_callers_keys_do_not_reach_a_payload() {
    let rootless = Rootless::new();
    let shown = |command: &mut Command| {
        let output = with_a_key(command.args(["cat", "/proc/keys"])).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(shown(&mut Account::batch().command("/usr/bin/env")).contains(KEY));
    let payloads = shown(&mut rootless.glexec());
    assert!(payloads.contains("_ses") && !payloads.contains("gh-test"), "{payloads}");
}

#[test]
fn keys_of_a_payload_block_no_other_call_of_its_lease() {
    let rootless = Rootless::new();
    let (mut child, _) =
        begun(rootless.glexec().arg(program("examples/process_family")).arg("keys"));
    succeeded(with_a_key(rootless.glexec().arg("/bin/true")).output().as_ref().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_that_a_payload_started_outlives_it() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let script = "setsid sh -c 'trap \"\" HUP TERM; sleep 100 & exec sleep 100' >/dev/null 2>&1 &
        nohup sleep 100 >/dev/null 2>&1 & exit 3";
    assert_eq!(rootless.shell(script).status.code(), Some(3));
    assert_eq!(processes_of(user), [0; 0]);
    // A payload beside another call of its lease has no separate pid namespace that ends with it.
    let (mut first, _) =
        begun(rootless.glexec().args(["/bin/sh", "-c", "echo begun; exec sleep 60"]));
    assert_eq!(rootless.shell(script).status.code(), Some(3));
    assert_eq!(processes_of(user).len(), 1);
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("the first has ended, too", || processes_of(user).is_empty());
}

#[test]
fn a_payload_that_exhausts_its_processes_does_not_exhaust_the_callers() {
    let rootless = Rootless::new();
    let (user, other) = (rootless.user(), rootless.credential("other"));
    let call = rootless.glexec();
    // In addition to the processes of other tests.
    let most = 1200 + all_tasks_of(Account::batch().uid);
    let limited = |credential: Option<&Path>, words: &[&str]| {
        let mut command = Account::batch().command("prlimit");
        command.arg(format!("--nproc={most}"));
        if credential.is_some() {
            command.arg(call.get_program());
        }
        command.args(words).env_clear().envs(variables_of(&call));
        command.env("GLEXEC_CLIENT_CERT", credential.unwrap_or(Path::new("/nonexistent")));
        command
    };
    let own = rootless.site.scratch().join("credential");
    let bomb = ["/bin/bash", "-c", "id -u; while :; do sleep 100 & done"];
    let (mut child, _) = begun(limited(Some(&own), &bomb).stderr(Stdio::null()));
    let mut before = 0;
    wait_until("it has as many as it can", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = processes_of(user).len();
        before == std::mem::replace(&mut before, now) && now > 100
    });
    // Neither the caller's limit nor another payload's is reached; and another call of the same
    // lease can end it.
    let words = ["/bin/sh", "-c", "/bin/true; /bin/echo enough"];
    for (credential, words) in [
        (None, &words[..]),
        (Some(other.as_path()), &words),
        (Some(&own), &["/bin/echo", "enough"]),
    ] {
        let output = limited(credential, words).output().unwrap();
        assert_eq!(
            (messages(&output).as_str(), output.stdout.as_slice()),
            ("", &b"enough\n"[..]),
            "{credential:?}"
        );
    }
    // With a second such payload, the caller can still start processes.
    let (mut another, anothers) = begun(limited(Some(&other), &bomb).stderr(Stdio::null()));
    let others: u32 = anothers.parse().unwrap();
    let mut before = 0;
    wait_until("it has as many as it can, too", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = processes_of(others).len();
        before == std::mem::replace(&mut before, now) && now > 20
    });
    let output = limited(None, &words).output().unwrap();
    assert_eq!((messages(&output).as_str(), output.stdout.as_slice()), ("", &b"enough\n"[..]));
    for child in [&mut child, &mut another] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_until("none is left", || processes_of(user).len() + processes_of(others).len() == 0);
}

/// How many tasks (processes and threads) a user has.
fn all_tasks_of(user: u32) -> usize {
    processes_of(user)
        .iter()
        .map(|pid| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count))
        .sum()
}

// Ends and signals.

#[test]
fn a_call_that_is_killed_at_any_moment_leaves_no_process_and_blocks_no_other_call() {
    let rootless = Rootless::new();
    let user = rootless.user();
    for moment in 0..40 {
        let mut child = rootless.glexec().args(["sleep", "60"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(moment * 250));
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("no process is left", || processes_of(user).is_empty());
    }
    assert_eq!(rootless.user(), user);
}

#[test]
fn a_call_beside_another_or_with_all_of_its_group_that_is_killed_at_any_moment_leaves_no_process() {
    let rootless = Rootless::new();
    let user = rootless.user();
    for (beside, of_group) in [(false, true), (true, false), (true, true)] {
        let first = beside.then(|| {
            begun(rootless.glexec().args(["/bin/sh", "-c", "echo begun; exec sleep 60"])).0
        });
        for moment in 0..20 {
            // It also leaves a detached process.
            let script = "setsid sleep 60 >/dev/null 2>&1 & exec sleep 60";
            let mut child =
                rootless.glexec().args(["/bin/sh", "-c", script]).process_group(0).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(moment * 500));
            match of_group {
                true => nix::sys::signal::killpg(
                    nix::unistd::Pid::from_raw(child.id().cast_signed()),
                    SIGKILL,
                )
                .unwrap(),
                false => child.kill().unwrap(),
            }
            child.wait().unwrap();
            let expected = usize::from(beside);
            wait_until("no process is left", || processes_of(user).len() == expected);
        }
        if let Some(mut first) = first {
            assert!(first.try_wait().unwrap().is_none());
            first.kill().unwrap();
            first.wait().unwrap();
            wait_until("the first has ended, too", || processes_of(user).is_empty());
        }
    }
    assert_eq!(rootless.user(), user);
}

#[test]
fn signals_reach_the_payload() {
    use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1};
    let rootless = Rootless::new();
    let user = rootless.user();
    for beside in [false, true] {
        let _beside = beside.then(|| Target::through(rootless.glexec()));
        for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
            let name = &number.as_str()[3..];
            let script = format!("trap 'exit 5' {name}; echo begun; while :; do sleep 0.05; done");
            let (mut child, _) = begun(rootless.glexec().args(["/bin/sh", "-c", &script]));
            signal(child.id(), number);
            assert_eq!(child.wait().unwrap().code(), Some(5), "{name}");
        }
        // A shell whose child dies of a terminal's signal ends too.
        let (mut child, _) = begun(rootless.glexec().args([
            "/bin/sh",
            "-c",
            "echo begun; sleep 60; echo went on >&2",
        ]));
        // Before its child runs, only the shell would get the signal.
        let sleeps = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        };
        let others = usize::from(beside);
        wait_until("it waits", || {
            processes_of(user).iter().filter(|pid| sleeps(pid)).count() == others + 1
        });
        signal(child.id(), SIGINT);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let (mut child, _) =
            begun(rootless.glexec().args(["/bin/bash", "-c", "echo begun; sleep 60; :"]));
        wait_until("all have begun", || processes_of(user).len() == others + 2);
        let stopped = || processes_of(user).iter().filter(|pid| state(**pid) == Some('T')).count();
        signal(child.id(), SIGTSTP);
        wait_until("all are stopped", || stopped() == 2);
        signal(child.id(), SIGCONT);
        wait_until("all go on", || stopped() == 0);
        signal(child.id(), SIGTERM);
        assert_eq!(child.wait().unwrap().code(), Some(143));
        wait_until("no process is left", || processes_of(user).len() == others);
    }
}

#[test]
fn a_payload_reads_from_the_callers_terminal_but_cannot_open_it() {
    let rootless = Rootless::new();
    let call = rootless.glexec();
    let script = "echo begun; (: </dev/tty) 2>/dev/null || echo no terminal
        read line; echo got $line; exec sleep 60";
    let words = format!("exec {} /bin/sh -c '{script}'", call.get_program().display());
    let mut terminal = Account::batch().command("script");
    terminal
        .args(["-qefc", &words, "/dev/null"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    terminal.envs(variables_of(&call));
    let mut terminal = terminal.spawn().unwrap();
    let mut screen = BufReader::new(terminal.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        screen.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    assert_eq!([line(), line()], ["begun", "no terminal"]);
    let keyboard = terminal.stdin.as_mut().unwrap();
    keyboard.write_all(b"hello\n").unwrap();
    assert_eq!([line(), line()], ["hello", "got hello"]);
    keyboard.write_all(b"\x03").unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(130));
}

#[test]
fn nothing_is_left_of_a_call_whose_guard_is_killed() {
    let rootless = Rootless::new();
    let user = rootless.user();
    for beside in [false, true] {
        let _beside = beside.then(|| Target::through(rootless.glexec()));
        let script = "echo begun; setsid sleep 60 >/dev/null 2>&1 & exec sleep 60";
        let (mut child, _) = begun(rootless.glexec().args(["/bin/sh", "-c", script]));
        wait_until("all have begun", || processes_of(user).len() == 2 + usize::from(beside));
        signal(children_of(child.id())[0], SIGKILL);
        assert_eq!(child.wait().unwrap().code(), Some(137));
        wait_until("no process is left", || processes_of(user).len() == usize::from(beside));
    }
}

#[test]
fn a_caller_that_had_children_keeps_them() {
    let rootless = Rootless::new();
    let _beside = Target::through(rootless.glexec());
    let call = rootless.glexec();
    let mut shell = Account::batch().command("/bin/sh");
    // One of them leaves an orphan.
    let script =
        "sleep 60 >/dev/null & echo $!; (sleep 0.1; sleep 61 >/dev/null &) & exec \"$0\" sleep 60";
    shell.args(["-c", script]).arg(call.get_program()).env_clear();
    shell.envs(variables_of(&call));
    let (mut child, own) = begun(&mut shell);
    let own: u32 = own.parse().unwrap();
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let adopted =
        || children_of(child.id()).into_iter().find(|pid| *pid != own && name(pid) == "sleep\n");
    wait_until("it has adopted one", || adopted().is_some());
    let adopted = adopted().unwrap();
    let of_glexec = || children_of(child.id()).into_iter().filter(|pid| name(pid) == "glexec\n");
    let mut guard = None;
    wait_until("the guard has a payload", || {
        guard = of_glexec().find(|pid| !children_of(*pid).is_empty());
        guard.is_some()
    });
    signal(guard.unwrap(), SIGKILL);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    for pid in [own, adopted] {
        assert!(is_alive(pid));
        signal(pid, SIGKILL);
    }
}

#[test]
fn the_caller_can_end_a_payload_that_is_killed_from_outside() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let (mut child, _) =
        begun(rootless.glexec().args(["/bin/sh", "-c", "echo begun; exec sleep 60"]));
    let mut kill = Account::batch().command("kill");
    assert!(kill.args(["-KILL", &processes_of(user)[0].to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

#[test]
fn with_few_descriptors_a_call_works_or_says_so_and_nothing_is_left() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let call = |limit: u32| {
        let mut call = rootless.glexec();
        call.arg("/bin/true");
        under(&call, &["prlimit", &format!("--nofile={limit}:{limit}")]).output().unwrap()
    };
    for limit in 3..20 {
        let output = call(limit);
        if !output.status.success() {
            failed(&output, 202, &["glexec: "]);
        }
        assert_eq!(processes_of(user), [0; 0], "{limit} descriptors");
        assert_eq!(rootless.user(), user, "{limit} descriptors");
    }
    succeeded(&call(20));
}

#[test]
fn an_agent_with_few_descriptors_works_or_leaves_all_as_it_was() {
    let site = Site::new();
    let glexec = program("glexec");
    let (switcher, prlimit) = (glexec.display(), "prlimit LIMIT");
    let both =
        [format!("exec {prlimit} {switcher} \"$@\""), format!("exec {switcher} {prlimit} \"$@\"")];
    for (place, words) in both.iter().enumerate() {
        let (mut failures, mut limit) = (0, 3);
        loop {
            let sandbox = site.sandbox("s");
            fs::create_dir(sandbox.join("directory")).unwrap();
            write(sandbox.join("directory/file"), "content", 0o644);
            own(&sandbox, Account::batch());
            let few = site.script(
                &format!("few {place} {limit}"),
                &words.replace("LIMIT", &format!("--nofile={limit}:{limit}")),
            );
            let output = site.call(SETUP, &few, &sandbox).output().unwrap();
            let mut works = output.status.success();
            if works {
                let output = site.call("condor_glexec_cleanup", &few, &sandbox).output().unwrap();
                works = output.status.success();
                if !works {
                    assert_eq!(
                        site.entries(),
                        ["s", "s.condor"],
                        "{limit} descriptors: {}",
                        messages(&output)
                    );
                    succeeded(
                        &site.call("condor_glexec_cleanup", &glexec, &sandbox).output().unwrap(),
                    );
                }
            }
            assert_eq!(site.entries(), ["s"], "{limit} descriptors: {}", messages(&output));
            assert_eq!(
                (Account::of(&sandbox), text(sandbox.join("directory/file")).as_str()),
                (Account::batch(), "content")
            );
            fs::remove_dir_all(&sandbox).unwrap();
            if works {
                break;
            }
            failures += 1;
            limit += 1;
            assert!(limit < 40, "it never works: {}", messages(&output));
        }
        assert!(failures > 0);
    }
}

#[test]
fn a_deep_tree_crosses_through_a_switcher_whose_limit_of_descriptors_is_low_but_may_be_raised() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let deep: std::path::PathBuf = (0..400).map(|_| "d").collect();
    fs::create_dir_all(sandbox.join(&deep)).unwrap();
    write(sandbox.join(&deep).join("file"), "content", 0o644);
    own(&sandbox, Account::batch());
    let low =
        site.script("low", &format!("ulimit -Sn 32; exec {} \"$@\"", program("glexec").display()));
    for name in [SETUP, "condor_glexec_cleanup"] {
        succeeded(&site.call(name, &low, &sandbox).output().unwrap());
    }
    assert_eq!(text(sandbox.join(&deep).join("file")), "content");
}

// Leases.

#[test]
fn a_credential_has_one_user_and_another_credential_another() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let second = rootless.credential("second");
    let other = String::from_utf8(
        rootless.glexec_with(&second).args(["id", "-u"]).output().unwrap().stdout,
    )
    .unwrap();
    assert_ne!(other.trim(), user.to_string());
    assert_eq!(rootless.user(), user);
    // By another path to the same file.
    let way = rootless.site.scratch().join("../scratch/credential");
    let same =
        String::from_utf8(rootless.glexec_with(&way).args(["id", "-u"]).output().unwrap().stdout)
            .unwrap();
    assert_eq!(same.trim(), user.to_string());
}

#[test]
fn a_call_beside_another_of_its_lease_joins_its_user_namespace_and_keeps_the_callers_pids() {
    let rootless = Rootless::new();
    let (mut first, _) =
        begun(rootless.glexec().args(["/bin/sh", "-c", "echo begun; MARK=x exec sleep 60"]));
    let user = rootless.user();
    let sleeps = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    };
    let mut found = None;
    wait_until("it sleeps", || {
        found = processes_of(user).into_iter().find(sleeps);
        found.is_some()
    });
    let pid = found.unwrap();
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let said = rootless.says(&format!(
        "readlink /proc/self/ns/pid /proc/self/ns/user /proc/{pid}/ns/user
        tr '\\0' '\\n' </proc/{pid}/environ | grep MARK; kill {pid}"
    ));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(Path::new(lines[0]), own);
    assert_eq!(lines[1], lines[2]);
    assert_eq!(lines[3], "MARK=x");
    assert_eq!(first.wait().unwrap().code(), Some(143));
}

#[test]
fn a_lease_ends_with_its_credential_and_its_remaining_processes_are_killed() {
    let rootless = Rootless::new();
    let lost = rootless.credential("lost");
    let mut call = rootless.glexec_with(&lost);
    let (mut first, user) = begun(call.args(["/bin/sh", "-c", "id -u; exec sleep 60"]));
    let id = user.parse().unwrap();
    // A process whose first thread has ended, of a call that was killed with its guard: it was not
    // killed with the call.
    let family = program("examples/process_family").display().to_string();
    let script = format!("setsid {family} zombie-leader & read end");
    let mut call = rootless.glexec_with(&lost);
    let (mut second, _) = begun(call.args(["/bin/sh", "-c", &script]).stdin(Stdio::piped()));
    let guard = children_of(second.id());
    assert_eq!(guard.len(), 1);
    signal(guard[0], SIGSTOP);
    second.kill().unwrap();
    second.wait().unwrap();
    signal(guard[0], SIGKILL);
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("only the straggler is left", || processes_of(id).len() == 1);
    let lease = Path::new("/var/tmp").join(format!("glexec-{}", Account::batch().uid)).join(&user);
    rootless.user();
    assert!(text(&lease).ends_with("/lost"));
    fs::remove_file(&lost).unwrap();
    rootless.user();
    assert_eq!((lease.exists(), processes_of(id)), (false, vec![]));
    let free = lease.with_file_name("free");
    assert!(text(&free).lines().any(|free| free == user));
    assert_eq!(
        (owner(&free), fs::metadata(&free).unwrap().mode() & 0o777),
        (Account::batch(), 0o600)
    );
}

#[test]
fn a_lease_does_not_end_while_a_call_uses_it() {
    let rootless = Rootless::new();
    let moved = rootless.credential("moved");
    let mut call = rootless.glexec_with(&moved);
    let (mut child, user) = begun(call.args(["/bin/sh", "-c", "id -u; exec sleep 60"]));
    // As while a sandbox is handed over.
    let aside = moved.with_extension("aside");
    fs::rename(&moved, &aside).unwrap();
    assert_ne!(rootless.user().to_string(), user);
    fs::rename(&aside, &moved).unwrap();
    assert!(child.try_wait().unwrap().is_none());
    let again = rootless.glexec_with(&moved).args(["id", "-u"]).output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap().trim(), user);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The user id that a credential, which may be new, gets in a table of leases.
fn user_in(rootless: &Rootless, table: &Path, name: &str) -> u32 {
    let path = rootless.site.scratch().join(name);
    let credential = if path.exists() { path } else { rootless.credential(name) };
    let output = rootless
        .glexec_with(&credential)
        .env("GLEXEC_STATE_DIR", table)
        .args(["id", "-u"])
        .output()
        .unwrap();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn ids_that_were_never_leased_are_chosen_first_and_then_those_that_were_released_first() {
    let rootless = Rootless::new();
    let [first, second, third] = [10, 11, 12].map(|place| SUBORDINATE.start + place);
    let taken = SUBORDINATE.filter(|user| ![first, second, third].contains(user));
    let table = rootless.table("state", taken, &[second, first]);
    let given = ["one", "two", "three"].map(|name| user_in(&rootless, &table, name));
    assert_eq!(given, [third, second, first]);
    // Released in another order, they are leased in that order.
    for name in ["two", "one"] {
        fs::remove_file(rootless.site.scratch().join(name)).unwrap();
        assert_eq!(user_in(&rootless, &table, "three"), first);
    }
    assert_eq!(["four", "five"].map(|name| user_in(&rootless, &table, name)), [second, third]);
}

#[test]
fn an_id_is_not_leased_while_any_process_has_it() {
    let rootless = Rootless::new();
    let [first, second] = [20, 21].map(|place| SUBORDINATE.start + place);
    let next = |name: &str| {
        let table =
            rootless.table(name, SUBORDINATE.filter(|user| ![first, second].contains(user)), &[]);
        let wanted = rootless.credential(&format!("wanted in {name}"));
        let mut wanted = rootless.glexec_with(&wanted);
        wanted
            .env("GLEXEC_STATE_DIR", &table)
            .env("GLEXEC_LEASE_UID", first.to_string())
            .arg("/bin/true");
        failed(
            &wanted.output().unwrap(),
            201,
            &[&format!("uid {first} is leased to another credential")],
        );
        let user = user_in(&rootless, &table, &format!("first of {name}"));
        fs::remove_dir_all(&table).unwrap();
        user
    };
    // A set-user-ID file, as payloads could once make: another account has the id as its effective
    // and its saved user id.
    let door = rootless.site.path().join("door");
    executable(&door, &fs::read("/bin/bash").unwrap());
    std::os::unix::fs::chown(&door, Some(first), Some(first)).unwrap();
    set_mode(&door, 0o4755);
    let (mut outsider, _) = begun(
        Account::other()
            .command(&door)
            .args(["-p", "-c", "echo begun; read end"])
            .stdin(Stdio::piped()),
    );
    assert_eq!(next("beside a door"), second);
    outsider.kill().unwrap();
    outsider.wait().unwrap();
    // A process that root started with the id, in no namespace of the caller's.
    let (mut roots, _) = begun(
        Command::new("/bin/sh").args(["-c", "echo begun; exec sleep 60"]).uid(first).gid(first),
    );
    assert_eq!(next("beside root's"), second);
    roots.kill().unwrap();
    roots.wait().unwrap();
    assert_eq!(
        user_in(
            &rootless,
            &rootless.table("alone", SUBORDINATE.filter(|user| *user != first), &[]),
            "last"
        ),
        first
    );
}

#[test]
fn a_wanted_id_is_not_leased_while_another_credential_has_it() {
    let rootless = Rootless::new();
    let [wanted, other] = [50, 51].map(|place| SUBORDINATE.start + place);
    let table = rootless.table("state", 0..0, &[]);
    let call = |credential: &str, user: &str| {
        let mut command = rootless.glexec_with(&rootless.site.scratch().join(credential));
        command.env("GLEXEC_STATE_DIR", &table).env("GLEXEC_LEASE_UID", user).args(["id", "-u"]);
        command.output().unwrap()
    };
    rootless.credential("second");
    let printed = |user: u32| format!("{user}\n").into_bytes();
    assert_eq!(call("credential", &wanted.to_string()).stdout, printed(wanted));
    // No call uses it now, and no process has it.
    failed(
        &call("second", &wanted.to_string()),
        201,
        &[&format!("uid {wanted} is leased to another credential")],
    );
    failed(&call("credential", &other.to_string()), 201, &[&format!("has uid {wanted}")]);
    failed(&call("second", "4000000000"), 201, &["not one of your subordinate ids"]);
    failed(&call("second", "-1"), 201, &["not a user id"]);
    assert_eq!(call("credential", &wanted.to_string()).stdout, printed(wanted));
    assert_eq!(call("second", &other.to_string()).stdout, printed(other));
    fs::remove_file(rootless.site.scratch().join("credential")).unwrap();
    rootless.credential("third");
    assert_eq!(call("third", &wanted.to_string()).stdout, printed(wanted));
    // Also in the default table.
    let printed = with_an_empty_parent_of_leases(&format!(
        "export wanted={wanted}; glexec 1; glexec 2 2>&1; glexec 1; export wanted=; glexec 2"
    ));
    let lines: Vec<&str> = printed.lines().collect();
    let [first, refused, again, second] = lines[..] else { panic!("{printed}") };
    assert_eq!(
        (first, again, second),
        (&*wanted.to_string(), first, &*SUBORDINATE.start.to_string())
    );
    assert!(
        refused
            .ends_with(&format!("uid {wanted} is leased to another credential (GLEXEC_LEASE_UID)")),
        "{refused}"
    );
}

#[test]
fn a_lease_stays_while_the_credentials_file_system_cannot_be_seen() {
    let rootless = Rootless::new();
    let mounts = Mounts::below(rootless.site.path());
    let place = rootless.site.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let options = format!("mode=755,uid={}", Account::batch().uid);
    mounts.add(&["-t", "tmpfs", "-o", &options, "none"], &place);
    let path = place.join("credential");
    write(&path, "a token\n", 0o600);
    Account::batch().owns(&path);
    let user = |credential: &Path| {
        let output = rootless.glexec_with(credential).args(["id", "-u"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let before = user(&path);
    let lease =
        Path::new("/var/tmp").join(format!("glexec-{}", Account::batch().uid)).join(before.trim());
    // Another file system is mounted for a while: whether the credential exists cannot be seen.
    mounts.add(&["-t", "tmpfs", "none"], &place);
    assert_ne!(user(&rootless.credential("new")), before);
    assert!(text(&lease).ends_with("/mounted/credential"));
    assert!(Command::new("umount").arg(&place).status().unwrap().success());
    assert_eq!(user(&path), before);
    // Once it can be seen that the credential is gone, the lease ends.
    fs::remove_file(&path).unwrap();
    rootless.user();
    assert!(!lease.exists() || !text(&lease).ends_with("/mounted/credential"));
}

#[test]
fn no_two_tables_lease_the_same_id() {
    // No process of the leases runs meanwhile: only files keep the ids.
    let printed = with_an_empty_parent_of_leases(
        "one=/var/tmp/one other=/var/tmp/other copy=/var/tmp/copy; export table wanted
        table=$one; glexec 1; table=$other; glexec 2
        for wanted in 1900000000 1900000001; do
            for table in '' $one $other; do glexec 3 2>&1; done
        done
        wanted=1900000002 table=; glexec 4; table=$one; glexec 3 2>&1
        wanted=; cp -a $one $copy; table=$copy; glexec 1 2>&1; table=$one; glexec 1",
    );
    let id = |place: u32| (SUBORDINATE.start + place).to_string();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], [id(0), id(1)], "{printed}");
    let refused = |line: &str, user: &str| {
        line.ends_with(&format!("uid {user} is leased to another credential (GLEXEC_LEASE_UID)"))
    };
    assert!(lines[2..5].iter().all(|line| refused(line, &id(0))), "{printed}");
    assert!(lines[5..8].iter().all(|line| refused(line, &id(1))), "{printed}");
    assert_eq!(lines[8], id(2));
    assert!(refused(lines[9], &id(2)), "{printed}");
    // The claims of the first table do not count for a copy of it.
    assert!(
        lines[10].ends_with(&format!(
            "in GLEXEC_STATE_DIR has uid {}, which is leased to another credential",
            id(0)
        )),
        "{printed}"
    );
    assert_eq!(lines[11..], [id(0)]);
}

#[test]
fn an_id_that_another_table_claims_is_free_when_its_lease_is_over_or_the_table_is_gone() {
    let printed = with_an_empty_parent_of_leases(
        "export table=/var/tmp/one; glexec 1; glexec 2
        table=/var/tmp/other; rm /var/tmp/credential.1; glexec 3
        rm -r /var/tmp/one; glexec 4; glexec 5; table=; glexec 6",
    );
    let id = |place: u32| (SUBORDINATE.start + place).to_string();
    assert_eq!(printed.lines().collect::<Vec<_>>(), [0, 1, 0, 1, 2, 3].map(id), "{printed}");
}

#[test]
fn tables_that_are_made_at_one_time_lease_no_id_twice() {
    let rootless = Rootless::new();
    let free: Vec<u32> = SUBORDINATE.skip(40).take(10).collect();
    let children: Vec<Child> = (0..10)
        .map(|number| {
            let taken = SUBORDINATE.filter(|user| !free.contains(user));
            let table = rootless.table(&format!("table {number}"), taken, &[]);
            let mut command =
                rootless.glexec_with(&rootless.credential(&format!("credential {number}")));
            command
                .env("GLEXEC_STATE_DIR", table)
                .args(["id", "-u"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let users: BTreeSet<Vec<u8>> =
        children.into_iter().map(|child| child.wait_with_output().unwrap().stdout).collect();
    assert_eq!(users.len(), 10, "{users:?}");
}

/// Runs a shell script as root in a mount namespace with an empty /var/tmp. In there `glexec` calls
/// the switcher as the batch user, with the credential of that number.
fn with_an_empty_parent_of_leases(script: &str) -> String {
    let preamble = format!(
        "mount -t tmpfs -o mode=1777 none /var/tmp || exit 9
        glexec() {{ setpriv --reuid gh-batch --regid gh-batch --clear-groups /bin/sh -c '
            umask 077; c=/var/tmp/credential.$1; shift; [ -e $c ] || echo token >$c
            exec env -i PATH=/usr/bin:/bin GLEXEC_CLIENT_CERT=$c \\
                ${{wanted:+GLEXEC_LEASE_UID=$wanted}} ${{table:+GLEXEC_STATE_DIR=$table}} \\
                \"$@\"' sh \"$1\" {} id -u; }}
        usual=/var/tmp/glexec-{}; cd /\n",
        program("glexec").display(),
        Account::batch().uid
    );
    let mut shell = Command::new("unshare");
    shell
        .args(["--mount", "/bin/sh", "-c", &(preamble + script)])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = shell.output().unwrap();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""), "{script}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn another_user_that_takes_the_name_of_the_lease_directory_blocks_no_call() {
    let occupants = [
        "mkdir -m 777 $usual",
        "mkdir -m 700 $usual",
        ": >$usual",
        "ln -s /tmp $usual",
        "ln -s nowhere $usual",
    ];
    for occupant in occupants {
        let printed = with_an_empty_parent_of_leases(&format!(
            "{occupant}; chown -h gh-other $usual
            glexec 1; glexec 2; glexec 1
            rm -rf $usual; glexec 1; glexec 3
            mkdir $usual; chown gh-other $usual; glexec 2; rm -r $usual
            ls -d $usual* | wc -l; stat -c '%U %a' $usual.*"
        ));
        let lines: Vec<&str> = printed.lines().collect();
        let [one, two, again, one_after, three, two_after, count, of] = lines[..] else {
            panic!("{occupant}: {printed}")
        };
        assert_eq!((one, one, two), (again, one_after, two_after), "{occupant}");
        assert_eq!(BTreeSet::from([one, two, three]).len(), 3, "{occupant}");
        assert_eq!((count, of), ("1", "gh-batch 700"), "{occupant}");
    }
}

#[test]
fn a_lease_directory_that_a_late_call_has_made_is_not_used() {
    let printed = with_an_empty_parent_of_leases(
        "mkdir $usual; glexec 1; glexec 2; rmdir $usual
        mkdir -m 700 $usual $usual.0; chown gh-batch $usual $usual.0; glexec 2; glexec 3
        ls -d $usual* | wc -l",
    );
    let lines: Vec<&str> = printed.lines().collect();
    let [first, second, again, third, count] = lines[..] else { panic!("{printed}") };
    assert_eq!((second, count), (again, "1"));
    assert!(![first, second].contains(&third), "{printed}");
}

#[test]
fn first_calls_at_one_time_find_one_lease_directory_whatever_happens_to_the_name() {
    for _ in 0..5 {
        let printed = with_an_empty_parent_of_leases(
            "(while :; do mkdir $usual && chown gh-other $usual && rmdir $usual; done) 2>/dev/null &
            other=$!
            for number in 1 2 3 4 5 6; do glexec $number & all=\"$all $!\"; done
            wait $all; kill $other; wait $other 2>/dev/null
            ls -d $usual*/leases | wc -l",
        );
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), 7, "{printed}");
        assert_eq!(lines.last(), Some(&"1"));
    }
}

#[test]
fn credentials_at_one_path_in_two_mount_namespaces_are_two() {
    let rootless = Rootless::new();
    let place = rootless.site.scratch().join("own");
    fs::create_dir(&place).unwrap();
    Account::batch().owns(&place);
    let path = place.join("credential");
    write(&path, "a token\n", 0o600);
    Account::batch().owns(&path);
    let (mut child, user) =
        begun(rootless.glexec_with(&path).args(["/bin/sh", "-c", "id -u; exec sleep 60"]));
    // As for jobs that have private /tmp directories: the path does not exist there, and then it is
    // another file.
    let script = "mount -t tmpfs none $0 && chown gh-batch $0 || exit 9
        setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$2\" id -u
        (umask 077; echo other >$1) && chown gh-batch $1
        export GLEXEC_CLIENT_CERT=$1
        setpriv --reuid gh-batch --regid gh-batch --clear-groups \"$2\" id -u";
    let mut elsewhere = Command::new("unshare");
    elsewhere
        .args(["--mount", "/bin/sh", "-c", script])
        .arg(&place)
        .arg(&path)
        .arg(program("glexec"));
    let call = rootless.glexec();
    elsewhere.env_clear().envs(variables_of(&call));
    let output = elsewhere.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let others: BTreeSet<&str> = said.lines().collect();
    assert_eq!(
        (others.len(), others.contains(user.as_str())),
        (2, false),
        "{said} {}",
        support::messages(&output)
    );
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(
        rootless.glexec_with(&path).args(["id", "-u"]).output().unwrap().stdout,
        format!("{user}\n").into_bytes()
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_payload_that_is_held_before_it_is_executed_blocks_no_other_call() {
    let rootless = Rootless::new();
    let user = rootless.user();
    let call = rootless.glexec();
    // Its process is stopped before it executes the payload, for longer than the test takes.
    let mut held = Command::new("strace");
    held.args(["-D", "-f", "-qq", "-o", "/dev/null", "-u", "gh-batch", "-P", "/usr/bin/sleep"]);
    held.args(["-e", "inject=execve:delay_enter=600s"])
        .arg(call.get_program())
        .args(["/usr/bin/sleep", "60"])
        .env_clear();
    held.envs(variables_of(&call)).stdin(Stdio::null());
    let mut held = held.spawn().unwrap();
    wait_until("its process is the payload's", || !processes_of(user).is_empty());
    let other =
        rootless.glexec_with(&rootless.credential("other")).arg("/bin/true").output().unwrap();
    succeeded(&other);
    let payload = processes_of(user)[0];
    assert_eq!(text(format!("/proc/{payload}/comm")), "glexec\n", "it is not executed yet");
    let status = text(format!("/proc/{payload}/status"));
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    held.kill().unwrap();
    held.wait().unwrap();
    // Not before: the stopped process would continue.
    signal(tracer, SIGKILL);
    wait_until("no process is left", || processes_of(user).is_empty());
}

#[test]
fn fifty_callers_at_once_get_what_they_should() {
    let rootless = Rootless::new();
    let of_one: Vec<Child> = (0..25)
        .map(|_| {
            rootless
                .glexec()
                .args(["/bin/sh", "-c", "id -u; sleep 0.2"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let of_many: Vec<Child> = (0..25)
        .map(|number| {
            let credential = rootless.credential(&format!("credential {number}"));
            rootless
                .glexec_with(&credential)
                .args(["/bin/sh", "-c", "id -u; sleep 0.2"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let users = |children: Vec<Child>| -> Vec<String> {
        let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
        outputs
            .map(|output| {
                assert_eq!(output.status.code(), Some(0));
                String::from_utf8(output.stdout).unwrap()
            })
            .collect()
    };
    let (one, many) = (users(of_one), users(of_many));
    let all: BTreeSet<&String> = one.iter().collect();
    assert_eq!(all.len(), 1);
    let all: BTreeSet<&String> = one.iter().chain(&many).collect();
    assert_eq!(all.len(), 26);
}

// Called by the helpers.

#[test]
fn a_call_with_another_credential_is_an_ordinary_process_of_the_callers() {
    let site = Site::new();
    let (sandbox, glexec) = (site.sandbox("s"), program("glexec"));
    succeeded(&site.call(SETUP, &glexec, &sandbox).output().unwrap());
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    let other = site.sandbox("other");
    succeeded(&site.call(SETUP, &glexec, &other).output().unwrap());
    let mut foreign = Starter::start(run(&site, &glexec, &sandbox, &["/bin/sleep", "60"]));
    assert_eq!(foreign.launch(b"A=1", [&null, &null, &null]), b"");
    let output = kill(&site, &glexec, &other, foreign.child.id(), "KILL").output().unwrap();
    failed(&output, 2, &["not the job user's"]);
    foreign.child.kill().unwrap();
    foreign.wait();
}

// The demonstration.

#[test]
fn the_demonstration_needs_no_administrator() {
    let rootless = Rootless::new();
    let script = rootless.site.path().join("scripts/demo");
    fs::create_dir(script.parent().unwrap()).unwrap();
    executable(
        &script,
        &fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo")).unwrap(),
    );
    let programs = program("glexec").parent().unwrap().to_owned();
    let mut demo = Account::batch().command(&script);
    demo.arg("--programs").arg(programs).env_clear().env("PATH", "/usr/bin:/bin");
    let output = demo.output().unwrap();
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\nAll as claimed.\n"));
}

//! `glexec` set-user-ID root: what a call does, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Output, Stdio};

use support::doors;
use support::handover::set_mode;
use support::installation::install;
use support::setuid::{CONFIGURATION, LIBEXEC, Setuid, ends};
use support::{Account, SUBORDINATE, failed, messages, own, wait_until, write};

/// Status, standard output and standard error.
fn text_of(output: &Output) -> (Option<i32>, String, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text, messages(output))
}

#[test]
fn the_status_is_the_payloads_or_tells_by_which_signal_it_ended() {
    doors::statuses_are_the_payloads(&Setuid::new());
}

#[test]
fn the_payload_has_the_accounts_ids_in_all_places_and_no_capability() {
    doors::payloads_run_as(&Setuid::new(), Account::job());
}

#[test]
fn a_caller_that_asks_for_it_sees_the_payloads_own_end() {
    doors::a_call_ends_as_its_payload(&Setuid::new());
}

#[test]
fn a_program_that_cannot_be_executed_is_126_and_one_that_does_not_exist_127() {
    for lines in ["", "linger = no\n"] {
        let setuid = Setuid::with(lines);
        let script = setuid.site.script("no-interpreter", "");
        write(&script, "#!/nonexistent\n", 0o755);
        for (word, status, why) in [
            ("/etc/passwd", 126, "no user may execute it"),
            ("/etc", 126, "it is a directory"),
            (script.to_str().unwrap(), 126, "its interpreter does not exist"),
            ("/nonexistent", 127, "/nonexistent"),
            ("/etc/passwd/x", 127, "/etc/passwd/x"),
            ("nonexistent", 127, "no such program in /usr/local/bin:/usr/bin:/bin"),
        ] {
            failed(&setuid.glexec().arg(word).output().unwrap(), status, &[why]);
        }
    }
}

#[test]
fn a_usage_error_is_201_and_says_why() {
    let setuid = Setuid::new();
    let scratch = setuid.site.scratch();
    let credential = |name: &str, mode: u32, account: Account| {
        let path = scratch.join(name);
        write(&path, "a token\n", mode);
        account.owns(&path);
        path
    };
    let link = scratch.join("link");
    symlink(setuid.credential(), &link).unwrap();
    let fifo = scratch.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    Account::batch().owns(&fifo);
    let large = credential("large", 0o600, Account::batch());
    fs::write(&large, vec![b'x'; 8 << 20]).unwrap();
    for (path, why) in [
        (scratch.join("missing"), "cannot open"),
        (credential("readable", 0o644, Account::batch()), "chmod 600"),
        (credential("writable", 0o620, Account::batch()), "chmod 600"),
        // Root could open these.
        (credential("closed", 0o000, Account::batch()), "cannot open"),
        (credential("another's", 0o600, Account::other()), "cannot open"),
        ("/etc/shadow".into(), "cannot open"),
        (credential("open", 0o606, Account::other()), "not to you"),
        (link, "cannot open"),
        (fifo, "not a regular file"),
        (scratch.clone(), "not a regular file"),
        (large, "larger than"),
    ] {
        let mut call = setuid.glexec();
        call.env("GLEXEC_CLIENT_CERT", &path).arg("/bin/true");
        failed(&call.output().unwrap(), 201, &[why, &path.display().to_string()]);
    }
    let none = setuid.glexec().env_remove("GLEXEC_CLIENT_CERT").arg("/bin/true").output().unwrap();
    failed(&none, 201, &["GLEXEC_CLIENT_CERT"]);
    for (words, why) in [
        (&[][..], "no command"),
        (&["--"], "no command"),
        (&[""], "empty"),
        (&["--bogus", "/bin/true"], "--bogus"),
    ] {
        failed(&setuid.glexec().args(words).output().unwrap(), 201, &[why]);
    }
    let mode = setuid.glexec().env("GLEXEC_MODE", "other").arg("/bin/true").output().unwrap();
    failed(&mode, 201, &["GLEXEC_MODE"]);
}

#[test]
fn a_credential_is_found_by_the_callers_rights_and_working_directory() {
    let setuid = Setuid::new();
    // A directory that only the caller can enter, and a link to it, which the caller may use.
    let closed = setuid.site.scratch().join("closed");
    fs::create_dir(&closed).unwrap();
    write(closed.join("token"), "x", 0o400);
    own(&closed, Account::batch());
    set_mode(&closed, 0o700);
    let link = setuid.site.scratch().join("to-closed");
    symlink(&closed, &link).unwrap();
    let call = |path: &str, directory: &Path| {
        let script = "cd \"$0\" && exec \"$GLEXEC\" /usr/bin/id -u";
        let mut call = setuid.shell(script);
        call.arg(directory).env("GLEXEC_CLIENT_CERT", path);
        call.output().unwrap()
    };
    let scratch = setuid.site.scratch();
    for (path, directory) in [
        ("credential", scratch.as_path()),
        ("./closed/../closed/token", &scratch),
        ("to-closed/token", &scratch),
        (link.join("token").to_str().unwrap(), Path::new("/")),
    ] {
        let output = call(path, directory);
        let uid = format!("{}\n", Account::job().uid);
        assert_eq!(text_of(&output), (Some(0), uid, String::new()), "{path}");
    }
}

#[test]
fn the_path_of_a_credential_counts_as_the_kernel_knows_it() {
    let setuid = Setuid::new();
    let scratch = setuid.site.scratch();
    for name in ["a", "b"] {
        fs::create_dir(scratch.join(name)).unwrap();
        write(scratch.join(name).join("token"), "x", 0o600);
        own(&scratch.join(name), Account::batch());
    }
    symlink("a", scratch.join("b/link")).unwrap();
    symlink(scratch.join("a"), scratch.join("b/way")).unwrap();
    let map = format!("gh-batch {0}/a gh-job\ngh-batch {0}/b gh-job2\n", scratch.display());
    setuid.write("/etc/glexec.caller-map", map);
    let user = |path: &str| {
        let mut call = setuid.glexec();
        call.env("GLEXEC_CLIENT_CERT", scratch.join(path)).args(["/usr/bin/id", "-un"]);
        String::from_utf8(call.output().unwrap().stdout).unwrap()
    };
    assert_eq!(user("a/token"), "gh-job\n");
    assert_eq!(user("b/token"), "gh-job2\n");
    assert_eq!(user("b/way/token"), "gh-job\n");
    assert_eq!(user("b/way/../b/token"), "gh-job2\n");
}

#[test]
fn only_listed_callers_may_call_and_root_is_none_of_them_by_itself() {
    let setuid = Setuid::new();
    let root = Account { uid: 0, gid: 0 };
    for account in [Account::other(), Account::job(), root] {
        let output = setuid.glexec_as(account).arg("/usr/bin/id").output().unwrap();
        failed(&output, 203, &["may not call glexec here", "user_white_list"]);
    }
    setuid.configure(&format!("{CONFIGURATION}user_white_list = root\n").replacen(
        "user_white_list = gh-batch\n",
        "",
        1,
    ));
    setuid.write("/etc/glexec.caller-map", "root / gh-job\n");
    root.owns(setuid.credential());
    let output = setuid.glexec_as(root).args(["/usr/bin/id", "-u"]).output().unwrap();
    assert_eq!(text_of(&output), (Some(0), format!("{}\n", Account::job().uid), String::new()));
}

#[test]
fn nothing_runs_without_a_configuration_that_is_roots_and_valid() {
    let setuid = Setuid::without_configuration();
    let refused = |why: &str| {
        let output = setuid.glexec().args(["/usr/bin/id"]).output().unwrap();
        failed(&output, 202, &[why]);
        assert!(output.stdout.is_empty());
    };
    refused("/etc/glexec.conf does not exist");
    setuid.write("/etc/glexec.caller-map", "gh-batch / gh-job\n");
    setuid.configure(&format!("{CONFIGURATION}bogus = 1\n"));
    refused("bogus");
    setuid.configure("mapping = other\n");
    refused("mapping");
    setuid.configure(CONFIGURATION);
    let file = setuid.path("/etc/glexec.conf");
    Account::batch().owns(&file);
    refused("not trusted");
    Account { uid: 0, gid: 0 }.owns(&file);
    set_mode(&file, 0o646);
    refused("not trusted");
    set_mode(&file, 0o600);
    let map = setuid.path("/etc/glexec.caller-map");
    set_mode(&map, 0o666);
    refused("not trusted");
    set_mode(&map, 0o600);
    set_mode(setuid.path("/etc"), 0o777);
    refused("not trusted");
    set_mode(setuid.path("/etc"), 0o755);
    assert_eq!(setuid.says("id -un"), "gh-job");
}

#[test]
fn an_account_that_may_not_be_a_target_is_203() {
    let setuid = Setuid::new();
    let passwd = fs::read_to_string(setuid.path("/etc/passwd")).unwrap();
    setuid.write(
        "/etc/passwd",
        format!(
            "{passwd}toor:x:0:0::/:/bin/sh\nwheel:x:5000:0::/:/bin/sh\nlow:x:800:5000::/:/bin/sh\n\
             low-group:x:5000:800::/:/bin/sh\nmember:x:5001:5001::/:/bin/sh\n"
        ),
    );
    let group = fs::read_to_string(setuid.path("/etc/group")).unwrap();
    setuid.write("/etc/group", group.replacen("root:x:0:", "root:x:0:member", 1));
    for target in
        ["root", "toor", "wheel", "low", "low-group", "member", "gh-batch", "nobody", "nonexistent"]
    {
        setuid.write("/etc/glexec.caller-map", format!("gh-batch / {target}\n"));
        let output = setuid.glexec().arg("/usr/bin/id").output().unwrap();
        failed(&output, 203, &[]);
        assert!(output.stdout.is_empty(), "{target}");
    }
    setuid.write("/etc/glexec.caller-map", "gh-batch /elsewhere gh-job\n");
    failed(&setuid.glexec().arg("/usr/bin/id").output().unwrap(), 203, &["gh-batch"]);
}

#[test]
fn the_payload_has_the_accounts_groups_and_the_tracking_groups_of_its_caller() {
    let setuid = Setuid::with("tracking_groups = 20000-20999\n");
    let group = fs::read_to_string(setuid.path("/etc/group")).unwrap();
    setuid.write("/etc/group", format!("{group}data:x:6000:gh-job\nother:x:6001:gh-other\n"));
    let mut call = setuid.command_with_groups(
        Account::batch(),
        &[6001, 20005, 21000, 4],
        Path::new(LIBEXEC).join("glexec"),
    );
    call.env("GLEXEC_CLIENT_CERT", setuid.credential()).args(["/usr/bin/id", "-G"]);
    let output = call.output().unwrap();
    let groups = format!("{} 6000 20005\n", Account::job().gid);
    assert_eq!(text_of(&output), (Some(0), groups, String::new()));
}

#[test]
fn the_payload_gets_its_accounts_environment_and_what_the_configuration_preserves() {
    let setuid = Setuid::with("preserve_env_variables = KEPT, PERL5LIB, GLEXEC_STATE_DIR\n");
    let mut call = setuid.glexec();
    for (name, value) in [
        ("KEPT", "a b\nc"),
        ("NOT_KEPT", "x"),
        ("PERL5LIB", "/x"),
        ("LD_PRELOAD", "/x"),
        ("GLEXEC_ENV", "e"),
        ("GLEXEC_ID", "i"),
        ("GLEXEC_HELPERS_LOG", "x"),
        ("GLEXEC_STATE_DIR", "/x"),
        ("GLEXEC_LEASE_UID", "7"),
        ("GLEXEC_EPILOG_ARGV0", "x"),
        ("GLEXEC_SESSION_X", "x"),
        ("MALLOC_CHECK_", "3"),
        ("HOME", "/x"),
        ("X509_USER_PROXY", "/x"),
    ] {
        call.env(name, value);
    }
    let output = call.args(["/usr/bin/env", "-0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<&str> = text.split_terminator('\0').collect();
    found.sort_unstable();
    let credential = format!("GLEXEC_CLIENT_CERT={}", setuid.credential().display());
    let mut expected = [
        &credential,
        "GLEXEC_ENV=e",
        "GLEXEC_ID=i",
        "HOME=/nonexistent",
        "KEPT=a b\nc",
        "LOGNAME=gh-job",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "PERL5LIB=/x",
        "SHELL=/bin/sh",
        "USER=gh-job",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_target_proxy_is_written_with_the_targets_rights_and_removed_if_its_place_is_glexecs_choice() {
    let setuid = Setuid::new();
    let source = setuid.credential();
    let ask = |target: Option<&Path>, script: &str| {
        let mut call = setuid.glexec();
        call.env("GLEXEC_SOURCE_PROXY", &source).args(["/bin/sh", "-c", script]);
        call.envs(target.map(|target| ("GLEXEC_TARGET_PROXY", target)));
        call.output().unwrap()
    };
    let show =
        "stat -c '%U %a' \"$X509_USER_PROXY\"; cat \"$X509_USER_PROXY\"; echo $X509_USER_PROXY";
    let output = ask(None, show);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["gh-job 600", "a token"]);
    assert!(lines[2].starts_with("/tmp/x509up_u"), "{text}");
    assert!(!setuid.path(lines[2]).exists());
    // Named by the caller: it stays.
    let place = setuid.site.execute().join("proxy");
    let output = ask(Some(&place), show);
    assert_eq!(text_of(&output).1, format!("gh-job 600\na token\n{}\n", place.display()));
    assert_eq!(Account::of(&place), Account::job());
    // Root could write to these.
    for closed in ["/etc/proxy", "/root/proxy"] {
        failed(&ask(Some(Path::new(closed)), "id"), 201, &[closed]);
        assert!(!setuid.path(closed).exists());
    }
    let relative = ask(Some(Path::new("proxy")), "id");
    failed(&relative, 201, &["GLEXEC_TARGET_PROXY is not an absolute path"]);
    assert_eq!(text_of(&ask(Some(Path::new("/dev/null")), "echo $X509_USER_PROXY")).1, "\n");
    setuid.configure(&format!("{CONFIGURATION}create_target_proxy = no\n"));
    assert_eq!(text_of(&ask(None, "echo $X509_USER_PROXY")).1, "\n");
}

#[test]
fn a_source_proxy_that_the_caller_cannot_read_is_201() {
    let setuid = Setuid::new();
    for path in ["/etc/shadow", "/nonexistent", "/dev/stdin", "/proc/self/fd/0", "/proc/1/environ"]
    {
        let mut call = setuid.glexec();
        call.env("GLEXEC_SOURCE_PROXY", path).arg("/usr/bin/id");
        let output = call.output().unwrap();
        failed(&output, 201, &[path]);
    }
}

#[test]
fn without_linger_glexec_becomes_the_payload() {
    let setuid = Setuid::with("linger = no\n");
    let output = setuid.shell("echo $$; exec \"$GLEXEC\" /bin/sh -c 'echo $$; id -un'").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[2]), (lines[1], "gh-job"));
    for status in [0, 7, 201, 204] {
        let output = setuid.runs(&format!("exit {status}"));
        assert_eq!(output.status.code(), Some(status));
    }
}

#[test]
fn the_payload_leaves_the_session_and_keeps_umask_limits_and_working_directory() {
    for lines in ["", "linger = no\n"] {
        let setuid = Setuid::with(lines);
        let directory = setuid.site.execute();
        let script = "cd \"$0\"; umask 027; ulimit -n 50; ulimit -c 0; ulimit -t 1000
            trap '' PIPE HUP
            \"$GLEXEC\" /bin/sh -c 'pwd; umask; ulimit -n; ulimit -t
            cut -d\" \" -f6 /proc/$$/stat; echo $$; grep -E \"^Sig(Ign|Blk)\" /proc/self/status
            ls /proc/$$/fd'";
        let output = setuid.shell(script).arg(&directory).output().unwrap();
        assert_eq!(messages(&output), "");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], [directory.to_str().unwrap(), "0027", "50", "1000"], "{text}");
        assert_eq!(lines[4], lines[5], "it leads a session: {text}");
        let none = "0000000000000000";
        assert_eq!(lines[6..8], [format!("SigBlk:\t{none}"), format!("SigIgn:\t{none}")], "{text}");
        // The shell's own descriptor of its script is not there: it has its script as an argument.
        assert_eq!(lines[8..], ["0", "1", "2"], "{text}");
    }
}

#[test]
fn a_working_directory_that_the_target_cannot_reach_is_201() {
    let setuid = Setuid::new();
    let closed = setuid.site.scratch().join("closed");
    fs::create_dir(&closed).unwrap();
    own(&closed, Account::batch());
    set_mode(&closed, 0o700);
    let call = |script: &str| setuid.shell(script).arg(&closed).output().unwrap();
    failed(&call("cd \"$0\"; exec \"$GLEXEC\" /usr/bin/id"), 201, &["may not search", "closed"]);
    let gone = call("mkdir \"$0/x\"; cd \"$0/x\"; rmdir \"$0/x\"; exec \"$GLEXEC\" /usr/bin/id");
    failed(&gone, 201, &["working directory"]);
}

// The way that a call takes.

#[test]
fn door_says_by_which_way_a_call_is_served() {
    let setuid = Setuid::new();
    let user = |door: &str| {
        setuid.configure(&format!("{CONFIGURATION}door = {door}\n"));
        let output = setuid.glexec().args(["/usr/bin/id", "-u"]).output().unwrap();
        text_of(&output)
    };
    let job = format!("{}\n", Account::job().uid);
    assert_eq!(user("auto"), (Some(0), job.clone(), String::new()));
    assert_eq!(user("setuid"), (Some(0), job, String::new()));
    let (status, uid, messages) = user("rootless");
    assert_eq!((status, messages.as_str()), (Some(0), ""));
    assert!(SUBORDINATE.contains(&uid.trim_end().parse().unwrap()), "{uid}");
    let (status, _, message) = user("daemon");
    assert_eq!(status, Some(202));
    assert!(message.contains("cannot ask the account daemon"), "{message}");
}

#[test]
fn the_rootless_way_has_no_right_of_roots_left() {
    let setuid = Setuid::with("door = rootless\n");
    // Root's configuration is read before; the credential with the caller's rights.
    set_mode(setuid.path("/etc/glexec.conf"), 0o600);
    let mut call = setuid.glexec();
    call.env("GLEXEC_CLIENT_CERT", "/etc/shadow").arg("/usr/bin/id");
    failed(&call.output().unwrap(), 201, &["cannot open"]);
    let script = "echo it runs; exec sleep 60";
    let mut call = setuid.glexec();
    let mut child = call.args(["/bin/sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "it runs\n");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = Account::batch().uid;
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")), "{status}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{status}");
    }
    // The caller can end it.
    let uid = Account::batch();
    let kill = setuid.command(uid, "/bin/kill").arg(pid.to_string()).status().unwrap();
    assert!(kill.success());
    ends(&mut child);
}

#[test]
fn a_start_without_roots_rights_is_rootless_unless_the_configuration_says_setuid() {
    let setuid = Setuid::with("door = setuid\n");
    let call = |command: &mut std::process::Command| {
        command.env("GLEXEC_CLIENT_CERT", setuid.credential()).args(["/usr/bin/id", "-u"]);
        command.output().unwrap()
    };
    let program = Path::new(LIBEXEC).join("glexec");
    let plain = Path::new(LIBEXEC).join("plain");
    install(setuid.path(program.to_str().unwrap()), setuid.path(plain.to_str().unwrap()));
    set_mode(setuid.path(plain.to_str().unwrap()), 0o755);
    failed(
        &call(&mut setuid.command(Account::batch(), &plain)),
        202,
        &["door = setuid", "set-user-ID"],
    );
    let mut below = setuid.command(Account::batch(), "setpriv");
    below.args(["--no-new-privs", "--"]).arg(&program);
    failed(&call(&mut below), 202, &["no_new_privs"]);
    setuid.configure(&format!("{CONFIGURATION}door = auto\n"));
    let output = call(&mut setuid.command(Account::batch(), &plain));
    let uid: u32 = text_of(&output).1.trim_end().parse().unwrap();
    assert!(SUBORDINATE.contains(&uid), "{uid}");
    // A configuration that only root can read is none for a start without root's rights.
    set_mode(setuid.path("/etc/glexec.conf"), 0o600);
    assert_eq!(call(&mut setuid.command(Account::batch(), &plain)).status.code(), Some(0));
}

#[test]
fn rights_other_than_roots_are_202() {
    let setuid = Setuid::new();
    let path = setuid.path(&format!("{LIBEXEC}/glexec"));
    let refused = || {
        let output = setuid.glexec().arg("/usr/bin/id").output().unwrap();
        failed(&output, 202, &["chmod u-s,g-s"]);
        assert!(output.stdout.is_empty());
    };
    Account::other().owns(&path);
    set_mode(&path, 0o4755);
    refused();
    Account { uid: 0, gid: 0 }.owns(&path);
    set_mode(&path, 0o2755);
    refused();
    // With root's group, too, as sites have installed gLExec.
    for mode in [0o6755, 0o6555, 0o4111, 0o6111] {
        set_mode(&path, mode);
        assert_eq!(setuid.says("id -un; id -gn"), "gh-job\ngh-job", "{mode:o}");
    }
}

#[test]
fn information_is_printed_with_the_callers_rights() {
    let setuid = Setuid::new();
    let says = |option: &str| {
        let output = setuid.glexec_as(Account::other()).arg(option).output().unwrap();
        text_of(&output)
    };
    let (status, settings, _) = says("-V");
    assert_eq!(status, Some(0));
    assert!(settings.contains("GLEXEC_MODE=\"setuid\"\n"), "{settings}");
    assert!(settings.contains("GLEXEC_CONFIG_FILE=\"/etc/glexec.conf\"\n"), "{settings}");
    assert_eq!(says("--check-config").0, Some(0));
    assert!(says("--help").1.contains("set-user-ID"));
    setuid.configure("bogus = secret\n");
    set_mode(setuid.path("/etc/glexec.conf"), 0o600);
    let (status, out, messages) = says("--check-config");
    assert_eq!(status, Some(202));
    assert!(!format!("{out}{messages}").contains("bogus"), "{out}{messages}");
    let root = Account { uid: 0, gid: 0 };
    let output = setuid.glexec_as(root).arg("--check-config").output().unwrap();
    let (status, out, _) = text_of(&output);
    assert_eq!(status, Some(202));
    assert!(out.contains("/etc/glexec.conf, line 1: bogus: "), "{out}");
}

#[test]
fn silent_logging_tells_the_reason_to_the_log_alone() {
    let setuid = Setuid::with("silent_logging = yes\n");
    setuid.write("/etc/glexec.caller-map", "gh-batch /elsewhere gh-job\n");
    let output = setuid.glexec().arg("/usr/bin/id").output().unwrap();
    let line = failed(&output, 203, &["the log of this machine says why"]);
    assert!(!line.contains("caller-map"), "{line}");
    assert!(setuid.logged().iter().any(|line| line.contains("caller-map")));
}

// Leases to credentials.

/// Adds pool accounts, and maps all credentials to the pool.
fn with_pool(lines: &str, count: u32) -> Setuid {
    let setuid = Setuid::with(&format!("gridmapdir = /mnt/gridmapdir\n{lines}"));
    let passwd = fs::read_to_string(setuid.path("/etc/passwd")).unwrap();
    let accounts: String = (1..=count)
        .map(|number| format!("pool{number:02}:x:{0}:{0}::/:/bin/sh\n", 7100 + number))
        .collect();
    setuid.write("/etc/passwd", passwd + &accounts);
    fs::create_dir(setuid.path("/mnt/gridmapdir")).unwrap();
    for number in 1..=count {
        setuid.write(&format!("/mnt/gridmapdir/pool{number:02}"), "");
    }
    setuid.write("/etc/glexec.caller-map", "gh-batch / .pool\n");
    setuid
}

/// A call with a credential of this name, which is made if it does not exist.
fn with_token(setuid: &Setuid, name: &str) -> std::process::Command {
    let token = setuid.site.scratch().join(name);
    if !token.exists() {
        write(&token, "x", 0o600);
        own(&token, Account::batch());
    }
    let mut call = setuid.glexec();
    call.env("GLEXEC_CLIENT_CERT", token);
    call
}

#[test]
fn a_lease_lasts_as_long_as_its_credential_or_a_payload_of_it() {
    let setuid = with_pool("", 1);
    let user = |name: &str| with_token(&setuid, name).args(["/usr/bin/id", "-un"]).output();
    assert_eq!(text_of(&user("one").unwrap()).1, "pool01\n");
    assert_eq!(text_of(&user("one").unwrap()).1, "pool01\n");
    failed(&user("two").unwrap(), 202, &["no account of the pool .pool is free"]);
    let mut running = with_token(&setuid, "one").args(["/bin/sleep", "60"]).spawn().unwrap();
    let status = format!("/proc/{}/status", running.id());
    let is_waiting = || {
        let root = fs::read_to_string(&status).unwrap_or_default().contains("Uid:\t0\t0\t0\t0");
        let list = format!("/proc/{0}/task/{0}/children", running.id());
        root && !fs::read_to_string(list).unwrap_or_default().is_empty()
    };
    wait_until("the payload runs", is_waiting);
    fs::remove_file(setuid.site.scratch().join("one")).unwrap();
    failed(&user("two").unwrap(), 202, &["no account of the pool"]);
    let pid = nix::unistd::Pid::from_raw(running.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    ends(&mut running);
    assert_eq!(text_of(&user("two").unwrap()).1, "pool01\n");
}

#[test]
fn many_calls_at_once_give_no_account_to_two_credentials() {
    let setuid = with_pool("", 8);
    for _ in 0..3 {
        let calls: Vec<_> = (0..16)
            .map(|number| {
                let mut call = with_token(&setuid, &format!("token{}", number % 8));
                call.args(["/bin/sh", "-c", "id -un; sleep 0.2"]);
                call.stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let users: Vec<String> =
            calls.into_iter().map(|call| text_of(&call.wait_with_output().unwrap()).1).collect();
        assert_eq!(users[..8], users[8..]);
        let different: std::collections::BTreeSet<_> = users[..8].iter().collect();
        assert_eq!(different.len(), 8, "{users:?}");
    }
}

#[test]
fn a_lease_to_a_credential_needs_linger() {
    let setuid = with_pool("linger = no\n", 1);
    let output = with_token(&setuid, "one").arg("/usr/bin/id").output().unwrap();
    failed(&output, 202, &["linger = yes"]);
    assert!(output.stdout.is_empty());
}

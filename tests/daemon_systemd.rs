//! The account daemon below a real systemd, as `scripts/install --glexecd` installs it: all of this
//! file runs in one boot of `ci/debian-systemd`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use support::systemd::{
    GUESTS, client, credential, on_machine, open_directory, payload, programs, property, root,
    said, says,
};
use support::{messages, wait_until};

const SERVICE: &str = "glexecd.service";
const SOCKET: &str = "glexecd.socket";
const PROGRAM: &str = "/usr/libexec/glexec-helpers/glexecd";

/// The process of the daemon.
fn daemon() -> String {
    property(SERVICE, "MainPID")
}

/// A line of /proc/<pid>/status.
fn status(pid: &str, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

/// Payloads of a credential each. They write their names into a directory when they run, and end
/// when it has a file `go`.
struct Payloads {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Payloads {
    fn start(name: &str, count: usize) -> Payloads {
        let directory = open_directory(name);
        let shown = directory.display();
        let children = (0..count).map(|number| {
            let script = format!(
                "id -un >{shown}/{number}; until [ -e {shown}/go ]; do sleep 0.1; done; \
                 echo end {number}; exit {}",
                number % 100
            );
            payload(&credential(&format!("{name}.{number}")), &script).spawn().unwrap()
        });
        let children = children.collect();
        let payloads = Payloads { directory, children };
        wait_until("all payloads run", || payloads.names().len() == count);
        payloads
    }

    /// The accounts that run the payloads.
    fn names(&self) -> BTreeSet<String> {
        let files = fs::read_dir(&self.directory).unwrap().flatten();
        let names = files.map(|file| fs::read_to_string(file.path()).unwrap_or_default());
        names.map(|name| name.trim_end().to_owned()).filter(|name| !name.is_empty()).collect()
    }

    /// Lets them end, and looks at each one's output and status.
    fn end(self) {
        fs::write(self.directory.join("go"), "").unwrap();
        for (number, child) in self.children.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some((number % 100) as i32), "{}", messages(&output));
            assert_eq!(output.stdout, format!("end {number}\n").into_bytes());
            assert_eq!(messages(&output), "");
        }
        fs::remove_dir_all(self.directory).unwrap();
    }
}

/// The leases, with their account and number.
fn leases() -> BTreeSet<String> {
    let text = root(&["glexec_accounts", "list", "--json"]);
    let of_account = text.lines().filter(|line| line.contains("\"lease\":"));
    let part = |line: &str, name: &str| {
        let rest = line.split_once(&format!("\"{name}\":\"")).unwrap().1;
        rest.split('"').next().unwrap().to_owned()
    };
    of_account.map(|line| format!("{} {}", part(line, "account"), part(line, "lease"))).collect()
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn the_first_call_starts_the_daemon_whose_socket_was_there_before_any_service() {
    on_machine(
        "the_first_call_starts_the_daemon_whose_socket_was_there_before_any_service",
        || {
            root(&["systemctl", "stop", SERVICE]);
            assert_eq!(property(SERVICE, "ActiveState"), "inactive");
            assert_eq!(property(SOCKET, "ActiveState"), "active");
            let socket = "/run/glexec/glexecd.socket";
            assert_eq!(root(&["stat", "-c", "%U:%G %a", socket]), "root:glexec 660");
            let account = says(&credential("first"), "id -un");
            assert!(account.starts_with("guest"), "{account}");
            assert_eq!(property(SERVICE, "ActiveState"), "active");
            // In the order in which systemd has said it at the start of the machine.
            let journal = root(&["journalctl", "--boot", "--output=cat", "_PID=1"]);
            let at = |text: &str| journal.find(text).unwrap_or_else(|| panic!("{text}: {journal}"));
            let listening = at("Listening on glexecd.socket");
            assert!(at("Reached target sysinit.target") < listening);
            assert!(listening < at("Reached target basic.target"), "before any service");
            assert_eq!(property(SERVICE, "UnitFileState"), "static", "only the socket is enabled");
        },
    );
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn fifty_payloads_outlive_restarts_upgrades_a_kill_and_a_stop_of_the_daemon() {
    on_machine("fifty_payloads_outlive_restarts_upgrades_a_kill_and_a_stop_of_the_daemon", || {
        root(&["glexec_accounts", "release", "--all"]);
        let payloads = Payloads::start("outlive", GUESTS);
        assert_eq!(payloads.names().len(), GUESTS, "an account for each credential");
        let before = leases();
        assert_eq!(before.len(), GUESTS);
        let full = payload(&credential("one.more"), "true").output().unwrap();
        assert_eq!(full.status.code(), Some(202), "{}", messages(&full));
        assert!(messages(&full).contains("no guest account is free"), "{}", messages(&full));

        let mut pids = BTreeSet::from([daemon()]);
        root(&["systemctl", "restart", SERVICE]);
        pids.insert(daemon());
        // An upgrade: another file under the name, as an installation puts it.
        let new = format!("{PROGRAM}.new");
        fs::copy(programs().join("glexecd"), &new).unwrap();
        fs::rename(&new, PROGRAM).unwrap();
        root(&["systemctl", "restart", SERVICE]);
        pids.insert(daemon());
        root(&["kill", "-KILL", &daemon()]);
        wait_until("systemd has started it again", || {
            property(SERVICE, "ActiveState") == "active" && !pids.contains(&daemon())
        });
        // A payload of a lease that there is, through the new daemon.
        let script = "id -un";
        let account = says(Path::new("/home/pilot/outlive.7"), script);
        assert!(payloads.names().contains(&account));
        root(&["systemctl", "stop", SERVICE]);
        assert_eq!(leases(), before, "the leases are as before");
        payloads.end();
        assert_eq!(leases(), before, "a lease lasts after its payload");
        let history = root(&["glexec_accounts", "history", "--since", "@0", "--json"]);
        for number in 0..GUESTS {
            let end = format!("\"end\":\"exited {}\"", number % 100);
            let found = history
                .lines()
                .any(|line| line.contains(&format!("/outlive.{number}\"")) && line.contains(&end));
            assert!(found, "the audit does not tell the end of payload {number}");
        }
    });
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn a_call_that_comes_while_the_daemon_is_restarted_is_served_by_the_next_one() {
    on_machine("a_call_that_comes_while_the_daemon_is_restarted_is_served_by_the_next_one", || {
        root(&["glexec_accounts", "release", "--all"]);
        let file = credential("restarted");
        for _ in 0..5 {
            let mut restart = std::process::Command::new("systemctl");
            let mut restart = restart.args(["restart", SERVICE]).spawn().unwrap();
            while restart.try_wait().unwrap().is_none() {
                let calls: Vec<Child> =
                    (0..4).map(|_| payload(&file, "exit 7").spawn().unwrap()).collect();
                for call in calls {
                    let output = call.wait_with_output().unwrap();
                    assert_eq!(output.status.code(), Some(7), "{}", messages(&output));
                }
            }
        }
    });
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn release_all_ends_the_payloads_of_a_stopped_daemon_and_their_callers_are_told() {
    on_machine(
        "release_all_ends_the_payloads_of_a_stopped_daemon_and_their_callers_are_told",
        || {
            root(&["glexec_accounts", "release", "--all"]);
            let payloads = Payloads::start("released", 10);
            root(&["systemctl", "stop", SERVICE]);
            let cgroup = Path::new("/sys/fs/cgroup/system.slice").join(SERVICE);
            let events = || fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
            assert!(events().contains("populated 1"), "the payloads run");
            root(&["glexec_accounts", "release", "--all"]);
            assert_eq!(leases(), BTreeSet::new());
            for child in payloads.children {
                let output = child.wait_with_output().unwrap();
                // 128 and SIGKILL.
                assert_eq!(output.status.code(), Some(137), "{}", messages(&output));
            }
            wait_until("no process of a payload is left", || !events().contains("populated 1"));
            fs::remove_dir_all(payloads.directory).unwrap();
        },
    );
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn a_stopped_socket_and_a_drained_machine_refuse_a_call_with_202() {
    on_machine("a_stopped_socket_and_a_drained_machine_refuse_a_call_with_202", || {
        root(&["glexec_accounts", "release", "--all"]);
        let refused = |file: &Path| {
            let output = payload(file, "echo ran").output().unwrap();
            assert_eq!((output.status.code(), &output.stdout[..]), (Some(202), &b""[..]));
            messages(&output)
        };
        let (old, new) = (credential("old"), credential("new"));
        says(&old, "true");
        root(&["glexec_accounts", "drain"]);
        assert!(refused(&new).contains("glexec_accounts"));
        assert_eq!(says(&old, "echo goes on"), "goes on", "a lease that there is");
        root(&["glexec_accounts", "undrain"]);
        says(&new, "true");
        root(&["systemctl", "stop", SOCKET, SERVICE]);
        let why = refused(&old);
        assert!(why.contains("glexecd"), "{why}");
        root(&["systemctl", "start", SOCKET]);
        says(&old, "true");
    });
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn each_directive_of_the_unit_is_in_force_for_the_daemon_and_its_payloads() {
    on_machine("each_directive_of_the_unit_is_in_force_for_the_daemon_and_its_payloads", || {
        let file = credential("directives");
        let of_payload = |name: &str| says(&file, &format!("grep ^{name}: /proc/self/status"));
        says(&file, "true");
        let pid = daemon();
        // The capabilities that the unit names, by their numbers (capability.h).
        let named = [7, 6, 8, 0, 3, 1, 2, 5, 15, 21, 24, 23, 19];
        let named = named.iter().fold(0_u64, |set, number| set | 1 << number);
        // A machine in a sandbox may lack some itself.
        let machines = u64::from_str_radix(&status("1", "CapBnd"), 16).unwrap();
        let set = format!("{:016x}", named & machines);
        assert_eq!(status(&pid, "CapBnd"), set);
        assert_eq!(status(&pid, "CapEff"), set);
        assert_eq!(status(&pid, "CapAmb"), "0".repeat(16));
        assert_eq!(status(&pid, "Umask"), "0077");
        assert_eq!(of_payload("CapBnd"), format!("CapBnd:\t{set}"));
        for none in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(of_payload(none), format!("{none}:\t{}", "0".repeat(16)));
        }
        // What is not set: a payload has the world of the machine.
        assert_eq!(of_payload("NoNewPrivs"), "NoNewPrivs:\t0");
        assert_eq!(of_payload("Seccomp"), "Seccomp:\t0");
        for name in ["mnt", "net", "ipc", "uts", "user", "pid"] {
            let own = fs::read_link(format!("/proc/1/ns/{name}")).unwrap();
            let found = says(&file, &format!("readlink /proc/self/ns/{name}"));
            assert_eq!(found, own.to_str().unwrap(), "{name}");
        }
        assert_eq!(says(&file, "echo x >/tmp/seen-by-all; cat /tmp/seen-by-all"), "x");
        assert!(Path::new("/tmp/seen-by-all").exists(), "the machine's /tmp");
        // Cgroups: the daemon in one of its own, a payload beside it.
        let cgroup = |text: &str| text.split_once("0::").unwrap().1.trim().to_owned();
        let daemons = cgroup(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap());
        assert_eq!(daemons, format!("/system.slice/{SERVICE}/daemon"));
        let payloads = cgroup(&says(&file, "cat /proc/self/cgroup"));
        let above = format!("/system.slice/{SERVICE}/payload-");
        assert!(payloads.starts_with(&above), "{payloads}");
        let left = format!("/sys/fs/cgroup{payloads}");
        assert!(!Path::new(&left).exists(), "the cgroup ends with the payload");
        for (name, value) in [
            ("KillMode", "process"),
            ("Delegate", "yes"),
            ("DelegateSubgroup", "daemon"),
            ("OOMPolicy", "continue"),
            ("TasksMax", "infinity"),
            ("LimitNOFILE", "65536"),
            ("KeyringMode", "private"),
            ("Restart", "on-failure"),
            ("StartLimitIntervalUSec", "0"),
            ("StandardInput", "null"),
        ] {
            assert_eq!(property(SERVICE, name), value, "{name}");
        }
        let most = |pid: &str| -> u64 {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
            line.split_whitespace().nth(4).unwrap().parse().unwrap()
        };
        assert_eq!(most(&pid), most("1").min(65536), "a sandbox may allow less");
        assert_eq!(root(&["stat", "-c", "%U %a", "/var/log/glexec"]), "root 700");
        assert_eq!(root(&["stat", "-c", "%U %a", "/run/glexec"]), "root 755");
        // The limits of a payload are its client's, not the daemon's.
        let mut limited = client("sh");
        limited.args(["-c", "ulimit -n 77; exec glexec /bin/sh -c 'ulimit -n'"]);
        limited.env("GLEXEC_CLIENT_CERT", &file).current_dir("/");
        assert_eq!(said(&limited.output().unwrap()), "77");
        assert_eq!(says(&file, "umask"), "0022", "the client's");
    });
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn the_daemon_serves_a_client_that_can_gain_no_privilege() {
    on_machine("the_daemon_serves_a_client_that_can_gain_no_privilege", || {
        let mut command = client("setpriv");
        command.args(["--no-new-privs", "glexec", "/bin/sh", "-c", "id -un"]);
        command.env("GLEXEC_CLIENT_CERT", credential("nnp")).current_dir("/");
        let account = said(&command.output().unwrap());
        assert!(account.starts_with("guest"), "{account}");
        // The same as a unit of systemd's, with the group that the socket needs.
        root(&[
            "systemd-run",
            "--quiet",
            "--wait",
            "--uid=pilot",
            "--property=NoNewPrivileges=yes",
            "--property=SupplementaryGroups=glexec",
            "--setenv=GLEXEC_CLIENT_CERT=/home/pilot/nnp",
            "glexec",
            "/bin/true",
        ]);
    });
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn systemd_finds_nothing_wrong_with_the_units_and_their_exposure_is_as_documented() {
    on_machine(
        "systemd_finds_nothing_wrong_with_the_units_and_their_exposure_is_as_documented",
        || {
            let mut verify = std::process::Command::new("systemd-analyze");
            let output = verify.args(["verify", SERVICE, SOCKET]).output().unwrap();
            // This machine has no man(1).
            let said = messages(&output);
            let found: Vec<&str> =
                said.lines().filter(|line| !line.contains("Command 'man ")).collect();
            assert_eq!(found, [""; 0]);
            let text = root(&["systemd-analyze", "security", "--no-pager", SERVICE]);
            let last = text.lines().rev().find(|line| line.contains("Overall exposure")).unwrap();
            let document = fs::read_to_string("docs/daemon.md").unwrap();
            let figure = last.split(": ").nth(1).unwrap().split(' ').next().unwrap();
            assert!(document.contains(&format!("`{figure}`")), "docs/daemon.md: {last}");
        },
    );
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn the_doctor_says_whether_the_caller_can_reach_the_daemon() {
    on_machine("the_doctor_says_whether_the_caller_can_reach_the_daemon", || {
        root(&["useradd", "--create-home", "outsider"]);
        let finding = |user: &str| {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
            command.args(["condor_glexec_pilot", "doctor"]).current_dir("/");
            let output = command.env("HOME", format!("/home/{user}")).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines = text.lines().skip_while(|line| !line.contains("account daemon"));
            lines.take(3).collect::<Vec<_>>().join(" ")
        };
        assert!(finding("pilot").contains("accepts your connections"), "{}", finding("pilot"));
        let refused = finding("outsider");
        assert!(refused.contains("outsider is not in the group glexec"), "{refused}");
        assert!(refused.contains("glexec_accounts allow outsider"), "{refused}");
        root(&["glexec_accounts", "allow", "outsider"]);
        assert!(finding("outsider").contains("accepts your connections"));
        root(&["systemctl", "stop", SOCKET, SERVICE]);
        assert!(finding("pilot").contains("systemctl start glexecd.socket"));
        root(&["systemctl", "start", SOCKET]);
    });
}

/// The blocks of the guide in their order: the user who types each, and its lines; and the lines
/// that the block before prints.
fn blocks_of_guide() -> Vec<(String, String)> {
    let text = fs::read_to_string("docs/daemon.md").unwrap();
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        assert!(lines.next().unwrap().starts_with("```"));
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((comment.to_owned(), block.join("\n")));
    }
    blocks
}

#[test]
#[ignore = "boots a machine: scripts/test runs it in a part of its own"]
fn the_lines_of_the_guide_work() {
    on_machine("the_lines_of_the_guide_work", || {
        // The package of HTCondor has made an account that cannot log in, and runs a daemon as it.
        root(&["systemctl", "stop", "condor.service"]);
        root(&["userdel", "condor"]);
        root(&["useradd", "--create-home", "condor"]);
        let (mut printed, mut count) = (String::new(), 0);
        for (comment, lines) in blocks_of_guide() {
            let output = match comment.as_str() {
                "prints" => {
                    let before = lines.trim_end_matches('…');
                    assert!(printed.starts_with(before), "{printed}");
                    continue;
                }
                "as condor, below systemd" => {
                    let mut command = std::process::Command::new("setpriv");
                    command.args(["--reuid=condor", "--regid=condor", "--init-groups"]);
                    command.args(["sh", "-euc", &lines]).env("HOME", "/home/condor");
                    command.current_dir("/home/condor").output().unwrap()
                }
                _ => {
                    assert!(comment.starts_with("as root"), "{comment}");
                    // The programs are built already.
                    let install = "scripts/install --prefix /usr --programs \"$GH_TEST_SYSTEMD\"";
                    let lines = lines.replace("scripts/install", install);
                    let mut command = std::process::Command::new("sh");
                    command.args(["-euc", &lines]).output().unwrap()
                }
            };
            printed = said(&output);
            count += 1;
        }
        assert!(count > 5, "{count}");
    });
}

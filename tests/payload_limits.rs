//! What a payload of root's doors may use: limits of the configuration and of the caller.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::daemon::{Daemon, processes_of};
use support::setuid::Setuid;
use support::{Account, failed, messages, wait_until};

/// Allocates 150 MiB, and waits.
const GREEDY: &str = "exec perl -e '$x = q(x); $x x= 150 << 20; \
                      substr($x, $_ << 12, 1) = q(y) for 0 .. 38000; sleep 600'";

/// Starts processes that have left their parent and their session, and waits.
const MANY: &str = "i=0; while [ $i -lt 30 ]; do (setsid sleep 600 &); i=$((i+1)); done; sleep 600";

/// Starts processes from a second thread; the first one has a child of its own.
const MANY_OF_A_THREAD: &str = "exec perl -Mthreads -e ' \
    sub begin { for (1 .. $_[0]) { fork or exec qw(sleep 600) } sleep 600 } \
    threads->create(\\&begin, 30); begin(1)'";

/// Its first thread ends, and another one allocates 150 MiB, and waits.
fn greedy_without_first_thread() -> String {
    GREEDY
        .replace("perl -e '", "perl -Mthreads -e 'threads->create(sub { ")
        .replace("sleep 600'", &format!("sleep 600 }}); syscall({}, 0)'", libc::SYS_exit))
}

/// A door: calls of the batch user, what is left of them, and the log.
trait Door {
    fn call(&self) -> Command;
    fn machine(&self) -> &Setuid;
    fn target(&self) -> u32;

    fn limited(&self, limits: &str, script: &str) -> Output {
        self.call().env("GLEXEC_LIMITS", limits).args(["/bin/sh", "-c", script]).output().unwrap()
    }

    /// That a payload is killed for a limit, with all that it has started.
    fn is_killed(&self, limits: &str, script: &str, exceeded: &str) {
        let output = self.limited(limits, script);
        assert_eq!((output.status.code(), messages(&output).as_str()), (Some(137), ""), "{limits}");
        let log = self.machine().logged();
        let line = format!("the payload is killed: it exceeds its limit {exceeded}, and uses ");
        assert!(log.iter().any(|said| said.contains(&line)), "{log:#?}");
        wait_until("nothing of it is left", || processes_of(self.target()).is_empty());
    }
}

impl Door for Setuid {
    fn call(&self) -> Command {
        self.glexec()
    }

    fn machine(&self) -> &Setuid {
        self
    }

    fn target(&self) -> u32 {
        Account::job().uid
    }
}

impl Door for Daemon {
    fn call(&self) -> Command {
        self.glexec()
    }

    fn machine(&self) -> &Setuid {
        &self.machine
    }

    fn target(&self) -> u32 {
        self.guest(1).uid
    }
}

/// Does the same with both doors, with these lines of the configuration.
fn with_each(lines: &str, check: impl Fn(&dyn Door)) {
    check(&Daemon::with_guests(1, lines));
    check(&Setuid::with(lines));
}

#[test]
fn a_payload_that_uses_more_memory_than_its_caller_has_asked_for_is_killed() {
    with_each("", |door| door.is_killed("memory=100M", GREEDY, "memory=104857600"));
}

#[test]
fn a_payload_with_more_processes_is_killed_wherever_these_are() {
    with_each("", |door| door.is_killed("pids=20", MANY, "pids=20"));
}

#[test]
fn a_payload_hides_nothing_in_its_threads() {
    with_each("", |door| {
        door.is_killed("pids=20", MANY_OF_A_THREAD, "pids=20");
        door.is_killed("memory=100M", &greedy_without_first_thread(), "memory=104857600");
    });
}

#[test]
fn a_payload_within_its_limits_runs_on_and_what_it_shares_counts_once() {
    with_each("", |door| {
        // Each of three processes has 60 MiB, of which there is only one copy.
        let script = "exec perl -e '$x = q(x); $x x= 60 << 20; \
                      substr($x, $_ << 12, 1) = q(y) for 0 .. 15000; \
                      for (1, 2) { fork or last } sleep 1; 1 while wait > 0'";
        let output = door.limited("memory=120M,pids=20,cpus=1", script);
        assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""));
    });
}

#[test]
fn the_configured_limits_hold_for_a_caller_that_asks_for_none_or_for_less() {
    with_each("memory_limit = 100M : 1G\npids_limit = 20\n", |door| {
        let output = door.call().args(["/bin/sh", "-c", GREEDY]).output().unwrap();
        assert_eq!(output.status.code(), Some(137));
        // Up to the second size by the caller's wish; the other key still holds.
        let more = GREEDY.replace("sleep 600", "exit 7");
        assert_eq!(door.limited("memory=300M", &more).status.code(), Some(7));
        door.is_killed("memory=300M", MANY, "pids=20");
    });
}

#[test]
fn more_than_the_configuration_permits_is_refused_and_nothing_runs() {
    with_each("memory_limit = 100M:1G\ncpus_limit = 1\n", |door| {
        for (limits, status, why) in [
            ("memory=2G", 203, "memory=1073741824 is the most on this machine"),
            ("cpus=2", 203, "cpus=1 is the most on this machine"),
            ("memory", 201, "GLEXEC_LIMITS is not understood: memory: a word has no ="),
            ("disk=1", 201, "it names another limit than memory, pids and cpus"),
        ] {
            failed(&door.limited(limits, "echo ran >&2"), status, &[why]);
        }
    });
}

#[test]
fn a_payload_begins_on_as_many_processors_as_it_may_use() {
    with_each("", |door| {
        let output = door.limited("cpus=1", "nproc");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{}", messages(&output));
    });
}

#[test]
fn the_variable_does_not_reach_the_payload() {
    with_each("preserve_env_variables = GLEXEC_LIMITS\n", |door| {
        let output = door.limited("cpus=1", "echo ${GLEXEC_LIMITS-none}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "none\n", "{}", messages(&output));
    });
}

#[test]
fn a_limit_that_cannot_be_enforced_is_refused() {
    // No process stays above the payload to watch it.
    let setuid = Setuid::with("linger = no\n");
    let why = "GLEXEC_LIMITS cannot be enforced here for memory and pids";
    failed(&setuid.limited("memory=1G", "echo ran >&2"), 202, &[why]);
    assert_eq!(setuid.limited("cpus=1", "exit 7").status.code(), Some(7));
    let setuid = Setuid::with("linger = no\nmemory_limit = 1G\n");
    failed(&setuid.runs("echo ran >&2"), 202, &["memory_limit: it needs linger = yes"]);
    // Without privilege.
    let setuid = Setuid::with("door = rootless\n");
    let output = setuid.limited("pids=9", "echo ran >&2");
    failed(&output, 202, &["GLEXEC_LIMITS cannot be enforced here", "condor_glexec_pilot run"]);
}

#[test]
fn the_operations_of_the_helpers_have_no_limits() {
    let agent = Path::new(support::setuid::LIBEXEC).join("condor_glexec_agent");
    with_each("", |door| {
        let output = door
            .call()
            .env("GLEXEC_LIMITS", "memory")
            .arg(&agent)
            .args(["signal", "1", "999999", "0"])
            .output()
            .unwrap();
        assert!(!messages(&output).contains("GLEXEC_LIMITS"), "{}", messages(&output));
    });
}

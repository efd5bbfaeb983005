//! Real programs as payloads in the closed world. Each is a script in `tests/programs`, whose
//! output proves that the program did its work.
//!
//! Most need packages that no other test needs: `ci/provision --long-packages` installs them, and
//! `scripts/test --long` runs these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::messages;
use support::pilot::{Pilot, stdout_of};

/// Runs a script as a payload of the pilot's command in the closed world, which is its default, and
/// compares its output.
fn works(options: &[&str], script: &str, expected: &str) {
    let pilot = Pilot::new();
    let mut call = pilot.call("run");
    call.arg("--glexec").arg(support::program("glexec"));
    call.arg("--execute").arg(pilot.site.execute()).args(options);
    let output = call.args(["--", "sh", "-c", script]).output().unwrap();
    let said = stdout_of(&output);
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(
        (lines.join("\n").as_str(), output.status.code()),
        (expected, Some(0)),
        "if a program is missing: ci/provision --long-packages\n{}",
        messages(&output)
    );
}

#[test]
fn tar_extracts_an_archive_with_a_set_user_id_file() {
    works(
        &[],
        include_str!("programs/tar.sh"),
        "-rwsr-xr-x\nOperation not permitted\n755\n755\ncontent\ncontent",
    );
}

#[test]
fn rsync_copies_a_tree_with_all_that_it_keeps() {
    works(&[], include_str!("programs/rsync.sh"), "640 2 2001-02-03 04:05:06\nbelow/file");
}

#[test]
fn strace_traces_its_children_and_injects_faults() {
    works(&[], include_str!("programs/strace.sh"), "2\nNo space left on device\n1");
}

#[test]
fn perl_has_processes_and_connections() {
    works(&[], include_str!("programs/perl.sh"), "1 2 3");
}

#[test]
fn openssl_makes_a_certificate_and_encrypts() {
    works(&[], include_str!("programs/openssl.sh"), "subject=CN=payload\ncontent\n434728a4");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn python_installs_a_package_with_pip_and_runs_processes() {
    works(&[], include_str!("programs/python.sh"), "[1, 4, 9]");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn make_and_a_c_compiler_build_a_program() {
    works(&[], include_str!("programs/make.sh"), "49");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn git_clones_a_local_repository() {
    works(&[], include_str!("programs/git.sh"), "content\nfirst");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn java_runs_threads_and_a_process() {
    works(&[], include_str!("programs/java.sh"), "500500");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn node_runs_a_worker_and_a_server() {
    works(&[], include_str!("programs/node.sh"), "42 done");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn sqlite_writes_from_two_processes() {
    works(&[], include_str!("programs/sqlite.sh"), "wal\n200|20100");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn go_builds_and_runs_a_static_program() {
    works(&[], include_str!("programs/go.sh"), "55");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn mpi_passes_messages_between_two_processes() {
    works(&[], include_str!("programs/mpi.sh"), "1 of 2: 1048576");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn bubblewrap_runs_a_container_with_nested() {
    works(
        &["--nested"],
        include_str!("programs/bwrap.sh"),
        "0\ninside\ncontent\n0\n1\nRead-only file system",
    );
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn podman_runs_a_container_with_nested() {
    works(&["--nested"], include_str!("programs/podman.sh"), "0\ncontent");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn gdb_debugs_a_program() {
    works(&[], include_str!("programs/gdb.sh"), " = 7\nexited normally");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn a_shell_in_tmux_controls_its_jobs() {
    works(&[], include_str!("programs/tmux.sh"), "/dev/pts/\nStopped\nRunning\nended");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn sshd_serves_the_payloads_user() {
    works(&[], include_str!("programs/sshd.sh"), "hello\nthe same user");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn a_loop_in_the_background_starts_tasks() {
    works(&[], include_str!("programs/cron.sh"), "run\nrun\nrun");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn a_session_bus_runs_without_systemd() {
    works(&[], include_str!("programs/dbus.sh"), "org.freedesktop.DBus\nunix");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn numactl_binds_memory_to_a_node() {
    works(&[], include_str!("programs/numactl.sh"), "bind:0");
}

#[test]
#[ignore = "needs packages: scripts/test --long"]
fn r_fits_in_two_processes() {
    works(&[], include_str!("programs/r.sh"), "2 3");
}

//! What a payload in the closed world can ask of the kernel: a hostile program tries everything.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use support::daemon::Daemon;
use support::glexec::Rootless;
use support::setuid::Setuid;
use support::{Account, program, succeeded};

/// What the hostile program got: for each group, each attempt and its result.
type Results = BTreeMap<String, Vec<(String, String)>>;

fn results(output: &str) -> Results {
    let mut results = Results::new();
    for line in output.lines() {
        let (attempt, result) = line.rsplit_once(": ").unwrap();
        let (group, name) = attempt.split_once(' ').unwrap();
        results.entry(group.to_owned()).or_default().push((name.to_owned(), result.to_owned()));
    }
    results
}

/// The hostile program as another user, with nothing between it and the kernel.
fn without_filter(names: &[&str]) -> Results {
    let output =
        Account::other().command(program("examples/hostile_calls")).args(names).output().unwrap();
    succeeded(&output);
    results(&String::from_utf8(output.stdout).unwrap())
}

/// The same program as a payload in the closed world, with these options.
fn as_payload(options: &[&str], names: &[&str]) -> Results {
    let rootless = Rootless::new();
    let mut call = rootless.glexec();
    call.args(["--world", "closed"]).args(options).arg("--");
    let output = call.arg(program("examples/hostile_calls")).args(names).output().unwrap();
    succeeded(&output);
    results(&String::from_utf8(output.stdout).unwrap())
}

/// The attempts of a group with this result.
fn with<'a>(results: &'a Results, group: &str, result: &str) -> Vec<&'a str> {
    let all = results[group].iter();
    all.filter(|(_, found)| found == result).map(|(name, _)| name.as_str()).collect()
}

fn nothing_is_granted(group: &str, at_least: usize) {
    let (outside, inside) = (without_filter(&[]), as_payload(&[], &[]));
    // Some of it is granted otherwise: the attempts are real.
    assert!(with(&outside, group, "granted").len() >= at_least, "{:?}", outside[group]);
    assert_eq!(inside[group].len(), outside[group].len());
    assert_eq!(with(&inside, group, "granted"), Vec::<&str>::new());
}

#[test]
fn a_payload_makes_and_enters_no_namespace() {
    nothing_is_granted("namespace", 20);
}

#[test]
fn a_payload_has_no_call_for_mounts() {
    nothing_is_granted("mount", 2);
}

#[test]
fn a_payload_types_into_no_terminal() {
    let inside = as_payload(&[], &[]);
    // Whether the kernel itself would refuse depends on the machine: it must not come so far.
    let all = inside["terminal"].len();
    assert_eq!((all, with(&inside, "terminal", "error 1").len()), (4, all));
}

#[test]
fn a_payload_has_no_keyring_and_no_key() {
    nothing_is_granted("key", 2);
}

#[test]
fn a_payload_reaches_no_part_of_the_kernel_that_is_for_administrators() {
    nothing_is_granted("kernel", 4);
}

#[test]
fn a_payload_in_the_closed_world_makes_no_file_set_user_id_or_set_group_id() {
    nothing_is_granted("set-id", 10);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bit_programs_do_not_get_round_the_filter() {
    let inside = as_payload(&[], &[]);
    for (name, result) in &inside["abi"] {
        // SIGSYS, or ENOSYS for numbers that this machine's own ABI does not have.
        let expected = if name.starts_with("32-bit") { "killed by 31" } else { "error 38" };
        assert_eq!(result, expected, "{name}");
    }
    assert_eq!(inside["abi"].len(), 5);
}

#[test]
fn a_payload_can_do_what_programs_need() {
    let inside = as_payload(&[], &[]);
    let all = inside["allowed"].len();
    assert_eq!((all, with(&inside, "allowed", "granted").len()), (9, all), "{inside:?}");
}

#[test]
fn a_refused_call_fails_as_a_program_expects() {
    // No such permission, no such call, or no such family of addresses: never a wrong argument.
    let inside = as_payload(&[], &[]);
    for group in ["namespace", "mount", "key", "kernel", "set-id"] {
        for (name, result) in &inside[group] {
            assert!(["error 1", "error 38", "error 97"].contains(&result.as_str()), "{name}");
        }
    }
}

#[test]
fn a_payload_reaches_abstract_sockets_of_its_own_only() {
    let name = format!("gh-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    assert_eq!(with(&without_filter(&[&name]), "socket", "granted"), [name.as_str()]);
    let inside = as_payload(&[], &[&name]);
    assert_eq!(
        with(&inside, "socket", "error 1"),
        [name.as_str()],
        "{inside:?}: Landlock with scopes needs Linux 6.12"
    );
}

#[test]
fn a_payload_reaches_no_process_outside_its_world_that_has_the_same_user() {
    let setuid = Setuid::new();
    let mut outside = Account::job().command("sleep").arg("1000").spawn().unwrap();
    let pid = outside.id().to_string();
    let hostile = program("examples/hostile_calls");
    let results_of = |call: &mut Command| {
        let output = call.arg(&pid).output().unwrap();
        succeeded(&output);
        results(&String::from_utf8(output.stdout).unwrap())
    };
    let same_user = results_of(&mut Account::job().command(&hostile));
    let mut call = setuid.glexec();
    let inside = results_of(call.args(["--world", "closed", "--"]).arg(&hostile));
    outside.kill().unwrap();
    outside.wait().unwrap();
    let all = same_user["process"].len();
    assert_eq!(with(&same_user, "process", "granted").len(), all, "{same_user:?}");
    assert_eq!(inside["process"].len(), all);
    assert_eq!(with(&inside, "process", "granted"), Vec::<&str>::new());
}

#[test]
fn through_each_door_the_kernel_answers_the_same() {
    let expected = as_payload(&[], &[]);
    let (setuid, daemon) = (Setuid::new(), Daemon::new());
    for (door, mut call) in [("set-user-ID", setuid.glexec()), ("daemon", daemon.glexec())] {
        call.args(["--world", "closed", "--"]).arg(program("examples/hostile_calls"));
        let output = call.output().unwrap();
        succeeded(&output);
        let found = results(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(found, expected, "{door}");
    }
}

#[test]
fn a_nested_container_gets_namespaces_and_mounts_and_nothing_else() {
    let (outside, plain, nested) =
        (without_filter(&[]), as_payload(&[], &[]), as_payload(&["--nested"], &[]));
    for group in ["namespace", "mount"] {
        assert_eq!(with(&nested, group, "granted"), with(&outside, group, "granted"), "{group}");
    }
    for group in ["terminal", "key", "kernel", "set-id", "allowed"] {
        assert_eq!(nested[group], plain[group]);
    }
}

#[test]
fn every_refused_call_is_tried() {
    let outside = without_filter(&[]);
    let attempts: Vec<&String> = outside.values().flatten().map(|(name, _)| name).collect();
    for line in world::filter::lines(false) {
        let is_tried = |name: &&&String| name.split([' ', ',']).next() == Some(line.name);
        let exists = cfg!(target_arch = "x86_64") || line.aarch64.is_some();
        assert!(!exists || attempts.iter().any(|name| is_tried(&name)), "{}", line.name);
    }
}

/// The numbers of the calls in a header of the kernel.
fn numbers(header: &str) -> BTreeMap<String, u32> {
    let output = Command::new("cpp").args(["-dM", header]).output().expect("cpp: run ci/provision");
    succeeded(&output);
    let lines = String::from_utf8(output.stdout).unwrap();
    let definitions = lines.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("#define __NR")?.split_once(' ')?;
        let name = name.trim_start_matches("3264").strip_prefix('_')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    definitions.collect()
}

#[test]
fn the_numbers_of_the_calls_are_the_kernels() {
    let x86_64 = numbers("/usr/include/x86_64-linux-gnu/asm/unistd_64.h");
    let aarch64 = numbers("/usr/include/asm-generic/unistd.h");
    let mut known = 0;
    for line in world::filter::lines(false) {
        // Calls that are newer than the headers have the same number everywhere.
        let found = x86_64.get(line.name).copied().unwrap_or(line.x86_64);
        assert_eq!(line.x86_64, found, "{} on x86_64", line.name);
        known += u32::from(x86_64.contains_key(line.name));
        let is_new = line.x86_64 > 424;
        let found = aarch64.get(line.name).copied().or(is_new.then_some(line.x86_64));
        assert_eq!(line.aarch64, found, "{} on aarch64", line.name);
    }
    assert!(known > 40, "{known}");
}

#[test]
fn the_table_of_the_guide_is_that_of_the_filter() {
    let top = env!("CARGO_MANIFEST_DIR");
    let text = fs::read_to_string(format!("{top}/docs/world.md")).unwrap();
    let (_, section) = text.split_once("\n## What it can ask of the kernel\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    // A row names calls, and the answer that all of them get.
    let described = rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let answer = cells[2].trim().to_owned();
        let calls = cells[1].split('`').skip(1).step_by(2);
        calls.map(move |name| (name.to_owned(), answer.clone())).collect::<Vec<_>>()
    });
    let described: BTreeMap<String, String> = described.collect();
    let filter = world::filter::lines(false)
        .map(|line| (line.name.to_owned(), format!("{:?}", line.answer())));
    assert_eq!(described, filter.collect());
}

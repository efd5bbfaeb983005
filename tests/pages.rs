//! Man pages and completions: they have the content of `--help`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::installation::section_of;
use support::program;
use tempfile::TempDir;

/// Every command with its subcommands.
const COMMANDS: [(&str, &[&str]); 17] = [
    ("condor_glexec_agent", &[]),
    ("condor_glexec_cleanup", &[]),
    ("condor_glexec_job_wrapper", &[]),
    ("condor_glexec_kill", &[]),
    ("condor_glexec_pilot", &["run", "recover", "renew-proxy", "doctor"]),
    ("condor_glexec_run", &[]),
    ("condor_glexec_setup", &[]),
    ("condor_glexec_update_proxy", &[]),
    ("glexec", &[]),
    ("glexec-sudo", &[]),
    (
        "glexec_accounts",
        &[
            "list", "add", "remove", "allow", "deny", "lease", "release", "drain", "undrain",
            "history",
        ],
    ),
    ("glexec_sessions", &[]),
    ("glexec_unwrapenv", &[]),
    ("glexec_verify", &[]),
    ("glexec_wrapenv", &[]),
    ("glexecd", &[]),
    ("mkgltempdir", &[]),
];

fn pages() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(program("examples/pages")).arg(directory.path()).status().unwrap();
    assert!(status.success());
    directory
}

fn page(pages: &TempDir, name: &str) -> PathBuf {
    let section = section_of(name);
    pages.path().join(format!("man/man{section}/{name}.{section}"))
}

fn page_of_configuration(pages: &TempDir) -> PathBuf {
    pages.path().join("man/man5/glexec.conf.5")
}

/// A page as a terminal shows it, with long lines.
fn shown(page: &Path) -> String {
    let words = ["-T", "utf8", "-O", "width=1000"].map(OsStr::new);
    let text = printed("mandoc", &[&words[..], &[page.as_os_str()]].concat());
    // mandoc writes a bold or italic letter as two letters, with a backspace in between.
    let mut letters: Vec<char> = Vec::new();
    for letter in text.chars() {
        match letter {
            '\u{8}' => drop(letters.pop()),
            letter => letters.push(letter),
        }
    }
    letters.into_iter().collect()
}

fn printed(program: impl AsRef<OsStr>, words: &[&OsStr]) -> String {
    let output = Command::new(program)
        .args(words)
        .output()
        .expect("it can be executed; mandoc: run ci/provision");
    String::from_utf8(output.stdout).unwrap()
}

/// The words of a text that begin with a hyphen.
fn options(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with('-') && word.contains(char::is_alphanumeric)).collect()
}

#[test]
fn every_command_has_a_page_with_every_option_that_its_help_names() {
    let pages = pages();
    let count =
        |section| fs::read_dir(pages.path().join(format!("man/man{section}"))).unwrap().count();
    // Three commands have the names and the usage of Legion, too.
    assert_eq!(count(1) + count(8), COMMANDS.len() + 3);
    for (name, commands) in COMMANDS {
        let page = shown(&page(&pages, name));
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
            let is_there = page.lines().any(|line| line == heading);
            // Each of the pilot's subcommands has separate statuses.
            assert!(
                is_there || (heading == "EXIT STATUS" && !commands.is_empty()),
                "{name}: {heading}"
            );
        }
        let program = program(name);
        let mut help = printed(&program, &["--help".as_ref()]);
        for command in commands {
            assert!(
                page.lines().any(|line| line == format!("{name} {command}")),
                "{name} {command}"
            );
            help += &printed(&program, &[command.as_ref(), "--help".as_ref()]);
        }
        let missing: Vec<_> = options(&help).difference(&options(&page)).copied().collect();
        assert_eq!(missing, [""; 0], "{name}");
    }
}

#[test]
fn the_page_of_the_configuration_has_every_key_with_its_default() {
    let pages = pages();
    let page = shown(&page_of_configuration(&pages));
    for key in root::config::keys::all() {
        let mut lines = page.lines().map(str::trim);
        let name = format!("{} = {}", key.name, key.value);
        assert!(lines.any(|line| line == name), "{name}");
        let text = lines.next().unwrap();
        assert!(text.starts_with(key.text), "{text}");
        assert!(text.ends_with(&format!("Default: {}.", key.default)) || key.default.is_empty());
    }
}

#[test]
fn mandoc_warns_of_no_page() {
    let pages = pages();
    let commands = COMMANDS.map(|(name, _)| page(&pages, name));
    let files = ["glexec.conf", "glexec-accounts", "glexec-clients"]
        .map(|name| pages.path().join(format!("man/man5/{name}.5")));
    for path in commands.into_iter().chain(files) {
        let found = printed(
            "mandoc",
            &["-T".as_ref(), "lint".as_ref(), "-W".as_ref(), "warning".as_ref(), path.as_os_str()],
        );
        // The pages have no date, so that the same source gives the same bytes.
        let found: Vec<&str> =
            found.lines().filter(|line| !line.contains("missing date")).collect();
        assert_eq!(found, [""; 0]);
    }
}

/// The completions of bash for the last word of a line, after these lines of a script.
fn completed_after(first: &str, directory: &Path, line: &[&str]) -> Vec<String> {
    let script = r#"
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        [[ $(complete -p "$1") =~ " -F "([^ ]+) ]] || exit
        "${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = directory.join("bash-completion/completions").join(line[0]);
    let script = format!("{first}\n{script}");
    let mut words: Vec<&OsStr> = vec!["-c".as_ref(), script.as_ref(), path.as_os_str()];
    words.extend(line.iter().map(OsStr::new));
    printed("bash", &words).lines().map(str::to_owned).collect()
}

fn completed(directory: &Path, line: &[&str]) -> Vec<String> {
    completed_after("", directory, line)
}

/// The completions of fish for the last word of a line.
fn completed_by_fish(directory: &Path, line: &[&str]) -> Vec<String> {
    let path = directory.join("fish/vendor_completions.d").join(format!("{}.fish", line[0]));
    let script = format!("source {}; complete -C '{}'", path.display(), line.join(" "));
    assert!(Path::new("/usr/bin/fish").exists(), "fish is missing: run ci/provision");
    // fish writes to its home directory.
    let home = tempfile::tempdir().unwrap();
    let words =
        [format!("HOME={}", home.path().display()), "fish".to_owned(), "-c".to_owned(), script];
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    let name = |line: &str| line.split('\t').next().unwrap().to_owned();
    printed("env", &words).lines().map(name).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let pages = pages();
    let completed = |line: &[&str]| completed(pages.path(), line);
    assert_eq!(completed(&["condor_glexec_pilot", "re"]), ["recover", "renew-proxy"]);
    assert_eq!(completed(&["condor_glexec_pilot", "run", "--env"]), ["--env", "--env-file"]);
    assert_eq!(completed(&["condor_glexec_kill", "--fa"]), ["--family"]);
    assert_eq!(completed(&["glexec", "--g"]), ["--give"]);
    assert_eq!(completed(&["glexec", "--v"]), ["--version"]);
    assert_eq!(
        completed(&["glexec", "--give", "x", "--t"]),
        ["--tmp-size", "--to", "--take", "--top-limit"]
    );
    assert_eq!(completed(&["glexec_wrapenv", "--ex"]), ["--exclude"]);
    assert_eq!(completed(&["glexec_accounts", "un"]), ["undrain"]);
    assert_eq!(completed(&["glexec_accounts", "add", "--p"]), ["--pool"]);
    assert_eq!(completed(&["mkgltempdir", "--par"]), ["--parent-mode"]);
}

/// Lines whose last word begins a command.
const COMMAND_LINES: [&[&str]; 5] = [
    &["condor_glexec_pilot", "run", "--", "mkfif"],
    &["condor_glexec_pilot", "run", "--timeout", "5", "--", "mkfif"],
    &["glexec", "mkfif"],
    &["glexec", "--", "mkfif"],
    &["glexec_unwrapenv", "--exclude", "A", "--", "mkfif"],
];

/// Lines whose last word is an argument of a command.
const ARGUMENT_LINES: [(&[&str], &str); 3] = [
    (&["condor_glexec_pilot", "run", "--", "ls", "--", "x"], "3"),
    (&["glexec", "ls", "x"], "1"),
    (&["glexec", "--", "ls", "x"], "2"),
];

#[test]
fn a_command_is_completed_as_without_the_program_that_runs_it() {
    let pages = pages();
    for line in COMMAND_LINES {
        let offered = completed(pages.path(), line);
        assert!(
            !offered.is_empty() && offered.iter().all(|name| name == "mkfifo"),
            "bash: {line:?}: {offered:?}"
        );
        assert_eq!(completed_by_fish(pages.path(), line), ["mkfifo"], "fish: {line:?}");
    }
    for (line, begins) in ARGUMENT_LINES {
        assert_eq!(completed(pages.path(), line), [""], "bash completes a file's name: {line:?}");
        // In the place of bash-completion, which completes a command's arguments.
        let played = "_command_offset() { COMPREPLY=(\"from $1\"); }";
        assert_eq!(
            completed_after(played, pages.path(), line),
            [format!("from {begins}")],
            "{line:?}"
        );
    }
    for words in
        ["condor_glexec_pilot run -- chmod --recu", "glexec -- chmod --recu", "glexec chmod --recu"]
    {
        let line: Vec<&str> = words.split(' ').collect();
        assert_eq!(completed_by_fish(pages.path(), &line), ["--recursive"], "{words}");
    }
    assert!(
        completed_by_fish(pages.path(), &["condor_glexec_pilot", "run", "--tim"])
            .contains(&"--timeout".to_owned())
    );
    for name in ["condor_glexec_pilot", "glexec"] {
        let script =
            fs::read_to_string(pages.path().join(format!("zsh/site-functions/_{name}"))).unwrap();
        assert!(script.contains("'*::command:_cmdambivalent'"), "{name}");
    }
}

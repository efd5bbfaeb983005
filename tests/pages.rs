//! Man pages and completions: that they say what `--help` says.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::program;
use tempfile::TempDir;

/// Every command with its subcommands.
const COMMANDS: [(&str, &[&str]); 10] = [
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
];

fn pages() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(program("examples/pages")).arg(directory.path()).status().unwrap();
    assert!(status.success());
    directory
}

fn page(pages: &TempDir, name: &str) -> PathBuf {
    pages.path().join("man/man1").join(format!("{name}.1"))
}

fn printed(program: impl AsRef<OsStr>, words: &[&OsStr]) -> String {
    let output = Command::new(program).args(words).output().expect("it can be executed; mandoc: run ci/provision");
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
    assert_eq!(fs::read_dir(pages.path().join("man/man1")).unwrap().count(), COMMANDS.len());
    for (name, commands) in COMMANDS {
        let page = printed(
            "mandoc",
            &["-T".as_ref(), "utf8".as_ref(), "-O".as_ref(), "width=1000".as_ref(), page(&pages, name).as_os_str()],
        );
        // Bold and italic are letters written twice, with a step back in between.
        let mut letters: Vec<char> = Vec::new();
        for letter in page.chars() {
            match letter {
                '\u{8}' => drop(letters.pop()),
                letter => letters.push(letter),
            }
        }
        let page: String = letters.into_iter().collect();
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
            let is_there = page.lines().any(|line| line == heading);
            // Each of the pilot's commands has statuses of its own.
            assert!(is_there || (heading == "EXIT STATUS" && !commands.is_empty()), "{name}: {heading}");
        }
        let program = program(name);
        let mut help = printed(&program, &["--help".as_ref()]);
        for command in commands {
            assert!(page.lines().any(|line| line == format!("{name} {command}")), "{name} {command}");
            help += &printed(&program, &[command.as_ref(), "--help".as_ref()]);
        }
        let missing: Vec<_> = options(&help).difference(&options(&page)).copied().collect();
        assert_eq!(missing, [""; 0], "{name}");
    }
}

#[test]
fn mandoc_warns_of_no_page() {
    let pages = pages();
    for (name, _) in COMMANDS {
        let path = page(&pages, name);
        let found =
            printed("mandoc", &["-T".as_ref(), "lint".as_ref(), "-W".as_ref(), "warning".as_ref(), path.as_os_str()]);
        // There is none, on purpose.
        let found: Vec<&str> = found.lines().filter(|line| !line.contains("missing date")).collect();
        assert_eq!(found, [""; 0]);
    }
}

/// What bash offers for the last word of a line.
fn completed(directory: &Path, line: &[&str]) -> Vec<String> {
    let script = r#"
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        [[ $(complete -p "$1") == *" -F "* ]] || exit
        "_$1" "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = directory.join("bash-completion/completions").join(line[0]);
    let mut words: Vec<&OsStr> = vec!["-c".as_ref(), script.as_ref(), path.as_os_str()];
    words.extend(line.iter().map(OsStr::new));
    printed("bash", &words).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let pages = pages();
    let completed = |line: &[&str]| completed(pages.path(), line);
    assert_eq!(completed(&["condor_glexec_pilot", "re"]), ["recover", "renew-proxy"]);
    assert_eq!(completed(&["condor_glexec_pilot", "run", "--env"]), ["--env", "--env-file"]);
    assert_eq!(completed(&["condor_glexec_kill", "--fa"]), ["--family"]);
}

//! Completion of the command that a program runs: the shell completes it as it does without the
//! program.

use clap_complete::Shell;

/// A program whose arguments are a command.
pub struct Runner {
    /// Its name.
    pub name: &'static str,
    /// Lines of bash that set `at` to the index in `COMP_WORDS` at which the command begins. They
    /// fail if the word to complete does not belong to the command.
    bash: &'static str,
    /// The same for fish, with `words`: the words before the one to complete.
    fish: &'static str,
}

/// The pilot's command; see [`after_dashes`].
pub const PILOT: Runner = after_dashes("condor_glexec_pilot");

/// As [`PILOT`].
pub const UNWRAPENV: Runner = after_dashes("glexec_unwrapenv");

/// A program whose options can have values: so its command is recognized only after `--`.
const fn after_dashes(name: &'static str) -> Runner {
    Runner {
        name,
        bash: r#"
    while [[ $at -lt $COMP_CWORD && ${COMP_WORDS[at]} != -- ]]; do at=$((at + 1)); done
    [[ $((at++)) -lt $COMP_CWORD ]]"#,
        fish: r#"
    set -l dashes (contains -i -- -- $words); or return
    set at (math $dashes + 1)"#,
    }
}

/// None of its options precedes a command.
pub const GLEXEC: Runner = before_command("glexec");

/// As [`GLEXEC`].
pub const GLEXEC_SUDO: Runner = before_command("glexec-sudo");

/// A program whose command begins at the first word that is not an option, or after `--`.
const fn before_command(name: &'static str) -> Runner {
    Runner {
        name,
        bash: r#"
    [[ $COMP_CWORD -eq 1 || ${COMP_WORDS[1]} != -- ]] || at=2
    [[ ${COMP_WORDS[at]} != -* || $at -gt 1 ]]"#,
        fish: r#"
    set -l first $words[2] (commandline -ct)
    test "$words[2]" = --; and set at 3; or not string match -q -- '-*' "$first[1]""#,
    }
}

const BASH: &str = r#"
# Where the command begins that NAME is to run.
_NAME_command_at() {BEGINS
}

_NAME_with_command() {
    local at=1
    if ! _NAME_command_at; then
        _NAME "$@"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$at"
    elif [[ $at -eq $COMP_CWORD ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[at]}")
    else
        COMPREPLY=()
    fi
}

complete -F _NAME_with_command -o bashdefault -o default NAME
"#;

const FISH: &str = r#"
# The words of the command that NAME is to run, as a line.
function __fish_NAME_command
    set -l words (commandline -opc)
    set -l at 2BEGINS
    or return
    set -e words[1..(math $at - 1)]
    string join ' ' -- (string escape -- $words) (commandline -ct)
    return 0
end

complete -c NAME -n '__fish_NAME_command >/dev/null' -f -a '(complete -C (__fish_NAME_command))'
"#;

impl Runner {
    /// The lines to be added to the completion of the program's options.
    pub fn completion(&self, shell: Shell) -> String {
        let (script, begins) = match shell {
            Shell::Bash => (BASH, self.bash),
            Shell::Fish => (FISH, self.fish),
            // For zsh, the value hint of the argument is enough.
            _ => return String::new(),
        };
        script.replace("BEGINS", begins).replace("NAME", self.name)
    }
}

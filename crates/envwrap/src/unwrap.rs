//! `glexec_unwrapenv`: executes a command with the variables that are in `GLEXEC_ENV`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use command::leading::Leading;
use command::program::{Program, VERSION, option};
use command::{executable, say};
use error::Shown;
use sys::{Errno, exec, signal};

use crate::VARIABLE;
use crate::format::decode;
use crate::names::Excluded;

/// The exit status for a failure before the command, as of env(1).
pub const FAILED: u8 = 125;

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_unwrapenv",
    about: "Executes a command with the environment that glexec_wrapenv has printed.",
    arguments: "[--exclude <name>[,<name>…]]… [--] <command> [arg…]",
    operations: &[],
    options: &[
        option("exclude", "<names>", "Leave out these variables, too: names with commas"),
        VERSION,
    ],
    text: "\
glexec_unwrapenv runs as the payload's user, behind a switcher. It adds the
variables in GLEXEC_ENV to the environment that the switcher has made, and then
becomes the command: a variable from GLEXEC_ENV replaces one that is there.
HOME, LOGNAME, USER, X509_USER_PROXY and _ stay as the switcher has made them,
and GLEXEC_ENV is unset. Every other variable is set, also those that a loader
or an interpreter obeys, such as LD_PRELOAD: they have an effect only on what
the payload's user may do anyway.

The command is searched for in the new PATH. If it is one word with a character
that is special to the shell, such as a space, and no arguments follow,
/bin/sh executes it, as gLExec's glexec_unwrapenv.pl does.

Environment:
  GLEXEC_ENV  the value that glexec_wrapenv or gLExec's glexec_wrapenv.pl has
              printed

Exit status: the command's; 125 usage error, or there is no usable GLEXEC_ENV;
126 the command cannot be executed; 127 there is no such command.

Example:
  export GLEXEC_ENV=$(glexec_wrapenv)
  glexec glexec_unwrapenv -- env
",
};

/// Runs the program: it returns only if this process could not become the command.
pub fn main() -> ExitCode {
    let (status, error) = match PROGRAM.read_leading(std::env::args_os().skip(1)) {
        Ok(Leading::Answered) => return ExitCode::SUCCESS,
        Ok(Leading::Command { options, words }) => become_command(&Excluded::new(&options), &words),
        Err(error) => (FAILED, error),
    };
    say(PROGRAM.name, error);
    ExitCode::from(status)
}

/// Executes the command. Returns the exit status and the message if that failed.
fn become_command(excluded: &Excluded, words: &[OsString]) -> (u8, String) {
    let Some((name, arguments)) = words.split_first() else {
        return (FAILED, format!("there is no command; {}", PROGRAM.usage()));
    };
    let Some(value) = std::env::var_os(VARIABLE) else {
        let text = "GLEXEC_ENV is not set: set it to the output of glexec_wrapenv, and use a \
                    switcher that passes it on";
        return (FAILED, text.to_owned());
    };
    let mut variables = match decode(value.as_bytes()) {
        Ok(variables) => variables,
        Err(why) => {
            let text = format!("cannot use GLEXEC_ENV: {why}; set it to glexec_wrapenv's output");
            return (FAILED, text);
        }
    };
    variables.retain(|(name, _)| !excluded.has(name));
    let path = variables.iter().rev().find(|(name, _)| name == "PATH");
    let path = path.map(|(_, path)| path.clone()).or_else(|| std::env::var_os("PATH"));
    let is_line = arguments.is_empty() && is_shell_line(name);
    let shell = OsStr::new("/bin/sh");
    let program = if is_line { shell } else { name.as_os_str() };
    let Some(found) = find(program, path.as_deref()) else {
        return (127, format!("{}: there is no such command in PATH", Shown::os(program)));
    };
    let mut command = Command::new(&found);
    if is_line {
        command.arg("-c").arg(name);
    }
    command.args(arguments).envs(variables).env_remove(VARIABLE);
    signal::default_sigpipe();
    let cause = exec::exec(&command);
    signal::ignore_sigpipe();
    let status = if matches!(cause, Errno::ENOENT | Errno::ENOTDIR) { 127 } else { 126 };
    (status, format!("cannot execute {}: {cause}", Shown::os(&found)))
}

/// Whether a word is a line for the shell, and not a path or a name.
fn is_shell_line(word: &OsStr) -> bool {
    word.as_bytes().iter().any(|byte| b" \t\n$&*(){}[]'\";\\|?<>~`".contains(byte))
}

/// The path of a program; a name without a slash is searched for in `path`.
fn find(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    executable::find(program, std::env::split_paths(path.unwrap_or_default()))
}

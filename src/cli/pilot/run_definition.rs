//! The options and the help text of `condor_glexec_pilot run`.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

use super::{limits, options, world};
use crate::cli::definition::{flag, option};

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("run")
        .about("Runs a command as another user, and brings its files back.")
        .override_usage("condor_glexec_pilot run [options] -- <command> [arg…]")
        .next_line_help(true)
        .after_help(TEXT.replace("{LIMITS}\n", limits::TEXT))
        .args(files())
        .args(environment())
        .args(world::arguments())
        .args(times())
        .args(limits::options())
        .args(reports())
        .arg(
            Arg::new("command")
                .value_name("command")
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true)
                .value_parser(ValueParser::os_string())
                .hide(true),
        )
}

/// The help text after the options.
const TEXT: &str = "\
run creates a directory (the sandbox) with a copy of the input, gives it to the
job user (the account that the switcher maps the credential to), and runs the
command (the payload) in it. A command without a slash is searched for in PATH;
a relative path such as ./name starts in the working directory. The payload has
the standard streams of this program and the variables that the switcher and
--env set. When it has ended, all processes that it left running are killed, and
the files come back.

SIGTERM, SIGINT and SIGHUP end the payload: all its processes get the signal;
those that are left after --grace are killed; the files come back. The end of
--timeout does the same with SIGTERM. SIGTSTP and SIGCONT stop and continue all
processes of the payload. SIGUSR1 and SIGUSR2 are forwarded to them. If standard
input is a terminal, Ctrl-C and Ctrl-\\ are forwarded to the payload; this
program keeps running.

{LIMITS}
If SIGTERM, SIGINT or SIGHUP comes before the payload begins, this program ends
at once, and nothing is left. While the files come back, the first such signal
only prints a line; the second one ends this program with status 243. If this
program is killed, the payload is killed too. In both cases, 'recover' brings
the files back.

Exit status: that of the payload, or 128+N if signal N killed it; or else:
  240  usage error or bad input; nothing was done
  241  the sandbox could not be given to the job user; the payload did not begin
  242  the payload could not be started; its files are back
  243  the payload ran, but its files are not back; the error names its status
       and the sandbox, and 'recover' brings the files back
  244  the payload's own status was one of 240 to 244

Environment: see 'condor_glexec_pilot --help'.

Example:
  condor_glexec_pilot run --input in --output out --timeout 2h -- ./analyse data
";

/// Options about the sandbox and its files.
fn files() -> Vec<Arg> {
    vec![
        options::glexec(),
        options::credential(),
        options::proxy(),
        option(
            "input",
            "DIR",
            "A directory that is copied into the sandbox; it is not changed\n\
             [default: the sandbox is empty]",
        ),
        options::execute(),
        option(
            "name",
            "NAME",
            "The name of the sandbox in that directory; it must not exist\n\
             [default: pilot_ and a random number]",
        ),
        option(
            "output",
            "DIR",
            "Where the payload's files are put: an empty directory, or one that\n\
             does not exist [default: the files are deleted]",
        ),
    ]
}

/// Options about the variables of the payload, and scripts that can change them.
fn environment() -> Vec<Arg> {
    vec![
        option(
            "env",
            "NAME[=VALUE]",
            "A variable for the payload; can be repeated. NAME passes the caller's\n\
             variable, which must exist; NAME? passes it if it exists",
        )
        .action(ArgAction::Append),
        option(
            "env-file",
            "FILE",
            "A file of variables, one NAME=VALUE per line; can be repeated. Empty\n\
             lines and lines beginning with # are ignored",
        )
        .action(ArgAction::Append),
        option(
            "session-scripts",
            "DIR",
            "A directory of scripts that run as you, outside of the payload's\n\
             namespace, when the payload begins and when it ends; with glexec only",
        ),
    ]
}

/// Options about times.
fn times() -> Vec<Arg> {
    vec![
        option(
            "timeout",
            "TIME",
            "The time limit of the payload: seconds, or a number with s, m, h or d\n\
             [default: 0, no limit]",
        ),
        option(
            "grace",
            "TIME",
            "The time between the signal that ends the payload and SIGKILL, as for\n\
             --timeout [default: 10 seconds]",
        ),
    ]
}

/// Options about what the caller gets to know.
fn reports() -> Vec<Arg> {
    vec![
        flag("keep-sandbox", "Keeps the files in the sandbox, and prints its path")
            .conflicts_with("output"),
        option(
            "report",
            "FILE",
            "Writes one line of JSON about all steps to FILE, mode 0600. The file\n\
             is opened before anything runs. The payload cannot write to it",
        ),
        flag(
            "json",
            "Prints the same line on standard error. The payload can also write\n\
             there, and print a false line: programs should use --report",
        ),
    ]
}

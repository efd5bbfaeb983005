//! `glexec`: the identity switcher. Its command line, environment and exit statuses are gLExec's.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use command::program::{Options, Program, flag, option, print};
use command::refusal::{Refusal, Result, Status};
use command::{Parsed, log, say};
use error::Shown;
use sys::wait::End;
use sys::{Uid, inherited, process, signal};
use wire::EXACT_STATUS;

use crate::ownership::HandOver;
use crate::payload::PATH;
use crate::request::Request;
use crate::{call_log, ownership, rootless};

/// The configuration file that `-V` names, as gLExec does. It is not read.
const CONFIGURATION: &str = "/etc/glexec.conf";

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec",
    about: "Runs a command as the user that a credential maps to.",
    arguments: "[--] <command> [arg…]",
    operations: &[
        "--hand-over <dir> [--links copy|keep|drop] --report <fd> -- <command> [arg…]",
        "--give <dir> [--to <path>] [--mode <mode>] [--fill-from <dir>] [--confirm] \
         [--top-limit <n>]",
        "--take <dir> [--exchange <path>] [--links copy|keep|drop] [--end] [--top-limit <n>]",
        "--undo <dir> [--end]",
    ],
    options: &[
        option("hand-over", "<dir>", "Make it the payload user's while the command runs"),
        option("report", "<fd>", "The descriptor for the lines of JSON about it"),
        option("give", "<dir>", "Make it and all below it the payload user's"),
        option("to", "<path>", "Rename the directory to this free path as the last step"),
        option("mode", "<mode>", "Octal mode of the directory in the end (default: unchanged)"),
        option("fill-from", "<dir>", "First examine this, then wait for 'm': all in it is moved"),
        option("confirm", "", "Before the last steps, print a line and wait for a byte 'c'"),
        option("take", "<dir>", "Make it and all below it yours again"),
        option("exchange", "<path>", "First exchange the names of it and of an empty directory"),
        option("links", "<policy>", "Links that lead out of it: copy (default), keep or drop"),
        option("undo", "<dir>", "Make it yours as it was, after a killed --give"),
        option("end", "", "First kill all processes of the payload's user"),
        option("top-limit", "<n>", "Refuse a directory that itself has more entries (205)"),
        flag('v', "version", "Print the version"),
        flag('V', "", "Print the version and how it was built"),
    ],
    text: "\
glexec needs no privilege. The command (the payload) gets a user id and a group
id from your subordinate ids (subuid(5)), in a new user and pid namespace. For
the kernel this is another user, which cannot signal, trace or read your
processes or those of another payload. You can always end the payload. When it
ends, all processes that it has started are killed. A lease assigns the ids to
the credential: all calls with the same credential get the same ids, as long as
the file exists.

With --give, --take or --undo it runs no command. It changes the owner of a
directory, with all below it, to the user of the credential's lease or back,
instead of a copy, and prints one line of JSON. Paths are absolute. A payload of the lease
must not run meanwhile. After a call that was killed, the same call finishes the
change. --undo takes back what a killed --give has given.

Environment:
  GLEXEC_CLIENT_CERT   the credential: your file, mode 0600; its content does
                       not matter (default: X509_USER_PROXY)
  GLEXEC_SOURCE_PROXY  a file to copy for the payload
  GLEXEC_TARGET_PROXY  the path of the copy, mode 0600, and the payload's
                       X509_USER_PROXY (default: a name in /tmp, removed
                       after the payload; /dev/null: no copy)
  GLEXEC_ID            an identifier added to the log line
  GLEXEC_STATE_DIR     the directory of the leases (default:
                       /var/tmp/glexec-<your uid>; if another user has this
                       name, a directory whose name begins with it); ids are
                       also claimed in the default directory
  GLEXEC_LEASE_UID     the subordinate user id that a new lease must have; used
                       to remove files that this user has left
  GLEXEC_EXACT_STATUS  if not empty, glexec ends as the payload does: by the
                       same signal, or with the same status, also 201 to 204;
                       for callers that know by other means whether the payload
                       has begun
  GLEXEC_HELPERS_LOG   the log, to which each call adds one line of JSON: a
                       regular file, 'syslog' or 'stderr' (default: no log)

The payload gets a new environment: USER and LOGNAME are its uid, HOME is /,
SHELL is /bin/sh, PATH is /usr/local/bin:/usr/bin:/bin. Of your variables it
gets GLEXEC_ENV only: glexec_wrapenv(1) makes its value.

Exit status: the payload's; 128+N if signal N killed it; 201 usage error, such
as no usable credential, or a command or working directory that the payload's
user cannot access; 202 system requirements not met (the message says what to
do); 203 not authorized; 204 the payload's status was one of 201 to 204; 205
the owner of the directory cannot be changed, and it is as it was: copy it.
",
};

/// What a call asks for.
enum Asked {
    /// To run this command, which gets a directory, if one is handed over.
    Payload(Vec<OsString>, Option<HandOver>),
    /// To change the owner of a directory.
    Owner(Options),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let parsed = PROGRAM.read(words.iter().cloned());
    let report = match &parsed {
        Ok(Parsed::Options(options)) if options.get("hand-over").is_some() => {
            Some(HandOver::report(options))
        }
        _ => None,
    };
    // No other descriptor of the caller's stays open in the processes above the payload. This
    // process has opened none yet.
    let _ = inherited::close_inherited();
    signal::default_sigchld();
    // Its own files are private, and it can read them again, whatever the caller's umask is.
    let umask = process::umask(0o077);
    let started = Instant::now();
    let asked = match parsed {
        Ok(Parsed::Words(command)) => {
            words.clone_from(&command);
            Ok(Asked::Payload(command, None))
        }
        Ok(Parsed::Options(options)) => match report {
            Some(report) => report
                .and_then(|report| HandOver::read(&options, report))
                .map(|hand_over| Asked::Payload(options.command().to_vec(), Some(hand_over))),
            None => Ok(Asked::Owner(options)),
        },
        Ok(Parsed::Help) => {
            print(&PROGRAM.help());
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Option(option)) => {
            print(&PROGRAM.version());
            if option == "V" {
                print(&settings());
            }
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(Refusal::client(error)),
    };
    let command: Vec<String> = words.iter().map(|word| Shown::os(word).to_string()).collect();
    let mut user = None;
    let ended = asked.and_then(|asked| match asked {
        Asked::Payload(command, hand_over) => run(command, umask, &mut user, hand_over),
        Asked::Owner(options) => ownership::run(&options, &mut user).map(|report| {
            print(&format!("{report}\n"));
            End::Exited(0)
        }),
    });
    let is_exact = std::env::var_os(EXACT_STATUS).is_some_and(|value| !value.is_empty());
    let (status, error) = match &ended {
        Ok(End::Exited(201..=204)) if !is_exact => (Status::Ambiguous as u8, None),
        Ok(end) => (u8::try_from(end.status()).unwrap_or(u8::MAX), None),
        Err(refusal) => {
            say(PROGRAM.name, refusal);
            (refusal.status as u8, Some(refusal.text.as_str()))
        }
    };
    let line = call_log::line(user, &command, error);
    if let Err(warning) = line.write(PROGRAM.name, started.elapsed(), Some(status)) {
        say(PROGRAM.name, warning);
    }
    match ended {
        Ok(End::Killed(signal)) if is_exact => process::die_of_signal(signal),
        _ => ExitCode::from(status),
    }
}

/// Runs the command; `user` becomes the user id of its lease.
fn run(
    command: Vec<OsString>,
    umask: u32,
    user: &mut Option<Uid>,
    hand_over: Option<HandOver>,
) -> Result<End> {
    let request = Request::read(command, &PROGRAM.usage())?;
    rootless::run(request, umask, log::is_wanted(), user, hand_over)
}

/// One setting a line, in the syntax of a shell.
fn settings() -> String {
    format!(
        "GLEXEC_CONFIG_FILE=\"{CONFIGURATION}\"\nGLEXEC_MODE=\"rootless\"\nGLEXEC_PATH=\"{PATH}\"\n"
    )
}

//! `glexec`: the identity switcher. Its command line, environment and exit statuses are gLExec's.

use std::ffi::OsString;
use std::process::ExitCode;

use command::payload::PATH;
use command::program::{Options, Program, flag, option, print, repeated};
use command::refusal::{Refusal, Result, Status};
use command::{Parsed, say};
use error::Shown;
use root::check;
use root::config::{self, Config, Finding};
use sys::process;
use sys::wait::End;
use wire::daemon::Request;
use world::Spec;

use crate::door::{self, Privilege};
use crate::{rootless, setuid};

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec",
    about: "Runs a command as the user that a credential maps to.",
    arguments: "[--] <command> [arg…]",
    operations: &[
        "--world shared|closed [--writable <dir>] [--read-only <dir>[:<at>]] … -- <command> \
         [arg…]",
        "--hand-over <dir> [--links copy|keep|drop] --report <fd> [--world …] -- <command> [arg…]",
        "--give <dir> [--to <path>] [--mode <mode>] [--fill-from <dir>] [--confirm] \
         [--top-limit <n>]",
        "--take <dir> [--exchange <path>] [--links copy|keep|drop] [--end] [--top-limit <n>]",
        "--undo <dir> [--end]",
    ],
    options: &[
        option("world", "<world>", "shared (default), or closed: see below"),
        repeated("writable", "<dir>", "The command can write to it, also in the closed world"),
        repeated("read-only", "<dir>[:<at>]", "Show it there, read-only"),
        repeated("bind", "<dir>:<at>", "Show it there, writable"),
        repeated("hide", "<dir>", "Hide it"),
        option("cwd", "<dir>", "The working directory (default: yours)"),
        option("root", "<dir>", "The root directory, read-only"),
        option("network", "<network>", "machine (default), or none: loopback alone"),
        repeated("device", "<path>", "Show this device in /dev"),
        option("tmp-size", "<size>", "Of /tmp, /var/tmp and /dev/shm together (default: 1G)"),
        option("nested", "", "It may make namespaces and mounts of its own"),
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
        flag('\0', "status", "Print your leases and payloads at the account daemon, as JSON"),
        flag('\0', "end-payloads", "End the credential's payloads at the account daemon"),
        flag('\0', "release", "The same, and end the credential's lease"),
        flag('v', "version", "Print the version"),
        flag('V', "", "Print the version and how it was built"),
        flag('\0', "check-config", "Print what is wrong or without effect in the configuration"),
    ],
    text: "\
An administrator can install glexec set-user-ID root. Then glexec.conf(5) says
who may run commands as which account. The command gets the environment of that
account and your GLEXEC_*. GLEXEC_MODE can be lcmaps_verify_account: then no
account is leased, and the command runs only as the one that the credential has.
A command that cannot be executed gives 126, one that does not exist 127.

An administrator can also run the account daemon, glexecd(8). Then glexec is its
client: the command runs as an account on lease, a lease ends some time after
its last use, and glexec works under no_new_privs. The command ends when glexec
ends, unless GLEXEC_LINGER is set. Otherwise:

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

With --world closed, or any option of it, the command has a world of its own. It
can write to its sandbox (its working directory, if that is its user's), to what
--writable and --bind name, and to a /tmp, /var/tmp and /dev/shm that end with
it. All else is read-only. Homes, other sandboxes, /run and the IPC objects of
others are not there. docs/world.md says more.

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
  GLEXEC_SESSION_SCRIPTS
                       directories, joined by colons, with scripts that run as
                       you when the payload begins and when it ends
  GLEXEC_WORLD         closed: the same as --world closed
  GLEXEC_LIMITS        what the command may use, as memory=4G,pids=100,cpus=2:
                       with the account daemon, or where glexec is
                       set-user-ID (glexec.conf(5))
  GLEXEC_LINGER        if not empty, a command of the account daemon goes on when
                       glexec is killed
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
pub(crate) enum Asked {
    /// To run this command, in this world.
    Payload(Vec<OsString>, Spec),
    /// To run a command, which gets a directory meanwhile, in this world.
    HandOver(Options, Spec),
    /// To change the owner of a directory.
    Owner(Options),
    /// What only the account daemon does.
    Daemon(Request),
    /// To print something.
    Information(Information),
}

impl Asked {
    /// The same, with the closed world for a payload.
    pub(crate) fn in_closed_world(self) -> Asked {
        match self {
            Asked::Payload(command, world) => Asked::Payload(command, world.or_closed()),
            Asked::HandOver(options, world) => Asked::HandOver(options, world.or_closed()),
            other => other,
        }
    }
}

/// What a call asks to print.
pub(crate) enum Information {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// The version and the settings.
    Settings,
    /// What is wrong in the configuration.
    CheckConfig,
}

/// Runs the program.
pub fn main() -> ExitCode {
    match door::privilege() {
        Privilege::None => rootless::main(),
        Privilege::Root => setuid::main(),
        Privilege::Other => {
            say(
                PROGRAM.name,
                "its file gives this program rights other than root's (set-group-ID alone, \
                 capabilities, set-user-ID of another user): run chmod u-s,g-s and setcap -r on \
                 it, or install it as set-user-ID root",
            );
            ExitCode::from(Status::Internal as u8)
        }
    }
}

/// Reads the command line. Also returns its words as the log shows them.
pub(crate) fn read_arguments() -> (Result<Asked>, Vec<String>) {
    // There may be no argument at all, not even the program's name.
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let asked = match PROGRAM.read(words.iter().cloned()) {
        Ok(Parsed::Words(command)) => Ok(Asked::Payload(command, Spec::Shared)),
        Ok(Parsed::Options(options)) if options.get("hand-over").is_some() => {
            world_of(&options).map(|world| Asked::HandOver(options, world))
        }
        Ok(Parsed::Options(options)) if options.names().all(is_of_world) => {
            world_of(&options).map(|world| Asked::Payload(options.command().to_vec(), world))
        }
        Ok(Parsed::Options(options)) => Ok(Asked::Owner(options)),
        Ok(Parsed::Help) => Ok(Asked::Information(Information::Help)),
        Ok(Parsed::Option(option)) => Ok(match option.as_str() {
            "V" => Asked::Information(Information::Settings),
            "check-config" => Asked::Information(Information::CheckConfig),
            "status" => Asked::Daemon(Request::Status),
            "end-payloads" => Asked::Daemon(Request::End),
            "release" => Asked::Daemon(Request::Release),
            _ => Asked::Information(Information::Version),
        }),
        Err(error) => Err(Refusal::client(error)),
    };
    let shown = match &asked {
        Ok(Asked::Payload(command, _)) => command,
        _ => &words,
    };
    let shown = shown.iter().map(|word| Shown::os(word).to_string()).collect();
    (asked, shown)
}

/// Whether an option is one of a payload's world.
pub(crate) fn is_of_world(option: &str) -> bool {
    world::OPTIONS.contains(&option)
}

/// The world that the options ask for.
fn world_of(options: &Options) -> Result<Spec> {
    Spec::parse(options.given().filter(|(name, _)| is_of_world(name)))
}

/// Refuses a call without a command.
pub(crate) fn check_command(command: &[OsString]) -> Result<()> {
    match command.first() {
        None => Err(Refusal::client(format!("no command is given; {}", PROGRAM.usage()))),
        Some(word) if word.is_empty() => Err(Refusal::client("the command is empty")),
        Some(_) => Ok(()),
    }
}

/// Prints what a call asks for, with the caller's rights. `door` is how a payload would be run.
pub(crate) fn inform(information: &Information, door: &str) -> ExitCode {
    match information {
        Information::Help => print(&PROGRAM.help()),
        Information::Version => print(&PROGRAM.version()),
        Information::Settings => {
            let path = Config::load().map_or_else(|_| PATH.into(), |config| config.path);
            print(&PROGRAM.version());
            print(&format!(
                "GLEXEC_CONFIG_FILE=\"{}\"\nGLEXEC_MODE=\"{door}\"\nGLEXEC_PATH=\"{}\"\n",
                config::FILE,
                Shown::os(&path)
            ));
        }
        Information::CheckConfig => return check_config(),
    }
    ExitCode::SUCCESS
}

/// Prints each finding on a line; 202 if one is a fault.
fn check_config() -> ExitCode {
    let failed = ExitCode::from(Status::Internal as u8);
    match check::check_config() {
        Ok(findings) => {
            findings.iter().for_each(|finding| print(&format!("{finding}\n")));
            if findings.iter().any(Finding::is_fault) { failed } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            say(PROGRAM.name, error);
            failed
        }
    }
}

/// The exit status of a call, as its caller reads it; with `is_exact` the payload's own.
pub(crate) fn status(ended: &Result<End>, is_exact: bool) -> u8 {
    match ended {
        Ok(End::Exited(201..=204)) if !is_exact => Status::Ambiguous as u8,
        Ok(end) => u8::try_from(end.status()).unwrap_or(u8::MAX),
        Err(refusal) => refusal.status as u8,
    }
}

/// Ends with a status, or by the signal that has ended the payload.
pub(crate) fn end(ended: &Result<End>, is_exact: bool) -> ExitCode {
    match ended {
        Ok(End::Killed(signal)) if is_exact => process::die_of_signal(*signal),
        ended => ExitCode::from(status(ended, is_exact)),
    }
}

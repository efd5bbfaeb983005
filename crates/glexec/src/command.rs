//! `glexec`: the identity switcher. Its command line, environment and statuses are gLExec's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use command::log::{self, Line, sandbox_of_credential};
use command::program::{Program, flag, print};
use command::{Call, say};
use error::Shown;
use sys::process::End;
use sys::{Uid, fd, process, signal};
use wire::EXACT_STATUS;

use crate::payload::{PATH, Payload, Proxy};
use crate::refusal::{Refusal, Result, Status};
use crate::{credential, installed, rootless};

/// Where the configuration of the setuid mode will be.
const CONFIGURATION: &str = "/etc/glexec.conf";

/// What the program is called with.
pub const PROGRAM: Program = Program {
    name: "glexec",
    about: "Runs a command as another user: the one that a credential stands for.",
    arguments: "[--] <command> [arg…]",
    options: &[
        flag('v', "version", "Print the version"),
        flag('V', "", "Print the version and how it was built"),
    ],
    text: "\
Without an administrator's help the payload gets a user and a group of its own
from your subordinate ids (subuid(5)), in a user and a pid namespace. For the
kernel that is another user, who cannot signal, trace or read you or another
payload; you can always end it. When the payload ends, all that it has started
is gone. Calls with the same credential get the same user, as long as the
credential XX
Environment:
  GLEXEC_CLIENT_CERT   the credential: a file of yours, mode 0600 (default:
                       X509_USER_PROXY); what it holds is not looked at
  GLEXEC_SOURCE_PROXY  a file to copy for the payload
  GLEXEC_TARGET_PROXY  the copy, 0600; its path is the payload's
                       X509_USER_PROXY (default: a name in /tmp, removed
                       after the payload; /dev/null: no copy)
  GLEXEC_ID            a name of yours for this call, for the log
  GLEXEC_STATE_DIR     where it is kept which ids are in use (default:
                       /var/tmp/glexec-<your uid>, or if that is another's,
                       one of yours that begins so); ids are claimed in the
                       default place as well
  GLEXEC_LEASE_UID     the subordinate user id that a new credential gets, if
                       nobody has it: for who has to remove that user's files
  GLEXEC_EXACT_STATUS  if not empty: it ends as the payload does, by the same
                       signal, or with the same status, also 201 to 204; for
                       who knows by other means whether the payload began
  GLEXEC_HELPERS_LOG   a regular file, 'syslog' or 'stderr', for a line of JSON

The payload gets a new environment: USER and LOGNAME are its uid, HOME is /,
SHELL is /bin/sh, PATH is /usr/local/bin:/usr/bin:/bin.

Exit status: the payload's own; 128+N if signal N has killed it; 201 wrong
call, such as no usable credential, or a command or working directory that
the payload's user cannot reach; 202 the machine is not fit, with what to do; 203 not
authorized; 204 the payload's own status was one of 201 to 204.
",
};

/// Runs the command.
pub fn main() -> ExitCode {
    // Nothing of the caller's stays open in what is above the payload. Nothing is ours yet.
    let _ = fd::close_above_2_but(&[]);
    signal::expect_children();
    // What it writes itself is its own, and it can read that again, whatever the caller's umask is.
    let umask = process::create_privately();
    let started = Instant::now();
    let (words, unknown) = match PROGRAM.read(std::env::args_os().skip(1)) {
        Ok(Call::Words { words, .. }) => (words, None),
        Ok(Call::Help) => {
            print(&PROGRAM.help());
            return ExitCode::SUCCESS;
        }
        Ok(Call::Option(option)) => {
            print(&PROGRAM.version());
            if option == "V" {
                print(&settings());
            }
            return ExitCode::SUCCESS;
        }
        Err(error) => (std::env::args_os().skip(1).collect(), Some(Refusal::client(error))),
    };
    let command: Vec<String> = words.iter().map(|word| Shown::os(word).to_string()).collect();
    let mut user = None;
    let ended = match unknown {
        Some(refusal) => Err(refusal),
        None => run(words, umask, &mut user),
    };
    let signal = ended
        .as_ref()
        .ok()
        .and_then(|end| if let End::Killed(signal) = end { Some(*signal) } else { None });
    let is_exact = std::env::var_os(EXACT_STATUS).is_some_and(|value| !value.is_empty());
    let (status, error) = match ended {
        Ok(End::Exited(201..=204)) if !is_exact => (Status::Ambiguous as u8, None),
        Ok(end) => (u8::try_from(end.status()).unwrap_or(u8::MAX), None),
        Err(refusal) => {
            say(PROGRAM.name, &refusal);
            (refusal.status as u8, Some(refusal.text))
        }
    };
    let line = log_line(user, &command, error.as_deref());
    if let Err(warning) = line.write(PROGRAM.name, started.elapsed(), Some(status)) {
        say(PROGRAM.name, warning);
    }
    if let Some(signal) = signal.filter(|_| is_exact) {
        process::die_of(signal);
    }
    ExitCode::from(status)
}

/// What the log says of a call.
fn log_line(user: Option<Uid>, command: &[String], error: Option<&str>) -> Line {
    let variable = |name: &str| std::env::var_os(name).map(|value| Shown::os(&value).to_string());
    let credential = variable("GLEXEC_CLIENT_CERT").or_else(|| variable("X509_USER_PROXY"));
    let sandbox = credential.as_ref().map(|credential| sandbox_of_credential(credential.as_ref()));
    let mut line = Line::default();
    line.text("sandbox", sandbox.map(|path| path.display().to_string()).as_deref());
    line.text("credential", credential.as_deref()).text("id", variable("GLEXEC_ID").as_deref());
    if let Some(user) = user {
        line.json("uid", user);
    }
    line.texts("command", command).text("error", error);
    line
}

/// Runs the command; `user` becomes the user id that it gets.
fn run(command: Vec<OsString>, umask: u32, user: &mut Option<Uid>) -> Result<End> {
    match command.first() {
        None => return Err(Refusal::client(format!("there is no command; {}", PROGRAM.usage()))),
        Some(word) if word.is_empty() => return Err(Refusal::client("the command is empty")),
        Some(_) => {}
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let credential = credential::find(variable)?;
    let target = variable("GLEXEC_TARGET_PROXY").map(PathBuf::from);
    let content = match variable("GLEXEC_SOURCE_PROXY") {
        Some(source) if target.as_deref() != Some("/dev/null".as_ref()) => {
            Some(credential::read(source.as_ref())?)
        }
        _ => None,
    };
    if let Some(target) =
        target.as_ref().filter(|target| content.is_some() && !target.is_absolute())
    {
        return Err(Refusal::client(format!(
            "GLEXEC_TARGET_PROXY is not an absolute path: {}",
            Shown::os(target)
        )));
    }
    let table = variable("GLEXEC_STATE_DIR").map(PathBuf::from);
    let is_temporary = target.is_none();
    let wanted = match variable("GLEXEC_LEASE_UID") {
        None => None,
        Some(text) => match text.to_str().and_then(|text| text.parse().ok()) {
            Some(user) => Some(Uid::from_raw(user)),
            None => {
                return Err(Refusal::client(format!(
                    "GLEXEC_LEASE_UID is no user id: {}",
                    Shown::os(&text)
                )));
            }
        },
    };
    let descriptors = fd::raise_limit().map_err(|cause| {
        Refusal::internal(format!("cannot raise the limit of descriptors: {cause}"))
    })?;
    let openat2 = installed::openat2_for(&command);
    rootless::run(&credential, wanted, table, log::is_wanted(), |ids| {
        *user = Some(ids.0);
        let unique =
            || PathBuf::from(format!("/tmp/x509up_u{}.glexec.{:08x}", ids.0, fastrand::u32(..)));
        let path = target.unwrap_or_else(unique);
        Payload {
            command,
            user: ids,
            proxy: content.map(|content| Proxy { content, path, is_temporary }),
            umask,
            descriptors,
            openat2,
        }
    })
}

/// One setting a line, as a shell reads it.
fn settings() -> String {
    format!(
        "GLEXEC_CONFIG_FILE=\"{CONFIGURATION}\"\nGLEXEC_MODE=\"rootless\"\nGLEXEC_PATH=\"{PATH}\"\n"
    )
}

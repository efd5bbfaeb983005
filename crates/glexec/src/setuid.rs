//! A call with root's rights: the file of this program is root's and set-user-ID.

use std::process::ExitCode;

use ::command::program::print;
use ::command::refusal::{Refusal, Result};
use ::command::say;
use root::config::{Config, Door};
use root::origin::SetUserId;
use root::sanitize::{self, Start};
use sys::wait::End;
use wire::EXACT_STATUS;

use crate::command::{self, Asked, PROGRAM, check_command, inform, read_arguments};
use crate::{daemon, door, owner, rootless};

/// Serves a call. Nothing is read before the process is sanitized, and nothing runs without a
/// configuration that can be used.
pub(crate) fn main() -> ExitCode {
    let start = match sanitize::sanitize() {
        Ok(start) => start,
        Err(refusal) => return refused(&refusal),
    };
    let (asked, words) = read_arguments();
    let config = Config::load();
    if let Ok(Asked::Information(information)) = &asked {
        let mode = match config.map(|config| (config.door, door::is_there(&config.daemon_socket))) {
            Ok((Door::Rootless, _)) => "rootless",
            Ok((Door::Daemon, _) | (Door::Auto, true)) => "daemon",
            _ => "setuid",
        };
        return as_caller(door::become_caller(&start), || inform(information, mode));
    }
    let config = match config {
        Ok(config) => config,
        Err(error) => return refused(&error.into()),
    };
    match config.door {
        Door::Auto if door::is_there(&config.daemon_socket) => {
            through_daemon(asked, &start, &config, &words)
        }
        Door::Daemon => through_daemon(asked, &start, &config, &words),
        Door::Auto | Door::Setuid => {
            let ended = asked.and_then(|asked| serve(asked, &start, &config));
            if let Err(refusal) = &ended {
                tell(refusal, &config);
            }
            command::end(&ended, start.environment.get(EXACT_STATUS).is_some())
        }
        Door::Rootless => as_caller(door::become_unprivileged(&start), || {
            let asked = match config.world_is_closed {
                true => asked.map(Asked::in_closed_world),
                false => asked,
            };
            rootless::serve(asked, None, &words, start.umask)
        }),
    }
}

/// Asks the account daemon, as the caller for good.
fn through_daemon(
    asked: Result<Asked>,
    start: &Start,
    config: &Config,
    words: &[String],
) -> ExitCode {
    as_caller(door::become_unprivileged(start), || {
        daemon::serve(asked, &config.daemon_socket, words, start.umask)
    })
}

/// Goes on as the caller, if the process has become that.
fn as_caller(done: Result<()>, then: impl FnOnce() -> ExitCode) -> ExitCode {
    match done {
        Ok(()) => then(),
        Err(refusal) => refused(&refusal),
    }
}

/// Tells the caller why its command was not executed, unless only the log shall tell it.
fn tell(refusal: &Refusal, config: &Config) {
    match config.silent_logging {
        false => say(PROGRAM.name, refusal),
        true => say(PROGRAM.name, "the call was refused: the log of this machine says why"),
    }
}

fn refused(refusal: &Refusal) -> ExitCode {
    say(PROGRAM.name, refusal);
    ExitCode::from(refusal.status as u8)
}

fn serve(asked: Asked, start: &Start, config: &Config) -> Result<End> {
    match asked {
        Asked::Payload(command, world) => {
            check_command(&command)?;
            root::door::serve(start, command, world, config, &mut SetUserId)
        }
        Asked::Owner(options) => {
            let report = owner::confined::run(&options, start, config)?;
            print(&format!("{report}\n"));
            Ok(End::Exited(0))
        }
        Asked::HandOver(..) => Err(door::no_hand_over()),
        Asked::Daemon(_) => Err(door::only_daemon()),
        Asked::Information(_) => Ok(End::Exited(0)),
    }
}

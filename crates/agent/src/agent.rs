//! `condor_glexec_agent`, which only the other programs call: its command line.

use std::ffi::OsString;
use std::process::ExitCode;

use command::program::{Program, VERSION};
use command::say;
use error::{Error, Result};
use sys::{Uid, process};
use wire::Operation;

use super::{enter, follow, hunt, serve, signal, watch};

/// The command line and the help.
pub const PROGRAM: Program = Program {
    name: "condor_glexec_agent",
    about: "Does the part of the other programs' work that needs the job user's rights.",
    arguments: "<operation> [arg…]",
    operations: &[],
    options: &[VERSION],
    text: "\
The other programs execute it through the identity switcher. Do not call it by
hand. It refuses to run as root.

Operations:
  serve <sandbox>
      builds, sends and removes the job user's copy of the sandbox; for a
      pilot it also ends a family of processes, as watch does
  enter <sandbox> <mark> <wrapper> [arg…]
      enters the sandbox and becomes the job wrapper
  enter-limited <sandbox> <mark> <limits> <wrapper> [arg…]
      the same with limits: file-size=BYTES,processor-seconds=N,processes=N,
      processors=N, or some of them
  signal <caller> <pid> <signal>
      sends a signal to one process
  hunt <caller> <pid> <signal> <grace> <soft-kill-signal> <mark>
      sends a signal to a family of processes
  hunt-account <caller> <signal> <grace> ignore|report|remove
      sends a signal to all processes of the job user
  watch <caller> <pid> <mark>
      ends a family of processes when the calling program has ended
  follow <caller> <leader> <pid> <mark>
      stops a family of processes while the process <leader> is stopped

<caller> is the uid of the calling user. <grace> is the time in seconds between
<soft-kill-signal> (for hunt-account: TERM) and KILL. <pid> may be - for hunt.
serve, hunt, hunt-account, watch and follow need a socket to the calling program
as descriptor 0.

Install it beside the other programs, where the job user can execute it. Its
mode must be 0711, so that only its owner can read it: a user who cannot read a
program cannot trace it either. A sudo rule needs to allow only this program.

Exit status: 0; 1 for every failure.
",
};

/// Runs the command. It never ends with a status that a switcher uses for itself (201 to 204).
pub fn main() -> ExitCode {
    let ended = PROGRAM.read_words(std::env::args_os().skip(1)).and_then(|call| match call {
        Some(words) => run(&words).map_err(|error| error.to_string()),
        None => Ok(()),
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(PROGRAM.name, error);
            ExitCode::FAILURE
        }
    }
}

/// Carries out the operation that the arguments stand for. `enter` returns only if it failed.
fn run(arguments: &[OsString]) -> Result<()> {
    if process::geteuid().is_root() {
        return Err(Error::refused(
            "switcher",
            "it runs commands as root; a job user must be an ordinary user",
        ));
    }
    let operation = Operation::parse(arguments).map_err(|invalid| {
        Error::refused("usage error", format!("{invalid}; {}", PROGRAM.usage()))
    })?;
    match operation {
        Operation::Serve { sandbox } => serve::serve(&sandbox),
        Operation::Enter { sandbox, mark, limits, wrapper, arguments } => {
            Err(enter::enter(&sandbox, &mark, &limits, &wrapper, &arguments))
        }
        Operation::Signal { caller, pid, signal } => {
            refuse_caller(caller)?;
            signal::send(pid, signal)
        }
        Operation::Hunt { caller, root, signal, grace, soft_kill_signal, mark } => {
            refuse_caller(caller)?;
            hunt::hunt_family(root, &mark, signal, grace, soft_kill_signal)
        }
        Operation::HuntAccount { caller, signal, grace, remains } => {
            refuse_caller(caller)?;
            hunt::hunt_account(signal, grace, remains)
        }
        Operation::Watch { caller, root, mark } => {
            refuse_caller(caller)?;
            watch::watch(root, &mark)
        }
        Operation::Follow { caller, leader, root, mark } => {
            refuse_caller(caller)?;
            follow::follow(leader, root, &mark)
        }
    }
}

/// Fails before any signal is sent, if the switcher runs commands as the calling user: the agent
/// would signal the caller's own processes.
pub(crate) fn refuse_caller(caller: Uid) -> Result<()> {
    if caller == process::geteuid() {
        return Err(Error::refused(
            "switcher",
            "it runs commands as the calling user, not as a job user",
        ));
    }
    Ok(())
}

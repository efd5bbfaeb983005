//! `condor_glexec_agent`, which only the other programs call.

use std::process::ExitCode;

use command::program::{Program, VERSION, print};
use command::{Call, say};

use crate::operations;

/// What the program is called with.
pub const PROGRAM: Program = Program {
    name: "condor_glexec_agent",
    about: "Does the work of the other programs as the job user.",
    arguments: "<operation> [arg…]",
    options: &[VERSION],
    text: "\
The helpers execute it through the identity switcher: it builds and removes
the job user's copy of a sandbox, enters it and becomes the job's wrapper, and
finds and signals the job's processes. It is not meant to be called by hand. It
refuses to run as root.

It must lie beside the other programs, where the job user can execute it, and
nobody but root should be able to read it (mode 0711): who can't read a program
can't trace it either. It is the one program that a sudo rule has to name.

Exit status: 0; 1 for everything else.
",
};

/// Runs the command. Its exit status is never one that a switcher uses for itself.
pub fn main() -> ExitCode {
    let ended = PROGRAM.read(std::env::args_os().skip(1)).and_then(|call| match call {
        Call::Help => {
            print(&PROGRAM.help());
            Ok(())
        }
        Call::Option(_) => {
            print(&PROGRAM.version());
            Ok(())
        }
        Call::Words { words, .. } => operations::run(&words).map_err(|error| error.to_string()),
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(PROGRAM.name, error);
            ExitCode::FAILURE
        }
    }
}

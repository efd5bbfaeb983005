//! `glexec-sudo`: its command line.

use std::process::ExitCode;

use command::program::{Program, VERSION, print};
use command::{Call, say};

use crate::adapter;
use crate::refusal::Refusal;

/// What the program is called with.
pub const PROGRAM: Program = Program {
    name: "glexec-sudo",
    about: "Runs a command by sudo as the account that a map gives for the caller and its credential.",
    arguments: "<absolute command> [arg…]",
    options: &[VERSION],
    text: "\
It looks at the credential, the map and the accounts, and becomes sudo, which
becomes the command: the process id stays, and a signal to it reaches the
command. It guards nothing: what may be run as whom is decided by sudoers.
Descriptors 0, 1 and 2 and the working directory reach the command; its
environment is what sudo makes.

Environment:
  GLEXEC_CLIENT_CERT  the credential: absolute path of a readable file (its
                      content is not looked at)
  GLEXEC_SUDO_MAP     the map (default: /etc/glexec-sudo.map); root's, and not
                      writable by group or others
  GLEXEC_SUDO         the sudo program (default: /usr/bin/sudo)

The map has lines of \"<calling user> [<credential's path prefix>] <account>\";
# begins a comment; the first match wins. A prefix matches whole components:
/a/b matches /a/b and /a/b/c, not /a/bc. Accounts that are not in /etc/passwd
are asked for by /usr/bin/getent, ten seconds at most.

In sudoers the calling user needs, besides a rule, the settings
!use_pty, !pam_session, !pam_setcred, and neither log_input, log_output nor a
command timeout. Otherwise sudo stays as a monitor of the command: a command
that is stopped by SIGSTOP stops its sudo too, which nobody but root can
continue.

Exit status: the command's own, or its death by a signal, as sudo tells it;
126 or 127 if nobody could execute or find the command; 201 wrong call, such
as no usable credential; 202 the map, sudo or the accounts are broken; 203 no
mapping. After that it is sudo's: 1 if sudoers does not allow the command, or
sudo itself or its configuration is broken, with a line of sudo's on standard
error. So a command's own status of 1, or of 201 to 203, looks the same.

Example:
  GLEXEC_CLIENT_CERT=$HOME/token glexec-sudo /usr/bin/id
",
};

/// Runs the command: returns only if this process could not become sudo.
pub fn main() -> ExitCode {
    let refusal = match PROGRAM.read(std::env::args_os().skip(1)) {
        Ok(Call::Help) => {
            print(&PROGRAM.help());
            return ExitCode::SUCCESS;
        }
        Ok(Call::Option(_)) => {
            print(&PROGRAM.version());
            return ExitCode::SUCCESS;
        }
        Ok(Call::Words { words, .. }) => adapter::become_sudo(&words),
        Err(error) => Refusal::client(error),
    };
    say(PROGRAM.name, &refusal);
    ExitCode::from(refusal.status as u8)
}

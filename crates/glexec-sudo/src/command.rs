//! `glexec-sudo`: its command line.

use std::process::ExitCode;

use command::program::{Program, VERSION};
use command::{Refusal, say};

use crate::adapter;

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec-sudo",
    about: "Runs a command through sudo, as the account that a map names.",
    arguments: "<absolute command> [arg…]",
    operations: &[],
    options: &[VERSION],
    text: "\
glexec-sudo finds the account for the calling user and the credential in the
map. It checks the credential, the map and the accounts, and becomes sudo, which
becomes the command: the process id stays the same, and a signal to it reaches
the command. The map gives no permission: sudoers decides which command may run
as which account. Descriptors 0, 1 and 2 and the working directory reach the
command; sudo makes the command's environment.

Environment:
  GLEXEC_CLIENT_CERT  the credential: absolute path of a readable file; its
                      content does not matter
  GLEXEC_SUDO_MAP     the map (default: /etc/glexec-sudo.map); it must belong to
                      root, and group and others must not be able to write it
  GLEXEC_SUDO         the sudo program (default: /usr/bin/sudo)

The map has lines of \"<calling user> [<credential's path prefix>] <account>\";
# begins a comment; the first match counts. A prefix matches whole components:
/a/b matches /a/b and /a/b/c, not /a/bc. Accounts that are not in /etc/passwd
are looked up by getent, in at most 10 seconds.

In sudoers the calling user needs, besides a rule, the settings
!use_pty, !pam_session, !pam_setcred, and neither log_input, log_output nor a
command timeout. Otherwise sudo stays as a monitor, that is, as the parent of
the command: when SIGSTOP stops the command, sudo stops too, and only root can
continue it.

Exit status: the command's, or its death by a signal, as sudo reports it; 126
or 127 if no user could execute or find the command; 201 usage error, such as
no usable credential; 202 the map, sudo or the accounts cannot be used; 203 the
map has no line for the caller, or names root or the caller as the account. Once
sudo runs, the status is sudo's: 1 with a line of sudo on standard error if
sudoers does not allow the command, or if sudo or its configuration fails. The
command's own status can also be 1, or one of 201 to 203.

Example:
  GLEXEC_CLIENT_CERT=$HOME/token glexec-sudo /usr/bin/id
",
};

/// Runs the command: returns only if this process could not become sudo.
pub fn main() -> ExitCode {
    let refusal = match PROGRAM.read_words(std::env::args_os().skip(1)) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(words)) => adapter::become_sudo(&words),
        Err(error) => Refusal::client(error),
    };
    say(PROGRAM.name, &refusal);
    ExitCode::from(refusal.status as u8)
}

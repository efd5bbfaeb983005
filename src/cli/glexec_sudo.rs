//! `glexec-sudo`: an identity switcher over sudo. It runs for each signal of a supervisor, so it does without the parser of options.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use crate::sudo::adapter;

/// What `--help` prints.
pub const HELP: &str = "\
Runs a command by sudo as the account that a map gives for the caller and its credential.

Usage: glexec-sudo <absolute command> [arg…]
       glexec-sudo -h | -V

Options:
  -h, --help     Print help
  -V, --version  Print the version

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
";

/// Runs the command: returns only if this process could not become sudo.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let said = match words.first().and_then(|word| word.to_str()) {
        Some("-h" | "--help") => Some(HELP.to_owned()),
        Some("-V" | "--version") => Some(format!("glexec-sudo {}\n", env!("CARGO_PKG_VERSION"))),
        _ => None,
    };
    if let Some(said) = said {
        let _ = std::io::stdout().write_all(said.as_bytes());
        return ExitCode::SUCCESS;
    }
    let refusal = adapter::become_sudo(&words);
    super::say("glexec-sudo", &refusal);
    ExitCode::from(refusal.status as u8)
}

//! The check that each program makes first, and messages for the caller.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use sys::identity;

/// Runs a program, unless its file gives it rights that its caller does not have (set-user-ID,
/// set-group-ID, capabilities): the caller could make it write files that the caller may not write.
/// Then it fails with `status`.
pub fn as_the_caller(name: &str, status: u8, main: impl FnOnce() -> ExitCode) -> ExitCode {
    if identity::has_file_privileges() {
        say(
            name,
            "this program must have its caller's rights only, but its file is set-user-ID or \
             set-group-ID, or has capabilities: run chmod u-s,g-s and setcap -r on it",
        );
        return ExitCode::from(status);
    }
    main()
}

/// Writes one line to standard error. An error is ignored: the caller may have closed it.
pub fn say(name: &str, line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{name}: {line}");
}

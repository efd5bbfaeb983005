//! What each program does first, and how it speaks to its caller.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use sys::identity;

/// Runs a program, unless its file gives it more rights than its caller has (set-user-ID,
/// set-group-ID, capabilities): a caller with fewer rights could make it write where the caller
/// itself must not. `status` is the exit status of a program that refuses.
pub fn as_the_caller(name: &str, status: u8, main: impl FnOnce() -> ExitCode) -> ExitCode {
    if identity::has_file_privileges() {
        say(
            name,
            "this program works with its caller's rights only, but its file is set-user-ID or \
             set-group-ID, or has capabilities: run chmod u-s,g-s and setcap -r on it",
        );
        return ExitCode::from(status);
    }
    main()
}

/// One line on standard error. A caller that does not listen is no reason to fail.
pub fn say(name: &str, line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{name}: {line}");
}

//! Lines for the caller about what is not a failure.

use std::io::Write as _;

/// Prints a line on standard error, without the name of the program: HTCondor's starters recognize
/// some of these lines as they are. The line is lost if standard error is closed.
pub fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

//! The agent that is installed beside this program: the one payload that may use openat2(2).

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sys::seccomp::Openat2;
use wire::Operation;

/// Whether a command may use openat2(2), whose arguments a seccomp filter cannot see: only the
/// agent that is installed beside this program, for an operation that walks trees. There it opens
/// existing files with openat2(2), creates none, and executes no other program. The agent must not
/// be readable: then the kernel lets no other process of the payload's user trace it, from its
/// first instruction on (ptrace(2)).
///
/// To be called before the payload's namespace is joined: in there all owners look the same.
pub(crate) fn openat2_for(command: &[OsString]) -> Openat2 {
    let Some((program, arguments)) = command.split_first() else { return Openat2::Unavailable };
    match Operation::parse(arguments) {
        Ok(Operation::Serve { .. } | Operation::HuntAccount { .. })
            if is_agent(program.as_ref()) == Some(true) =>
        {
            Openat2::Allowed
        }
        _ => Openat2::Unavailable,
    }
}

/// Whether a command is an operation of the helpers, by the agent that is installed beside this
/// program. Any other one is a payload; so is what the operation `enter` executes.
pub(crate) fn is_operation(command: &[OsString]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    match Operation::parse(arguments) {
        Err(_) | Ok(Operation::Enter { .. }) => false,
        Ok(_) => is_same_file(program.as_ref()).is_some_and(|(is_same, _)| is_same),
    }
}

fn is_agent(program: &Path) -> Option<bool> {
    let (is_same, mode) = is_same_file(program)?;
    Some(is_same && mode & 0o066 == 0)
}

/// Whether a program is the installed agent, and the mode of that.
fn is_same_file(program: &Path) -> Option<(bool, u32)> {
    let own = std::env::current_exe().ok()?;
    let installed = std::fs::metadata(own.with_file_name("condor_glexec_agent")).ok()?;
    let (own, named) = (std::fs::metadata(own).ok()?, std::fs::metadata(program).ok()?);
    let is_same = (named.dev(), named.ino()) == (installed.dev(), installed.ino());
    // The owner of this program can replace it, and so is trusted with the agent too.
    Some((is_same && installed.uid() == own.uid(), installed.mode()))
}

//! The agent that is installed beside this program: the one payload that is known.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sys::seccomp::Openat2;
use wire::Operation;

/// Whether a command may be left openat2(2), which the kernel cannot filter: if it is the agent
/// that is installed beside this program, for an operation that walks trees, and out of the reach of
/// the payload's user. With openat2(2) the agent opens what exists, and creates nothing; and in
/// these operations it executes nothing. For that it must not be readable: then the kernel lets no other process
/// of that user trace it, from its first instruction on (ptrace(2)).
///
/// To be asked as the caller: in the payload's namespace every owner is nobody.
pub fn openat2_for(command: &[OsString]) -> Openat2 {
    let Some((program, arguments)) = command.split_first() else { return Openat2::Missing };
    match Operation::parse(arguments) {
        Ok(Operation::Serve { .. } | Operation::HuntAccount { .. })
            if is_the_agent(program.as_ref()) == Some(true) =>
        {
            Openat2::Allowed
        }
        _ => Openat2::Missing,
    }
}

fn is_the_agent(program: &Path) -> Option<bool> {
    let own = std::env::current_exe().ok()?;
    let installed = std::fs::metadata(own.with_file_name("condor_glexec_agent")).ok()?;
    let (own, named) = (std::fs::metadata(own).ok()?, std::fs::metadata(program).ok()?);
    let is_same = (named.dev(), named.ino()) == (installed.dev(), installed.ino());
    // Who owns this program is trusted with it.
    Some(is_same && installed.uid() == own.uid() && installed.mode() & 0o066 == 0)
}

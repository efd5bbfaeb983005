//! Replacing the program of this process (execve(2)).

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use nix::fcntl::{AtFlags, FcntlArg, FdFlag, fcntl};

use super::{Errno, Result};

/// Executes a program; PATH is not searched. Returns only if that fails.
pub fn execve(program: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    match nix::unistd::execve(program, arguments, environment) {
        Ok(never) => match never {},
        Err(cause) => cause,
    }
}

/// Executes an open file, whatever its names are now (AT_EMPTY_PATH, execveat(2)): a program, or a
/// script that begins with `#!`. Returns only if that fails. ETXTBSY if a process has the file open
/// for writing.
///
/// The program has the descriptor, too: an interpreter opens its script as `/dev/fd/N`, which needs
/// /proc.
pub fn execveat(file: &File, arguments: &[CString], environment: &[CString]) -> Errno {
    let set_flags = |flags| fcntl(file, FcntlArg::F_SETFD(flags)).map(drop);
    if let Err(cause) = set_flags(FdFlag::empty()) {
        return cause;
    }
    let cause =
        match nix::unistd::execveat(file, c"", arguments, environment, AtFlags::AT_EMPTY_PATH) {
            Ok(never) => match never {},
            Err(cause) => cause,
        };
    // A descriptor that has an owner in this process is close-on-exec ([`super::inherited`]).
    set_flags(FdFlag::FD_CLOEXEC).err().unwrap_or(cause)
}

/// As [`execve`], with the program (a path), arguments and variables of a [`Command`]. The standard
/// library's own `exec` runs a file that is not a program by a shell (execvp(3)).
pub fn exec(command: &Command) -> Errno {
    let prepared = || -> Result<(CString, Vec<CString>, Vec<CString>)> {
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => variables.insert(name.to_owned(), value.to_owned()),
                None => variables.remove(name),
            };
        }
        let program = c_string(command.get_program().as_bytes())?;
        let words = command.get_args().map(|word| c_string(word.as_bytes()));
        let arguments = std::iter::once(Ok(program.clone())).chain(words).collect::<Result<_>>()?;
        let entries = variables
            .iter()
            .map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
        let environment = entries.collect::<Result<_>>()?;
        Ok((program, arguments, environment))
    };
    match prepared() {
        Ok((program, arguments, environment)) => execve(&program, &arguments, &environment),
        Err(cause) => cause,
    }
}

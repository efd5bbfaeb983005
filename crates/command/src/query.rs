//! Asks a program of the system, with a time limit. A process with root's rights asks as the user
//! `nobody`: the program loads what the configuration of the name service names, and reads what a
//! server sends.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use error::Shown;
use sys::{Errno, Gid, Uid, fd, process, signal, spawn};

use crate::accounts::Account;
use crate::refusal::{Refusal, Result as Answer};
use crate::{accounts, executable};

/// A program that gives no answer within this time is waiting for a directory service that is down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No answer is longer.
const LONGEST: usize = 1 << 20;

/// The ids of the account `nobody` where /etc/passwd does not have it: those that the kernel uses
/// (overflowuid, proc_sys_kernel(5)).
const NOBODY: (Uid, Gid) = (Uid::from_raw(65534), Gid::from_raw(65534));

/// What getent(1) prints from a database for a key; nothing if no source of the name service has
/// it.
pub fn getent(database: &str, key: &OsStr) -> Answer<Vec<u8>> {
    let answer =
        executable::of_system("getent").and_then(|getent| ask(&getent, &[database.as_ref(), key]));
    answer.map_err(|why| {
        Refusal::internal(format!("cannot look up {} in {database}: {why}", Shown::os(key)))
    })
}

/// The ids that programs are asked as by root.
pub fn nobody() -> (Uid, Gid) {
    nobody_of(accounts::local(b"nobody").as_ref())
}

/// The same, where /etc/passwd was read already: with its account `nobody`.
pub fn nobody_of(account: Option<&Account>) -> (Uid, Gid) {
    account.map_or(NOBODY, |account| (account.user, account.group))
}

/// What a program prints, which may be nothing. It runs with an empty environment. The error names
/// the program and says why there is no answer.
pub fn ask(program: &Path, arguments: &[&OsStr]) -> Result<Vec<u8>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", Shown::os(program));
    // The caller may ignore SIGCHLD, and this process inherits that.
    signal::default_sigchld();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if process::geteuid().is_root() {
        let (user, group) = nobody();
        spawn::as_user(&mut command, user, group);
    }
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let answer = child
        .stdout
        .take()
        .map_or(Ok(Vec::new()), |pipe| read(pipe, LONGEST, Instant::now() + TIMEOUT));
    // The answer is complete, or no longer wanted; this process must not keep a child.
    let _ = child.kill();
    match answer {
        Ok(answer) => {
            let _ = child.wait();
            Ok(answer)
        }
        // Not waited for: it may be blocked in the kernel.
        Err(Errno::ETIMEDOUT) => {
            Err(failed(&format!("no answer within {} seconds", TIMEOUT.as_secs())))
        }
        Err(cause) => Err(failed(&cause)),
    }
}

/// All that a pipe delivers until its end: ETIMEDOUT if the end does not come in time, EFBIG if
/// there are more than `longest` bytes.
pub fn read(mut pipe: impl Read + AsFd, longest: usize, until: Instant) -> sys::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    while all.len() <= longest {
        match fd::poll_readable([pipe.as_fd()], Some(until)) {
            Ok([true]) => match pipe.read(&mut part).map_err(|error| sys::errno(&error)) {
                Ok(0) => return Ok(all),
                Ok(length) => all.extend_from_slice(&part[..length]),
                Err(Errno::EINTR) => {}
                Err(cause) => return Err(cause),
            },
            Ok([false]) if Instant::now() >= until => return Err(Errno::ETIMEDOUT),
            Ok([false]) | Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    Err(Errno::EFBIG)
}

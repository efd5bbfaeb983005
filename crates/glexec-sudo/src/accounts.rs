//! The names and numbers of accounts: from /etc/passwd, or else from whatever the machine asks
//! (nsswitch.conf(5)).
//!
//! The C library's own search can't be used: it loads libraries, which a statically linked program
//! can't. So getent(1) does it for accounts that are not in the file.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use error::Shown;
use sys::{Errno, Uid, fd, signal};

use super::refusal::{Refusal, Result};

/// The table of the machine's own accounts (passwd(5)).
const TABLE: &str = "/etc/passwd";

/// The program that asks the other sources.
const GETENT: &str = "/usr/bin/getent";

/// A directory service that does not answer for so long is down.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than any line of the table.
const LONGEST: usize = 64 << 10;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Vec<u8>,
    /// Its user id.
    pub user: Uid,
}

/// Finds an account by its name; none if there is no such account.
pub fn named(name: &[u8]) -> Result<Option<Account>> {
    find(OsStr::from_bytes(name), |account| account.name == name)
}

/// Finds the account of a user id; of several, the first.
pub fn of(user: Uid) -> Result<Option<Account>> {
    find(user.to_string().as_ref(), |account| account.user == user)
}

/// The first account that is meant: getent(1) takes a name of digits for a number.
fn find(key: &OsStr, is_meant: impl Fn(&Account) -> bool) -> Result<Option<Account>> {
    let first =
        |table: &[u8]| table.split(|byte| *byte == b'\n').filter_map(line_of).find(&is_meant);
    match first(&std::fs::read(TABLE).unwrap_or_default()) {
        Some(account) => Ok(Some(account)),
        None => Ok(first(&asked(key)?)),
    }
}

/// A line `name:password:number:…`.
fn line_of(line: &[u8]) -> Option<Account> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, _password, user) = (fields.next()?, fields.next()?, fields.next()?);
    let user = std::str::from_utf8(user).ok()?.parse().ok().map(Uid::from_raw)?;
    (!name.is_empty()).then(|| Account { name: name.to_vec(), user })
}

/// What getent(1) says of a name or number; nothing if it knows none.
fn asked(key: &OsStr) -> Result<Vec<u8>> {
    let failed = |why: &dyn std::fmt::Display| {
        Refusal::internal(format!(
            "cannot look up the account {} by {GETENT}: {why}",
            Shown::os(key)
        ))
    };
    // A caller may ignore its children's ends, and hands that down.
    signal::expect_children();
    let mut command = Command::new(GETENT);
    command
        .arg("passwd")
        .arg(key)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let answer =
        child.stdout.take().map_or(Ok(Vec::new()), |pipe| read(pipe, Instant::now() + PATIENCE));
    // Its answer is all that counts; and sudo is to have no child.
    let _ = child.kill();
    match answer {
        Ok(answer) => {
            let _ = child.wait();
            Ok(answer)
        }
        // It may hang in the kernel, and is not waited for.
        Err(Errno::ETIMEDOUT) => {
            Err(failed(&format!("no answer within {} seconds", PATIENCE.as_secs())))
        }
        Err(cause) => Err(failed(&cause)),
    }
}

/// All that comes through a pipe; ETIMEDOUT if that does not end in time.
fn read(mut pipe: ChildStdout, until: Instant) -> sys::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    while all.len() < LONGEST {
        match fd::wait_for_any([pipe.as_fd()], Some(until)) {
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
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Account, Uid, line_of};

    #[test]
    fn a_line_has_a_name_and_a_number() {
        let account =
            |name: &str, user| Some(Account { name: name.into(), user: Uid::from_raw(user) });
        assert_eq!(
            line_of(b"job:x:998:998:,,,:/nonexistent:/usr/sbin/nologin"),
            account("job", 998)
        );
        assert_eq!(line_of(b"domain\\job:*:70000:70000"), account("domain\\job", 70000));
        for line in [&b""[..], b"job", b"job:x", b"job:x:", b"+::::::", b":x:5:5", b"job:x:-1:5"] {
            assert_eq!(line_of(line), None, "{line:?}");
        }
    }
}

//! The files that a caller names: the credential, and the proxy to copy for the payload. They are
//! opened with the caller's rights, so that a call tells nothing of files that the caller cannot
//! read itself.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use command::credential::{self, refusal};
use command::refusal::{Refusal, Result};
use error::{Context as _, Error, Shown};
use sys::flock::{self, Lock};
use sys::switch::{self, Identity};
use sys::{Errno, dir, fd, file};

use crate::config::{Config, LockMechanism};
use crate::sanitize::Variables;

/// The most that is read of a credential, in bytes.
const LONGEST: u64 = 1 << 20;

/// A credential, as its file was when it was opened.
#[derive(Debug)]
pub struct Credential {
    /// Its absolute path, in which no component is a symbolic link.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
}

/// Reads the credential of a call (`GLEXEC_CLIENT_CERT`, else `X509_USER_PROXY`).
pub fn find(variables: &Variables, caller: &Identity, config: &Config) -> Result<Credential> {
    let path = variables.get("GLEXEC_CLIENT_CERT").or_else(|| variables.get("X509_USER_PROXY"));
    let path = path.ok_or_else(|| {
        Refusal::client(
            "no credential is named: set GLEXEC_CLIENT_CERT to the path of your file, mode 0600",
        )
    })?;
    read(path, caller, config)
}

/// Reads a file of the caller's that no other user can access. A relative path counts from the
/// working directory. A symbolic link in the file's place is not followed. While it is read, the
/// file is locked as `input_lock_mechanism` says.
pub fn read(path: &OsStr, caller: &Identity, config: &Config) -> Result<Credential> {
    let path = Path::new(path);
    let read = as_caller(caller, || {
        let file = credential::open_private(path, caller.user)?;
        lock(&file, config.input_lock_mechanism).at("lock the credential", path)?;
        let held = file.try_clone().at("use", path)?;
        Ok((held, credential::read(file, path, LONGEST)?))
    })?;
    let (file, content) = read.map_err(|error: Error| refusal(&error))?;
    Ok(Credential { path: path_of(&file, path, caller)?, content })
}

/// As [`read`], of a file that the caller has opened and passed. `named` is for messages.
pub fn read_passed(
    file: File,
    named: &Path,
    caller: &Identity,
    config: &Config,
) -> Result<Credential> {
    let content = credential::check_private(&file, named, caller.user)
        .and_then(|()| lock(&file, config.input_lock_mechanism).at("lock the credential", named))
        .and_then(|()| file.try_clone().at("use", named))
        .and_then(|held| credential::read(held, named, LONGEST))
        .map_err(|error| refusal(&error))?;
    Ok(Credential { path: path_of(&file, named, caller)?, content })
}

/// Waits for a program that is writing the file, if that locks it in the same way.
fn lock(file: &File, mechanism: LockMechanism) -> sys::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    match mechanism {
        LockMechanism::Flock => flock::lock(file, Lock::Shared, TIMEOUT),
        LockMechanism::Fcntl => flock::lock_record_shared(file, TIMEOUT),
        LockMechanism::Disabled => Ok(()),
    }
}

/// The path of an open file: the kernel's, not one that is looked up again and may lead to another
/// file then.
fn path_of(file: &File, named: &Path, caller: &Identity) -> Result<PathBuf> {
    let failed = |cause: Errno| {
        let named = Shown::os(named);
        Refusal::internal(format!("cannot find the path of the credential {named}: {cause}"))
    };
    let path = fd::path_of(file).map_err(failed)?;
    let opened = file::stat(file).map_err(failed)?.identity();
    // The kernel's text can also be that of a file without a name.
    let found = as_caller(caller, || dir::lstat(&path).map(|found| found.identity()))?;
    if path.is_absolute() && found == Ok(opened) {
        return Ok(path);
    }
    Err(Refusal::client(format!(
        "the credential {} was moved or removed while it was read",
        Shown::os(named)
    )))
}

/// Calls `work` with the caller's rights to files.
fn as_caller<T>(caller: &Identity, work: impl FnOnce() -> T) -> Result<T> {
    switch::with_files_of(caller, work).map_err(|cause| {
        Refusal::internal(format!("cannot open files with the caller's rights: {cause}"))
    })
}

//! The last steps of a payload's process, which runs as the payload's user: its proxy, its working
//! directory, its program.

use std::ffi::{CString, OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use error::Shown;
use error::access::{why_not_executed, why_unsearchable};
use sys::{Errno, Uid, access, dir, process};

use crate::executable;
use crate::refusal::{Refusal, Result};
use crate::replace::replace;

/// How messages name the user who runs the command.
pub const WHO: &str = "the payload's user";

/// The payload's PATH, if no configuration says otherwise.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A copy of a credential for the payload.
#[derive(Debug)]
pub struct Proxy {
    content: Vec<u8>,
    path: PathBuf,
    is_temporary: bool,
}

impl Proxy {
    /// A proxy with this content, for a payload of `user`: at `target`, or else at a random name in
    /// /tmp.
    pub fn new(content: Vec<u8>, target: Option<PathBuf>, user: Uid) -> Proxy {
        let is_temporary = target.is_none();
        let random = || format!("/tmp/x509up_u{user}.glexec.{:08x}", fastrand::u32(..)).into();
        Proxy { content, path: target.unwrap_or_else(random), is_temporary }
    }

    /// The variable that tells the payload where it is.
    pub fn variable(&self) -> OsString {
        let mut entry = OsString::from("X509_USER_PROXY=");
        entry.push(&self.path);
        entry
    }

    /// Whether the caller has not named the path: then it is removed after the payload.
    pub fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    /// Writes it. Its directory can be one where other users can make names: so the temporary name
    /// is random. To be called as the payload's user.
    pub fn write(&self) -> Result<()> {
        let path = &self.path;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{:08x}", fastrand::u32(..)));
        replace(path, temporary.as_ref(), &self.content).map_err(|error| {
            let why = access::first_unsearchable(path).map_or_else(String::new, |directory| {
                format!(" ({})", why_unsearchable(WHO, &directory))
            });
            Refusal::client(format!(
                "cannot write GLEXEC_TARGET_PROXY {} as the payload's user: {error}{why}",
                Shown::os(path)
            ))
        })
    }

    /// Removes it. To be called as the payload's user.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Enters the working directory by its path, as the payload's user. An open directory would give
/// access to all below it, also where that user cannot pass a directory above it.
pub fn enter_working_directory() -> Result<()> {
    let path = std::env::current_dir().map_err(|error| cannot_enter(Path::new("."), error))?;
    let identity = || dir::lstat(Path::new(".")).map(|found| found.identity());
    let before = identity();
    process::chdir(&path).map_err(|cause| match access::first_unsearchable(&path.join("any")) {
        Some(directory) => cannot_enter(&path, why_unsearchable(WHO, &directory)),
        None => cannot_enter(&path, cause),
    })?;
    match (before, identity()) {
        (Ok(before), Ok(after)) if before == after => Ok(()),
        (Ok(_), Ok(_)) => Err(cannot_enter(&path, "another directory has that path")),
        (Err(cause), _) | (_, Err(cause)) => Err(cannot_enter(&path, cause)),
    }
}

fn cannot_enter(path: &Path, why: impl Display) -> Refusal {
    Refusal::client(format!(
        "the payload's user cannot enter the working directory {}: {why}",
        Shown::os(path)
    ))
}

/// The path of a program: one without a slash is searched for in the directories of `path`, with
/// the rights of this process. None if it is in none of them.
pub fn search(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    executable::find(program, std::env::split_paths(path))
}

/// Words as execve(2) takes them.
pub fn c_strings(words: &[OsString]) -> Result<Vec<CString>> {
    let c_string = |word: &OsString| {
        CString::new(word.as_bytes()).map_err(|_| Refusal::client("a word holds a NUL"))
    };
    words.iter().map(c_string).collect()
}

/// Whether an error of execve(2) says that this machine has run out of something, and not that the
/// program cannot be executed.
pub fn is_shortage(cause: Errno) -> bool {
    matches!(cause, Errno::EAGAIN | Errno::ENOMEM | Errno::EIO | Errno::EMFILE | Errno::ENFILE)
}

/// That a program was not executed, why, and what to do.
pub fn not_executed(program: &Path, cause: Errno) -> String {
    let why = why_not_executed(WHO, program, cause).unwrap_or_else(|| cause.to_string());
    format!("cannot execute {}: {why}", Shown::os(program))
}

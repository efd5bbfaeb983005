//! The credential: any file, which stands for who may run a payload. It is not parsed.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::Shown;
use sys::{Errno, file, mount, process};

use super::refusal::{Refusal, Result};

/// The most that is copied to a payload.
const LONGEST: u64 = 1 << 20;

/// A credential that was found to be good.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its absolute path, with no link on the way.
    pub path: PathBuf,
    /// Its place in words that mean the same in every mount namespace: what a lease is kept by.
    /// Jobs may see directories of their own under the same path.
    pub place: Vec<u8>,
}

/// Finds the credential that the environment names; `variable` does not give empty ones.
pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Credential> {
    let path = variable("GLEXEC_CLIENT_CERT").or_else(|| variable("X509_USER_PROXY"));
    let Some(path) = path.map(PathBuf::from) else {
        return Err(Refusal::client(
            "there is no credential: set GLEXEC_CLIENT_CERT to the path of a file of yours, mode 0600",
        ));
    };
    open(&path)?;
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(parent), Some(name)) = (parent.canonicalize(), path.file_name()) else {
        return Err(Refusal::client(format!(
            "the credential {} has no real path",
            Shown::os(&path)
        )));
    };
    let path = parent.join(name);
    let place = mount::place_of(&path).map_err(|cause| {
        Refusal::internal(format!(
            "cannot find the file system of the credential {}: {cause}",
            Shown::os(&path)
        ))
    })?;
    Ok(Credential { path, place })
}

/// What a file of the caller's holds that only the caller may read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = open(path)?.take(LONGEST + 1).read_to_end(&mut content);
    match read {
        Ok(length) if length as u64 <= LONGEST => Ok(content),
        Ok(_) => Err(Refusal::client(format!(
            "{} is larger than {LONGEST} bytes: that is no credential",
            Shown::os(path)
        ))),
        Err(error) => {
            Err(Refusal::client(format!("cannot read the credential {}: {error}", Shown::os(path))))
        }
    }
}

/// Opens a regular file of the caller's that nobody else may touch. A link in its place is not
/// followed, and a FIFO not waited for.
fn open(path: &Path) -> Result<std::fs::File> {
    let shown = Shown::os(path);
    let refused = |why: String| Refusal::client(format!("the credential {shown} {why}"));
    let opened =
        std::fs::OpenOptions::new().read(true).custom_flags(file::NO_LINK_NO_WAIT).open(path);
    let file = opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
            Refusal::internal(format!("cannot open the credential {shown}: {error}"))
        }
        _ => refused(format!("cannot be opened: {error}")),
    })?;
    let found = file.metadata().map_err(|error| refused(format!("cannot be examined: {error}")))?;
    if !found.is_file() {
        return Err(refused("is not a regular file".into()));
    }
    if found.uid() != process::user().as_raw() {
        return Err(refused(format!("belongs to uid {}, not to you", found.uid())));
    }
    match found.mode() & 0o7777 {
        mode if mode & 0o077 == 0 => Ok(file),
        mode => Err(refused(format!("can be touched by others (mode {mode:04o}): chmod 600"))),
    }
}

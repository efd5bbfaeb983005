//! The credential: any file of the caller's that no other user can access. It is not parsed.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use command::credential::{self, refusal};
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::process;

use crate::location::Location;

/// The most that is copied for a payload.
const LONGEST: u64 = 1 << 20;

/// Finds the credential that the environment names: its path has no symbolic link in it then.
/// `variable` gives no empty values.
pub(crate) fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Location> {
    let path = variable("GLEXEC_CLIENT_CERT").or_else(|| variable("X509_USER_PROXY"));
    let Some(path) = path.map(PathBuf::from) else {
        return Err(Refusal::client(
            "no credential is named: set GLEXEC_CLIENT_CERT to the path of your file, mode 0600",
        ));
    };
    open(&path).map_err(|error| refusal(&error))?;
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(parent), Some(name)) = (parent.canonicalize(), path.file_name()) else {
        return Err(Refusal::client(format!(
            "cannot resolve the path of the credential {}",
            Shown::os(&path)
        )));
    };
    Location::of(parent.join(name)).map_err(|cause| {
        Refusal::internal(format!(
            "cannot find the file system of the credential {}: {cause}",
            Shown::os(&path)
        ))
    })
}

/// Reads a credential that only the caller may read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    open(path)
        .and_then(|file| credential::read(file, path, LONGEST))
        .map_err(|error| refusal(&error))
}

fn open(path: &Path) -> error::Result<File> {
    credential::open_private(path, process::geteuid())
}

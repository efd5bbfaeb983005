//! The scratch directory of a starter's job, which is the wrapper's working directory.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
use sys::{Dir, Name, OwnedName, process};

use super::ad;
use super::names::CREDENTIALS;
use super::settings::Disk;
use crate::batch::pilot::renewed::RenewedFiles;

/// The name of the directory of the slot directories, if the settings name none.
const DIRECTORY: &str = "glexec_payloads";

/// The scratch directory.
#[derive(Debug)]
pub struct Scratch {
    /// The directory.
    pub dir: Dir,
    /// Its path without symbolic links.
    pub path: PathBuf,
    /// All its paths that the job can have been told; the longest is first.
    pub names: Vec<PathBuf>,
    /// The one that the starter has named; else the first.
    named: PathBuf,
}

impl Scratch {
    /// That of this process. It must belong to this user, and to no other it may be open.
    /// `named` is the path that the starter gives it in the environment.
    pub fn of_working_directory(named: Option<&OsStr>) -> Result<Scratch> {
        let path = std::env::current_dir().at("find the path of", "the working directory")?;
        let dir = Dir::open(Path::new(".")).at("open the scratch directory", &path)?;
        let found = dir.stat_self().at("examine the scratch directory", &path)?;
        let user = process::geteuid();
        if found.uid() != user {
            let why = format!("it belongs to uid {}, not to you: no starter made it", found.uid());
            return Err(Error::refused(&path, why));
        }
        if found.mode() & 0o022 != 0 {
            let why = format!(
                "its mode is {:04o}: other users can write to it, so it is no scratch directory \
                 of a starter's",
                found.mode()
            );
            return Err(Error::refused(&path, why));
        }
        let mut names = vec![path.clone()];
        let other = named.map(PathBuf::from).filter(|named| named.is_absolute() && *named != path);
        let mut named = path.clone();
        if let Some(other) = other {
            let identity = std::fs::metadata(&other).map(|found| (found.dev(), found.ino()));
            if identity.is_ok_and(|identity| identity == found.identity()) {
                names.push(other.clone());
                named = other;
            }
        }
        names.sort_by_key(|name| std::cmp::Reverse(name.as_os_str().len()));
        Ok(Scratch { dir, path, names, named })
    }

    /// Its path as the starter names it.
    pub fn named(&self) -> &Path {
        &self.named
    }

    /// What tells it from every other directory of this machine.
    pub fn identity(&self) -> Result<(u64, u64)> {
        Ok(self.dir.stat_self().at("examine the scratch directory", &self.path)?.identity())
    }

    /// The execute directory: a starter's scratch directory is `dir_N` there, or `dir_N/scratch`
    /// (HTCondor 25).
    pub fn execute(&self) -> Result<&Path> {
        let is_job_directory = |path: &Path| {
            let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
            name.starts_with(b"dir_")
        };
        let mut job = self.path.as_path();
        if !is_job_directory(job) {
            job = job.parent().filter(|parent| is_job_directory(parent)).unwrap_or(job);
        }
        let why = "its place is not that of a scratch directory: set 'directory'";
        job.parent().ok_or_else(|| Error::refused(&self.path, why))
    }

    /// The name of the job's proxy here: the last part of the path in its ad (x509userproxy).
    pub fn proxy(&self) -> Option<OwnedName> {
        let ad = self.read(ad::JOB_AD)?;
        let path = Path::new(ad::string(&ad, "x509userproxy")?);
        OwnedName::new(path.file_name()?.as_encoded_bytes().to_vec())
    }

    /// The files here that the starter renews while the job runs.
    pub fn renewed(&self) -> Result<RenewedFiles> {
        let credentials = OwnedName::new(CREDENTIALS.as_bytes().to_vec())
            .ok_or_else(|| Error::refused(CREDENTIALS, "it is no name of a directory"))?;
        Ok(RenewedFiles::new(self.path.clone(), self.proxy(), credentials))
    }

    /// How many bytes this limit is; none without such a number in the ads.
    pub fn disk_limit(&self, limit: Disk) -> Option<u64> {
        let (file, attribute) = match limit {
            Disk::Bytes(bytes) => return Some(bytes),
            Disk::Slot => (ad::MACHINE_AD, "Disk"),
            Disk::Request => (ad::JOB_AD, "RequestDisk"),
        };
        let kibibytes: u64 = ad::value(&self.read(file)?, attribute)?.parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// The directory beside a scratch directory of HTCondor 25, where the starter has put what the
    /// job reads: it is not in the world of a job.
    pub fn beside(&self) -> Option<PathBuf> {
        let is_25 = self.path.ends_with("scratch") && self.path.parent() != self.execute().ok();
        is_25.then(|| self.path.with_file_name("user"))
    }

    /// The job's variables. That with the path of a file beside the scratch directory gets the path
    /// of the copy in it.
    pub fn with_chirp(&self, variables: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let beside = self.beside().map(|_| self.named.with_file_name("user").join(ad::CHIRP));
        let path = |name: &OsStr, value: &OsStr| match &beside {
            Some(beside) if name == ad::CHIRP_VARIABLE && value == beside => {
                self.named.join(ad::CHIRP).into_os_string()
            }
            _ => value.to_owned(),
        };
        variables.iter().map(|(name, value)| (name.clone(), path(name, value))).collect()
    }

    /// The content of a file of the starter's; none if there is none.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        use std::io::Read as _;
        const MAX_SIZE: u64 = 16 << 20;
        let file = self.dir.open_file(Name::new(name.as_bytes())?).ok()?;
        let found = sys::file::stat(&file).ok()?;
        if found.kind() != sys::Kind::File || found.uid() != process::geteuid() {
            return None;
        }
        let mut content = Vec::new();
        file.take(MAX_SIZE).read_to_end(&mut content).ok()?;
        Some(content)
    }
}

/// Where the directory of the slot directories is by default: beside the execute directory, or in
/// it if that is a file system of its own.
pub fn directory_for(execute: &Path) -> Result<PathBuf> {
    let why = "there is no directory above it: set 'directory'";
    let above = execute.parent().ok_or_else(|| Error::refused(execute, why))?;
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev());
    let is_same = device(above).ok() == device(execute).ok();
    let is_writable = sys::access::may_write_directory(above);
    Ok(if is_same && is_writable { above } else { execute }.join(DIRECTORY))
}

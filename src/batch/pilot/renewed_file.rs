//! A file of the payload's that a starter renews while the payload runs: its proxy. The starter
//! replaces it in its own directory, and the payload gets a copy each time.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use error::{Context as _, Result};
use sys::{Dir, Kind, OwnedName, Stat, process};

use crate::batch::agent::AgentCall;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// The longest content that is taken over: what one message to the agent can contain.
const MAX_SIZE: u64 = wire::frame::CHUNK as u64;

/// The file in the starter's directory.
#[derive(Debug)]
pub struct RenewedFile {
    /// The directory.
    pub directory: PathBuf,
    /// The file's name there, and in the sandbox.
    pub name: OwnedName,
    /// The version that was there before the payload got its first copy.
    first: Option<Version>,
}

impl RenewedFile {
    /// The file as it is now. To be called before the payload gets its copy: what replaces the file
    /// meanwhile is a new version.
    pub fn new(directory: PathBuf, name: OwnedName) -> RenewedFile {
        let first = version(&directory, &name);
        RenewedFile { directory, name, first }
    }
}

/// What is known of the file while the payload runs.
#[derive(Debug)]
pub(super) struct Renewal<'a> {
    file: &'a RenewedFile,
    seen: Option<Version>,
    next: Instant,
}

/// What differs between two versions.
type Version = ((u64, u64), sys::Time, u64);

impl<'a> Renewal<'a> {
    /// The payload has the first version.
    pub(super) fn new(file: &'a RenewedFile) -> Renewal<'a> {
        Renewal { file, seen: file.first, next: Instant::now() + INTERVAL }
    }

    /// When it is looked at next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Gives the payload the new content, if it is time and there is one.
    pub(super) fn look(&mut self, sandbox: &Sandbox, switcher: &Switcher) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + INTERVAL;
        let found = version(&self.file.directory, &self.file.name);
        if found.is_none() || found == self.seen {
            return Ok(());
        }
        // It is not tried again before the next version.
        self.seen = found;
        let content = read(self.file)?;
        let mut agent = AgentCall::serve(&switcher.with_short_idle_timeout(), &sandbox.path())?
            .wait_for_hello()?;
        match agent.put_proxy(self.file.name.name(), &content) {
            Ok(()) => {
                agent.close();
                Ok(())
            }
            Err(error) => Err(agent.fail(error)),
        }
    }
}

fn version(directory: &Path, name: &OwnedName) -> Option<Version> {
    let found = Dir::open(directory).ok()?.stat(name.name()).ok()?;
    is_own(&found).then(|| (found.identity(), found.modified(), found.size()))
}

fn is_own(found: &Stat) -> bool {
    found.kind() == Kind::File && found.uid() == process::geteuid()
}

fn read(file: &RenewedFile) -> Result<Vec<u8>> {
    let path: &Path = &file.directory.join(file.name.name().os());
    let dir = Dir::open(&file.directory).at("open", &file.directory)?;
    let opened = dir.open_file(file.name.name()).at("open the renewed proxy", path)?;
    let mut content = Vec::new();
    opened.take(MAX_SIZE).read_to_end(&mut content).at("read the renewed proxy", path)?;
    Ok(content)
}

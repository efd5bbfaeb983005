//! Files of the payload's that a starter renews while the payload runs: its proxy, and the
//! credentials in a directory. The starter replaces them in its own directory, and the payload
//! gets a copy each time.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, OwnedName, process};

use crate::batch::agent::AgentCall;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// How often they are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// The longest content that is taken over: what one message to the agent can contain.
const MAX_SIZE: u64 = wire::frame::CHUNK as u64;

/// The end of the name of a file that the starter is writing.
const INCOMPLETE: &[u8] = b".tmp";

/// The files in the starter's directory. They have the same names in the sandbox.
#[derive(Debug)]
pub struct RenewedFiles {
    /// The starter's directory.
    top: PathBuf,
    /// The name of the proxy.
    proxy: Option<OwnedName>,
    /// The name of the directory with credentials.
    credentials: OwnedName,
    /// What was there before the payload got its first copies.
    first: Versions,
}

/// A file, by its directory, if that is not the top, and its name.
type Place = (Option<OwnedName>, OwnedName);

/// Each file, with what differs between two versions of it: the inode, the time and the length.
type Versions = Vec<(Place, ((u64, u64), sys::Time, u64))>;

impl RenewedFiles {
    /// The files as they are now. To be called before the payload gets its copies: what replaces a
    /// file meanwhile is a new version.
    pub fn new(top: PathBuf, proxy: Option<OwnedName>, credentials: OwnedName) -> RenewedFiles {
        let mut files = RenewedFiles { top, proxy, credentials, first: Versions::new() };
        files.first = files.versions();
        files
    }

    /// The versions that are there. What cannot be examined is not there.
    fn versions(&self) -> Versions {
        let mut found = Versions::new();
        let mut add = |dir: &Dir, below: Option<&OwnedName>, name: OwnedName| {
            if let Ok(stat) = dir.stat(name.name()) {
                if stat.kind() == Kind::File && stat.uid() == process::geteuid() {
                    let version = (stat.identity(), stat.modified(), stat.size());
                    found.push(((below.cloned(), name), version));
                }
            }
        };
        let Ok(top) = Dir::open(&self.top) else { return found };
        if let Some(proxy) = &self.proxy {
            add(&top, None, proxy.clone());
        }
        if let Ok(credentials) = top.open_dir(self.credentials.name()) {
            let _ = credentials.for_each_entry(|name, _| {
                if !name.bytes().ends_with(INCOMPLETE) {
                    add(&credentials, Some(&self.credentials), name.into());
                }
                Ok::<_, Error>(())
            });
        }
        found
    }

    fn read(&self, (below, name): &Place) -> Result<Vec<u8>> {
        let path = match below {
            Some(below) => self.top.join(below.name().os()),
            None => self.top.clone(),
        };
        let dir = Dir::open(&path).at("open", &path)?;
        let path = path.join(name.name().os());
        let file = dir.open_file(name.name()).at("open the renewed file", &path)?;
        let mut content = Vec::new();
        file.take(MAX_SIZE).read_to_end(&mut content).at("read the renewed file", &path)?;
        Ok(content)
    }
}

/// What is known of the files while the payload runs.
#[derive(Debug)]
pub(super) struct Renewal<'a> {
    files: &'a RenewedFiles,
    seen: Versions,
    next: Instant,
}

impl<'a> Renewal<'a> {
    /// The payload has the first versions.
    pub(super) fn new(files: &'a RenewedFiles) -> Renewal<'a> {
        Renewal { files, seen: files.first.clone(), next: Instant::now() + INTERVAL }
    }

    /// When they are looked at next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Gives the payload each new content, if it is time and there is one.
    pub(super) fn look(&mut self, sandbox: &Sandbox, switcher: &Switcher) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + INTERVAL;
        let found = self.files.versions();
        // None is tried again before its next version.
        let seen = std::mem::replace(&mut self.seen, found);
        let new = self.seen.iter().filter(|file| !seen.contains(file));
        new.map(|(place, _)| self.give(place, sandbox, switcher)).fold(Ok(()), Result::and)
    }

    /// Gives the payload the content of one file, as its user.
    fn give(&self, place: &Place, sandbox: &Sandbox, switcher: &Switcher) -> Result<()> {
        let content = self.files.read(place)?;
        let (below, name) = place;
        let mut path = sandbox.path();
        path.extend(below.iter().map(|below| below.name().os()));
        let mut agent =
            AgentCall::serve(&switcher.with_short_idle_timeout(), &path)?.wait_for_hello()?;
        match agent.put_proxy(name.name(), &content) {
            Ok(()) => {
                agent.close();
                Ok(())
            }
            Err(error) => Err(agent.fail(error)),
        }
    }
}

//! What a pilot wants.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use sys::spawn::Inherited;
use wire::Links;

/// A payload, and what becomes of its files.
#[derive(Debug)]
pub struct Order {
    /// The switcher, if it is not to be looked for.
    pub glexec: Option<OsString>,
    /// How long the other side may make no progress; zero is for ever.
    pub limit: Duration,
    /// The absolute path that the sandbox gets.
    pub sandbox: PathBuf,
    /// The content of the switcher's credential.
    pub credential: Vec<u8>,
    /// The content of the payload's proxy; without one it gets none.
    pub proxy: Option<Vec<u8>>,
    /// The directory that is copied into the sandbox.
    pub input: Option<PathBuf>,
    /// The directory that the files come to.
    pub output: Option<PathBuf>,
    /// Whether they stay in the sandbox.
    pub keeps_sandbox: bool,
    /// What becomes of links that leave the sandbox.
    pub links: Links,
    /// The payload's variables, `NAME=VALUE` each.
    pub environment: Vec<Vec<u8>>,
    /// What the payload gets of the caller's, unless the switcher gives it something else.
    pub inherited: Inherited,
    /// How long the payload may run.
    pub timeout: Option<Duration>,
    /// How many seconds it may take to end when it is asked to.
    pub grace: u32,
    /// The program, which is not looked for any more, and its arguments.
    pub command: Vec<OsString>,
}

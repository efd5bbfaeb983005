//! What a pilot runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use sys::spawn::Inherited;
use wire::Links;

use super::limits::Limits;
use super::renewed::RenewedFiles;
use crate::batch::handover::Handover;

/// A payload, and what becomes of its files.
#[derive(Debug)]
pub struct PayloadSpec {
    /// The switcher; `None`: the first that works on this node.
    pub glexec: Option<OsString>,
    /// How long a peer may make no progress; zero means no limit.
    pub idle_timeout: Duration,
    /// The absolute path of the sandbox, which must not exist yet.
    pub sandbox: PathBuf,
    /// The content of the switcher's credential.
    pub credential: Vec<u8>,
    /// The content of the payload's proxy, if it gets one.
    pub proxy: Option<Vec<u8>>,
    /// The directory that is copied into the sandbox.
    pub input: Option<PathBuf>,
    /// The directory that the payload's files come to.
    pub output: Option<PathBuf>,
    /// Whether the files stay in the sandbox.
    pub keeps_sandbox: bool,
    /// How the sandbox changes hands.
    pub handover: Handover,
    /// What becomes of symbolic links that lead out of the sandbox.
    pub links: Links,
    /// The payload's environment variables, each as `NAME=VALUE`.
    pub environment: Vec<Vec<u8>>,
    /// The payload's world; `None`: the closed one, if the switcher can give it.
    pub world: Option<world::Spec>,
    /// What the payload inherits from the caller, unless the switcher changes it.
    pub inherited: Inherited,
    /// The directory of the caller's session scripts.
    pub session_scripts: Option<PathBuf>,
    /// How long the payload may run.
    pub timeout: Option<Duration>,
    /// What the payload may use.
    pub limits: Limits,
    /// How many seconds the payload may take to end after a signal, before it is killed.
    pub grace: u32,
    /// The files of the payload's that a starter renews.
    pub renewed: Option<RenewedFiles>,
    /// Whether a starter of HTCondor is the parent of this process. Then the payload gets the
    /// streams as they are, and each signal; the starter alone decides when it is killed.
    pub is_below_starter: bool,
    /// Where the payload sees its sandbox, if that is another place in its closed world.
    pub sandbox_at: Option<PathBuf>,
    /// The program, as a path, and its arguments.
    pub command: Vec<OsString>,
}

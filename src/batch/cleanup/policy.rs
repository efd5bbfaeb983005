//! What cleanup may do.

use wire::Links;

/// What becomes of the job's processes, of links, and of the mode of the sandbox.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What becomes of symbolic links that lead out of the sandbox.
    pub links: Links,
    /// The processes that are killed before the files come back.
    pub kills: KillScope,
    /// Whether the directory that comes back gets mode 0700, whatever the mode of the job's.
    pub closes_top: bool,
}

/// The processes that a cleanup kills (SIGKILL) before the files come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillScope {
    /// None: the caller has ended the job.
    Nothing,
    /// The job's family: the processes that carry the sandbox's mark.
    Family,
    /// All processes of the job user: for an account that has one job at a time.
    Account,
}

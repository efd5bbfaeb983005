//! What an operation reports besides its result: lines for its caller, and facts for the log.

use std::path::PathBuf;

use sys::Pid;
use wire::{Dropped, Hunt, Totals};

use super::handover::Way;

/// The report of an operation. It is filled while the operation is under way.
pub struct Report<'a> {
    notice: &'a mut dyn FnMut(&str),
    /// The sandbox that the operation is about, or a credential.
    pub about: PathBuf,
    /// The id of the sandbox in the log; see [`super::identity::log_id_of`].
    pub log_id: Option<String>,
    /// The exit statuses of the switcher's calls that failed with a temporary failure.
    pub statuses: Vec<i32>,
    /// What a transfer copied, and what it left out.
    pub moved: Option<(Totals, Dropped)>,
    /// How a sandbox changed hands.
    pub way: Option<Way>,
    /// The paths of some symbolic links that were left out.
    pub left: Vec<String>,
    /// The payload's exit status.
    pub payload: Option<i32>,
    /// What became of the processes that got a signal.
    pub hunted: Option<Hunted>,
    /// AgentCall during a transfer, with what has been copied until then.
    pub progress: Box<dyn FnMut(&Totals)>,
}

impl<'a> Report<'a> {
    /// An empty report. `notice` gets each line for the caller that is not an error.
    pub fn new(notice: &'a mut dyn FnMut(&str)) -> Self {
        Report {
            notice,
            about: PathBuf::new(),
            log_id: None,
            statuses: Vec::new(),
            moved: None,
            way: None,
            left: Vec::new(),
            payload: None,
            hunted: None,
            progress: Box::new(|_| ()),
        }
    }

    /// Passes a line to the caller that is not an error.
    pub fn notice(&mut self, line: &str) {
        (self.notice)(line);
    }
}

/// What the agent reports about the processes that a signal was for. Its texts are only printed.
#[derive(Debug, Default)]
pub struct Hunted {
    /// The signal.
    pub signal: i32,
    /// Whether the signal was for all processes of the job user.
    pub account: bool,
    /// The agent's counts.
    pub hunt: Hunt,
    /// Some of the processes that are not in the state that the signal asks for, and why.
    pub survivors: Vec<(Pid, String)>,
    /// Some of what the account left behind.
    pub remains: Vec<String>,
}

//! What a command does besides its work: lines for its caller, and facts for the log.

use std::path::PathBuf;

use sys::Pid;
use wire::{Dropped, Hunt, Totals};

/// Collected while a command works.
pub struct Report<'a> {
    notice: &'a mut dyn FnMut(&str),
    /// The sandbox that the command is about, or the retained proxy.
    pub about: PathBuf,
    /// The name under which the log follows the sandbox; see [`super::identity::request_of`].
    pub request: Option<String>,
    /// The statuses of the switcher's calls that failed in a way that may pass.
    pub statuses: Vec<i32>,
    /// What a transfer moved, and left behind.
    pub moved: Option<(Totals, Dropped)>,
    /// The paths of some links that were left behind.
    pub left: Vec<String>,
    /// What a payload has ended with.
    pub payload: Option<i32>,
    /// What became of a family that got a signal.
    pub hunted: Option<Hunted>,
    /// Called with what has been moved so far while a transfer goes on.
    pub progress: Box<dyn FnMut(&Totals)>,
}

impl<'a> Report<'a> {
    /// `notice` gets each line for the caller that is no failure.
    pub fn new(notice: &'a mut dyn FnMut(&str)) -> Self {
        Report {
            notice,
            about: PathBuf::new(),
            request: None,
            statuses: Vec::new(),
            moved: None,
            left: Vec::new(),
            payload: None,
            hunted: None,
            progress: Box::new(|_| ()),
        }
    }

    /// Says something to the caller that is no failure.
    pub fn notice(&mut self, line: &str) {
        (self.notice)(line);
    }
}

/// What the agent says of a hunt. Its words are only shown.
#[derive(Debug, Default)]
pub struct Hunted {
    /// The signal.
    pub signal: i32,
    /// Whether all processes of the job user were meant.
    pub account: bool,
    /// How many, and how often they were looked for.
    pub hunt: Hunt,
    /// Some of those who are not as the signal wants them, and why.
    pub survivors: Vec<(Pid, String)>,
    /// Some of what the account left behind.
    pub remains: Vec<String>,
}

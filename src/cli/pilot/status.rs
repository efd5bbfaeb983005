//! The exit statuses of the pilot's command.

use std::process::ExitCode;

/// An exit status that does not come from a payload. `run` uses numbers that payloads seldom use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PilotStatus {
    /// The operation succeeded; `doctor`: the node can run payloads.
    Success = 0,
    /// `recover` and `renew-proxy`: the operation failed; `doctor`: the node cannot run payloads.
    Failed = 1,
    /// Usage error or bad input; nothing was changed.
    UsageError = 240,
    /// `run`: the sandbox could not be handed over; the payload did not begin.
    SetupFailed = 241,
    /// `run`: the payload could not be started; its files are back.
    StartFailed = 242,
    /// `run`: the payload ran, but its files are not back.
    CleanupFailed = 243,
    /// `run`: the payload's own status was one of 240 to 244.
    PayloadStatusReserved = 244,
}

impl From<PilotStatus> for ExitCode {
    fn from(status: PilotStatus) -> Self {
        ExitCode::from(status as u8)
    }
}

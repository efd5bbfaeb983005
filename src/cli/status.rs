//! The exit statuses of the helpers.

/// The exit status of a helper. cleanup and update_proxy use 0 and 1 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HelperStatus {
    /// The operation succeeded.
    Success = 0,
    /// Usage error or bad input; nothing was changed. For cleanup and update_proxy: any failure.
    BadInput = 1,
    /// The operation failed, and the same call would fail again.
    Failed = 2,
    /// The switcher failed with a status that stands for a temporary failure, on the first call
    /// and on each retry.
    RetriesExhausted = 3,
    /// The switcher cannot be executed (run only; as of a shell).
    NotExecutable = 126,
    /// The switcher does not exist (run only; as of a shell).
    NotFound = 127,
}

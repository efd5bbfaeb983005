//! The line that is printed. `wire::verified` reads it on the other side.

use crate::refusal::{Refusal, Result};

/// The most bytes of an answer, with its newline.
const MAX_BYTES: usize = 4096;

/// The most bytes of a subject or a reason, which leaves room for the words before it.
const MAX_TEXT: usize = MAX_BYTES - 128;

/// Whose a credential is.
pub struct Identity {
    /// The seconds since 1970 at which the first certificate of its chain ends.
    pub not_after: u64,
    /// How many proxies its chain has.
    pub level: usize,
    /// Whether one of the proxies is limited.
    pub is_limited: bool,
    /// The name in the user's own certificate.
    pub subject: String,
}

/// The answer, with its newline.
pub fn line(checked: &Result<Identity>) -> String {
    match checked {
        Ok(identity) if identity.subject.len() > MAX_TEXT => {
            line(&Err(Refusal::credential("the subject of the user's certificate is too long")))
        }
        Ok(Identity { not_after, level, is_limited, subject }) => {
            let kind = if *is_limited { "limited" } else { "full" };
            format!("identity not-after {not_after} level {level} {kind} {subject}\n")
        }
        Err(Refusal { status, reason }) => {
            // A reason is ASCII.
            let reason = &reason[..reason.len().min(MAX_TEXT)];
            format!("error {} {reason}\n", *status as u8)
        }
    }
}

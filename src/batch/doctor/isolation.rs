//! How far this kernel isolates payloads in the closed world from other processes.

use std::os::unix::fs::MetadataExt as _;

use sys::landlock::{self, Isolation};

use super::finding::Finding;
use crate::batch::switcher::installed_program;

const WHAT: &str = "closed world";

/// Examines the kernel. A set-user-ID `glexec` gives several payloads one account, and then more
/// depends on it.
pub(super) fn examine() -> Finding {
    let program = installed_program("glexec").ok();
    let found = program.and_then(|program| program.metadata().ok());
    let share_accounts = found.is_some_and(|found| found.mode() & 0o4000 != 0);
    let text = match (landlock::best_isolation(), share_accounts) {
        (Isolation::TracingSignalsAndSockets, _) => {
            let text = "the kernel keeps payloads from other processes and their abstract sockets";
            return Finding::ok(WHAT, text);
        }
        (_, false) => {
            let text = "the kernel's Landlock is too old to keep payloads from abstract sockets of \
                        other processes";
            return Finding::ok(WHAT, text);
        }
        (Isolation::Tracing, true) => {
            "payloads can signal other processes of their account: the kernel's Landlock is too old"
        }
        (Isolation::None, true) => {
            "payloads can trace other processes of their account: the kernel has no Landlock, or \
             one that is too old"
        }
    };
    let advice = "use Linux 6.12 or newer, with landlock among its security modules (lsm=)";
    Finding::warning(WHAT, text, advice)
}

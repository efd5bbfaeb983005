//! Handing a sandbox over by a change of owner, instead of a copy. The switcher does it: the
//! project's `glexec`, with the options `--give`, `--take` and `--undo`.
//!
//! A starter stands in the sandbox's own directory O, which stays the batch user's. So the top of
//! the job's sandbox is a directory H that grows inside O, under a name that only these helpers
//! use. One rename gives H, one exchange of names takes it back:
//!
//! - [`call`]: a call of the switcher that changes an owner;
//! - [`inner`]: the directory H: its name, and the entries that move between it and O;
//! - [`give()`]: the way of setup; [`take()`]: the way of cleanup;
//! - [`finish()`]: what is left to do after a helper was killed in between.
//!
//! A sandbox that cannot change hands in this way is copied ([`Attempt::Copy`]). Nothing of it was
//! changed then.

mod call;
mod finish;
mod give;
mod inner;
mod take;

pub use finish::{finish, is_being_taken, is_unfinished, refuse_unfinished};
pub use give::give;
pub use take::take;

use super::handover::{Handover, Way};
use super::report::Report;
use super::switcher::Switcher;

/// What became of an attempt to change the owner.
#[derive(Debug)]
pub enum Attempt<T> {
    /// It is done.
    Done(T),
    /// The sandbox has to be copied, for this reason. It is as it was.
    Copy(String),
}

impl<T> Attempt<T> {
    /// Its result; if the sandbox has to be copied, the report gets the reason.
    pub fn done_or_copy(self, report: &mut Report<'_>) -> Option<T> {
        match self {
            Attempt::Done(done) => Some(done),
            Attempt::Copy(why) => {
                report.way = Some(Way::Copy { reason: Some(why) });
                None
            }
        }
    }
}

/// Why the owner cannot be changed where the directory that contains the sandbox cannot be listed:
/// after a crash H is found by what is beside the sandbox.
const UNLISTED: &str = "the directory that contains it cannot be listed";

/// The most entries that the top of a sandbox may have: each is renamed, and that takes as long as
/// to copy it. None if the caller wants no copy.
fn top_limit(switcher: &Switcher) -> Option<u64> {
    const MAX_TOP_ENTRIES: u64 = 2_000;
    (switcher.handover() == Handover::Auto).then_some(MAX_TOP_ENTRIES)
}

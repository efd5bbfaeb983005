//! What a payload in the closed world can ask of the kernel: a filter of system calls, and Landlock
//! for what a filter cannot see.
//!
//! The table refuses single calls and allows all others that it knows of. Programs of every kind
//! run as payloads, and a list of allowed calls breaks them with each new version of a C library.
//! The end is closed all the same: a call that is newer than the table fails with ENOSYS, as on an
//! older kernel, which each program must expect.

mod table;

use sys::Result;
use sys::landlock::{self, Isolation};
use sys::seccomp::{self, Openat2, Rule};
use table::{ALWAYS, NAMESPACES, NEWEST};

pub use table::Line;

/// Restricts this thread and all that it starts or executes; it cannot undo that. `nested` allows
/// namespaces and mounts of its own, so that a container can run in it; `openat2` is for the agent.
/// [`sys::prctl::set_no_new_privs`] comes before. A kernel whose Landlock is too old isolates less
/// ([`landlock::best_isolation`]). ENOSYS on a machine that is neither x86_64 nor aarch64.
pub fn restrict(nested: bool, openat2: Openat2) -> Result<()> {
    match landlock::best_isolation() {
        // It would keep a container from mounting.
        Isolation::Tracing if nested => {}
        isolation => landlock::isolate(isolation)?,
    }
    let rules: Vec<(u32, Rule)> = lines(nested).filter_map(Line::rule_here).collect();
    seccomp::restrict(&rules, NEWEST, openat2)
}

/// The lines of the table that apply to a payload.
pub fn lines(nested: bool) -> impl Iterator<Item = &'static Line> {
    let namespaces = if nested { &[] } else { NAMESPACES };
    namespaces.iter().chain(ALWAYS)
}

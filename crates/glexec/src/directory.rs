//! The directory that a payload has while it runs (`--hand-over`), as the guard handles it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use sys::flock::{self, Lock};
use sys::signal::{self, SIGHUP, SIGINT, SIGKILL, SIGTERM};
use sys::{Errno, Owner, fd};

use crate::ranges::Ids;
use ownership::{Given, HandOver};

/// How long the lock of the lease is waited for, which other calls may have for a moment.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is checked whether a signal asks for the end of a call whose payload is not
/// executed yet.
const INTERVAL: Duration = Duration::from_millis(100);

/// A directory, and the lease of the payload that gets it.
#[derive(Clone, Copy)]
pub(crate) struct Directory<'a> {
    /// What is handed over.
    pub(crate) hand_over: &'a HandOver,
    /// The lock of the lease, which is exclusive. It stays open in the guard: no other call has the
    /// lease before the guard has ended.
    pub(crate) lock: &'a File,
}

impl<'a> Directory<'a> {
    /// The descriptors that the guard needs.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'a>> {
        self.hand_over.descriptors().into_iter().chain([self.lock.as_fd()])
    }

    /// Gives the directory. From then on other calls can join the lease.
    pub(crate) fn give(&self, ids: Ids) -> Result<Given> {
        let given = self.hand_over.give(Owner { uid: ids.user, gid: ids.group })?;
        match flock::lock(self.lock, Lock::Shared, LOCK_TIMEOUT) {
            Ok(()) => Ok(given),
            Err(cause) => {
                let why = Refusal::internal(format!("cannot share the lease: {cause}"));
                Err(self.hand_over.undo(&given, why))
            }
        }
    }

    /// Takes the directory back, once a byte on `permit` says that no process of the payload's user
    /// is left.
    pub(crate) fn take(&self, given: &Given, mut permit: &File) {
        if permit.read_exact(&mut [0]).is_ok() {
            self.hand_over.take(given);
        } else {
            self.hand_over.leave(given);
        }
    }
}

/// Waits until a payload is executed, or for the reason why it is not. A signal that asks for the
/// end of the call kills it before that.
pub(crate) fn wait_for_exec(mut refusal: File) -> Result<()> {
    loop {
        let until = Some(Instant::now() + INTERVAL);
        match fd::poll_readable([refusal.as_fd()], until) {
            Ok([false]) | Err(Errno::EINTR) => {
                if [SIGHUP, SIGINT, SIGTERM].into_iter().any(signal::is_pending) {
                    let _ = signal::kill_all_others(SIGKILL);
                    return Err(Refusal::internal("a signal arrived before the payload began"));
                }
            }
            Ok([true]) | Err(_) => break,
        }
    }
    let mut why = Vec::new();
    let _ = refusal.read_to_end(&mut why);
    Refusal::from_bytes(&why).map_or(Ok(()), Err)
}

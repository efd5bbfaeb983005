//! Where a call comes from: what differs between a set-user-ID start and a request to the account
//! daemon. The steps themselves are those of [`crate::door`].

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use command::refusal::Result;
use sys::signal::{self, Received, SIGCHLD, SIGHUP, SIGINT, SIGQUIT};
use sys::wait::End;
use sys::{Errno, Pid};

use crate::config::Config;
use crate::credential;
use crate::door::{self, Found};
use crate::payload::Payload;
use crate::sanitize::Start;

/// The origin of a call.
pub trait Origin {
    /// The steps up to the target: who calls, the credential, its verification, its account.
    fn find(&mut self, start: &Start, config: &Config) -> Result<Found>;

    /// The content of the proxy to copy for the payload. `source` is what the caller names.
    fn proxy(&mut self, source: &OsStr, start: &Start, config: &Config) -> Result<Vec<u8>>;

    /// Adds what the payload's process gets, before it is started.
    fn prepare(&mut self, found: &Found, payload: &mut Payload) -> Result<()>;

    /// The descriptors that stay open while the payload runs, beside the lease's.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Notes that the payload is executed.
    fn started(&mut self, payload: Pid, found: &Found);

    /// Waits for what happens next while the payload runs, until the deadline at most.
    fn next(&mut self, deadline: Option<Instant>) -> Event;

    /// Ends what the origin has to tell the payload's processes by, beside their parent.
    fn end_family(&mut self);

    /// Notes how the payload has ended, after its family and before the epilogue.
    fn ended(&mut self, end: End, found: &Found);
}

/// What happens while a payload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A child of this process has ended.
    Child,
    /// A signal for the payload.
    Signal {
        /// Its number.
        number: i32,
        /// Whether its process group gets it, as from a terminal. The group is there: the payload
        /// has made it before it was executed.
        to_group: bool,
    },
    /// All processes of the payload have to stop: in a session without a terminal SIGTSTP is
    /// ignored, so they get SIGSTOP.
    Stop,
    /// All processes of the payload go on.
    Continue,
    /// The payload has to end.
    End,
    /// Nothing until the deadline.
    Deadline,
}

/// The program was started set-user-ID: all signals are blocked, and all ids are root's. So no
/// other user can signal it, and what a caller sent before that is told by its sender and dropped.
#[derive(Debug)]
pub struct SetUserId;

impl Origin for SetUserId {
    fn find(&mut self, start: &Start, config: &Config) -> Result<Found> {
        door::find(start, config)
    }

    fn proxy(&mut self, source: &OsStr, start: &Start, config: &Config) -> Result<Vec<u8>> {
        credential::read(source, &start.caller, config).map(|read| read.content)
    }

    fn prepare(&mut self, _found: &Found, _payload: &mut Payload) -> Result<()> {
        Ok(())
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn started(&mut self, _payload: Pid, _found: &Found) {}

    fn next(&mut self, deadline: Option<Instant>) -> Event {
        loop {
            let received = match signal::wait(deadline) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Event::Deadline,
                // An interruption.
                Err(_) => continue,
            };
            match received {
                Received { number: SIGCHLD, .. } => return Event::Child,
                // A terminal's signals come from the kernel: those that end a program reach the
                // payload, which is in a session of its own; those that stop one do nothing.
                Received {
                    number: number @ (SIGINT | SIGQUIT | SIGHUP),
                    from_kernel: true,
                    ..
                } => {
                    return Event::Signal { number, to_group: true };
                }
                Received { from_kernel: false, sender, number } if sender.is_root() => {
                    return Event::Signal { number, to_group: false };
                }
                _ => {}
            }
        }
    }

    fn end_family(&mut self) {}

    fn ended(&mut self, _end: End, _found: &Found) {}
}

//! A hostile agent: it greets as the real one does, and then breaks the rules in the way that its
//! first argument names. A switcher of the tests executes it, as the job user, in the real agent's
//! place. The second argument, if there is one, is a path: while it exists, the agent does not
//! exit, even if its connection has ended.
//!
//! It sends by system calls, not through the code under test.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod descriptors;
mod endless;
mod short;

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, ControlMessage, MsgFlags};
use sys::{Time, stdio};
use wire::frame::VERSION;
use wire::{Attributes, Dropped, Frame, Needs, Totals};

/// The attributes of all entries that it sends.
const ATTRIBUTES: Attributes =
    Attributes { mode: 0o755, modified: Time { seconds: 0, nanoseconds: 0 } };

/// The end of a tree, with these totals.
fn end(totals: Totals) -> Frame<'static> {
    Frame::End { attributes: ATTRIBUTES, totals, dropped: Dropped::default() }
}

fn bytes_of(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

/// The agent's end of the connection.
struct HostileAgent {
    socket: OwnedFd,
    /// Its second argument.
    path: Option<PathBuf>,
}

impl HostileAgent {
    /// Sends bytes, and descriptors with the first of them. Returns false if no process can receive
    /// them.
    fn send_with(&self, bytes: &[u8], beside: &[RawFd]) -> bool {
        let vector = [std::io::IoSlice::new(bytes)];
        let control = [ControlMessage::ScmRights(beside)];
        let control = if beside.is_empty() { &control[..0] } else { &control[..] };
        match socket::sendmsg::<()>(
            self.socket.as_raw_fd(),
            &vector,
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(sent) => sent == bytes.len() || self.send_with(&bytes[sent..], &[]),
            Err(Errno::EPIPE | Errno::ECONNRESET) => false,
            Err(cause) => panic!("cannot send: {cause}"),
        }
    }

    fn send(&self, frames: &[Frame<'_>]) -> bool {
        self.send_with(&bytes_of(frames), &[])
    }

    fn greet(&self) {
        assert!(self.send(&[Frame::Hello { version: VERSION }]));
    }

    /// Waits for the helper's next message. A question for the room that a copy needs is answered,
    /// and does not count, because it depends on how full the file system is. Returns false at the
    /// end.
    fn receive(&self) -> bool {
        let mut bytes = [0; 65536];
        match socket::recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(length @ 1..) if bytes[..length] == bytes_of(&[Frame::Measure]) => {
                self.send(&[Frame::Needed { needs: Needs::default() }]) && self.receive()
            }
            received => matches!(received, Ok(1..)),
        }
    }

    /// Sends nothing more, and does not exit while the connection is open, or the path exists.
    fn wait(&self) {
        while self.receive() {}
        while self.path.as_ref().is_some_and(|path| path.exists()) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let mut way = arguments.next().unwrap().into_string().unwrap();
    if let Some(rest) = way.strip_prefix("as root: ") {
        // In a set-user-ID copy. The kernel reports a sender's real user.
        let root = nix::unistd::ROOT;
        nix::unistd::setresuid(root, root, root).unwrap();
        way = rest.to_owned();
    }
    let agent = HostileAgent {
        socket: stdio::take_stdin().unwrap(),
        path: arguments.next().map(PathBuf::from),
    };
    let known =
        short::play(&agent, &way) || endless::play(&agent, &way) || descriptors::play(&agent, &way);
    assert!(known, "the hostile agent has no way {way:?}");
}

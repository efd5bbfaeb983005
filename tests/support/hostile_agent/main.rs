//! An agent that lies: greets as the real one does, and then breaks the rules in the way that its
//! first argument names. A switcher of the tests executes it, as the job user, in the real agent's
//! place. The second argument, if there is one, is a path: as long as it exists the hostile_agent stays,
//! whatever becomes of its connection.
//!
//! Its words go out by system calls of its own, not through the code under test.
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

/// What all that is planted gets.
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

/// The hostile_agent's end of the connection.
struct HostileAgent {
    socket: OwnedFd,
    /// Its second argument.
    path: Option<PathBuf>,
}

impl HostileAgent {
    /// Sends bytes with descriptors beside the first one. False once nobody listens any more.
    fn pass(&self, bytes: &[u8], beside: &[RawFd]) -> bool {
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
            Ok(sent) => sent == bytes.len() || self.pass(&bytes[sent..], &[]),
            Err(Errno::EPIPE | Errno::ECONNRESET) => false,
            Err(cause) => panic!("it can't be sent: {cause}"),
        }
    }

    fn tell(&self, frames: &[Frame<'_>]) -> bool {
        self.pass(&bytes_of(frames), &[])
    }

    fn greet(&self) {
        assert!(self.tell(&[Frame::Hello { version: VERSION }]));
    }

    /// Waits for the helper's next message. A question for the room that a copy needs, which
    /// depends on how full the file system is, is answered, and does not count. False at the
    /// end.
    fn hear(&self) -> bool {
        let mut heard = [0; 65536];
        match socket::recv(self.socket.as_raw_fd(), &mut heard, MsgFlags::empty()) {
            Ok(length @ 1..) if heard[..length] == bytes_of(&[Frame::Measure]) => {
                self.tell(&[Frame::Needed { needs: Needs::default() }]) && self.hear()
            }
            heard => matches!(heard, Ok(1..)),
        }
    }

    /// Says nothing more, and stays for as long as anybody listens, or the path exists.
    fn stay(&self) {
        while self.hear() {}
        while self.path.as_ref().is_some_and(|path| path.exists()) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let mut way = arguments.next().unwrap().into_string().unwrap();
    if let Some(rest) = way.strip_prefix("as root: ") {
        // In a set-user-id copy; what the kernel tells of a sender is its real user.
        let root = nix::unistd::ROOT;
        nix::unistd::setresuid(root, root, root).unwrap();
        way = rest.to_owned();
    }
    let hostile_agent = HostileAgent {
        socket: stdio::take_stdin().unwrap(),
        path: arguments.next().map(PathBuf::from),
    };
    let known = short::play(&hostile_agent, &way)
        || endless::play(&hostile_agent, &way)
        || descriptors::play(&hostile_agent, &way);
    assert!(known, "the hostile_agent does not know how to lie with {way:?}");
}

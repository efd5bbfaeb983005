//! Wrong answers of a few frames.

use sys::Name;
use wire::frame::VERSION;
use wire::{Channel, Frame, Totals};

use super::{ATTRIBUTES, HostileAgent, end};

/// Acts in this way, if it is one of these.
pub fn play(agent: &HostileAgent, way: &str) -> bool {
    let attributes = ATTRIBUTES;
    let name = Name::new(b"injected").unwrap();
    let file = Frame::File { name, number: 0 };
    let close = Frame::Close { size: 0, attributes };
    let nothing = end(Totals::default());
    let one = end(Totals { files: 1, ..Totals::default() });
    let frames: &[Frame<'_>] = match way {
        "another version" => {
            agent.send(&[Frame::Hello { version: VERSION + 1 }]);
            agent.wait();
            return true;
        }
        "no greeting" => {
            agent.send(&[Frame::Done]);
            agent.wait();
            return true;
        }
        "no publishing" => {
            no_publishing(agent);
            return true;
        }
        "an end of the connection" => {
            agent.greet();
            return true;
        }
        // The bytes of a test, from a file.
        "these bytes" => {
            let bytes = std::fs::read(agent.path.as_ref().unwrap()).unwrap();
            agent.greet();
            agent.receive();
            agent.send_with(&bytes, &[]);
            while agent.receive() {}
            return true;
        }
        "wrong totals" => &[file, close, nothing, Frame::Done],
        "done at once" => &[Frame::Done],
        "the same name twice" => &[file, close, file, close],
        "a file where a directory was" => {
            &[Frame::Directory { name }, Frame::Up { attributes }, file]
        }
        "up above the top" => &[Frame::Up { attributes }],
        "a link to nothing" => &[Frame::Link { name, number: 7 }],
        "data without a file" => &[Frame::Data { offset: 0, bytes: b"x" }],
        "data beyond all sizes" => &[file, Frame::Data { offset: u64::MAX, bytes: b"x" }],
        "a size below what was sent" => {
            &[file, Frame::Data { offset: 0, bytes: b"xy" }, Frame::Close { size: 1, attributes }]
        }
        "the name of the proxy" => &[
            Frame::File { name: Name::new(b"x509_proxy").unwrap(), number: 0 },
            close,
            one,
            Frame::Done,
        ],
        "an end in the middle" => &[Frame::Directory { name }, nothing],
        "silence" => &[],
        "silence after a directory" => &[Frame::Directory { name }],
        "silence within a file" => &[file, Frame::Data { offset: 0, bytes: b"x" }],
        "silence after the tree" => &[file, close, one],
        "no moving away" => &[file, close, one, Frame::Done, Frame::Failed { text: b"not today" }],
        _ => return false,
    };
    // This is the answer to any request; then nothing more, while the connection is open.
    agent.greet();
    agent.receive();
    agent.send(frames);
    agent.wait();
    true
}

/// Receives a tree correctly, and then refuses to publish it.
fn no_publishing(agent: &HostileAgent) {
    agent.greet();
    let mut channel = Channel::new(agent.socket.try_clone().unwrap());
    while !matches!(channel.receive().unwrap(), Frame::End { .. }) {}
    channel.send(Frame::Done).unwrap();
    let _ = channel.receive();
    channel.send(Frame::Failed { text: b"not today" }).unwrap();
}

//! An agent that lies: greets as the real one does, and then breaks the rules in the way that its first argument names.
//! A switcher of tests/liar.rs executes it, as the job user, in the real agent's place.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

use glexec_helpers::sys::{Name, Time, fd};
use glexec_helpers::wire::frame::VERSION;
use glexec_helpers::wire::{Attributes, Channel, Dropped, Frame, Totals};

fn main() -> ExitCode {
    let way = std::env::args().nth(1).unwrap();
    let mut channel = Channel::new(fd::take_standard_input().unwrap());
    let version = if way == "another version" { VERSION + 1 } else { VERSION };
    channel.send(Frame::Hello { version, monitored: false }).unwrap();
    let attributes = Attributes { mode: 0o755, modified: Time { seconds: 0, nanoseconds: 0 } };
    let name = Name::new(b"planted").unwrap();
    let file = Frame::File { name, number: 0 };
    let close = Frame::Close { size: 0, attributes };
    let end = Frame::End { attributes, totals: Totals::default(), dropped: Dropped::default() };
    let end_of_one =
        Frame::End { attributes, totals: Totals { files: 1, ..Totals::default() }, dropped: Dropped::default() };
    let frames: &[Frame<'_>] = match way.as_str() {
        "wrong totals" => &[file, close, end, Frame::Done],
        "done at once" => &[Frame::Done],
        "the same name twice" => &[file, close, file, close],
        "a file where a directory was" => &[Frame::Directory { name }, Frame::Up { attributes }, file],
        "up above the top" => &[Frame::Up { attributes }],
        "a link to nothing" => &[Frame::Link { name, number: 7 }],
        "data without a file" => &[Frame::Data { offset: 0, bytes: b"x" }],
        "data beyond all sizes" => &[file, Frame::Data { offset: u64::MAX, bytes: b"x" }],
        "a size below what was sent" => {
            &[file, Frame::Data { offset: 0, bytes: b"xy" }, Frame::Close { size: 1, attributes }]
        }
        "the name of the proxy" => {
            &[Frame::File { name: Name::new(b"x509_proxy").unwrap(), number: 0 }, close, end_of_one, Frame::Done]
        }
        "an end in the middle" => &[Frame::Directory { name }, end],
        "an end of the connection" => return ExitCode::SUCCESS,
        _ => &[],
    };
    if way == "no publishing" {
        // A good receiver, up to the moment that counts.
        while !matches!(channel.receive().unwrap(), Frame::End { .. }) {}
        channel.send(Frame::Done).unwrap();
        let _ = channel.receive();
        channel.send(Frame::Failed { text: b"not today" }).unwrap();
        return ExitCode::SUCCESS;
    }
    // Whatever was asked for, this is the answer; then nothing more, for as long as anybody listens.
    let mut asked = channel.receive().is_ok();
    for frame in frames {
        let _ = channel.send(*frame);
    }
    while asked {
        asked = channel.receive().is_ok();
    }
    ExitCode::SUCCESS
}

//! Endless trees, and answers that never come.

use std::time::Duration;

use sys::{Name, Time};
use wire::{Frame, Totals};

use super::{ATTRIBUTES, HostileAgent, bytes_of, end};

/// The number of records that leave nothing on the disk, and so could continue without limit: far
/// more than fit into memory if each was kept.
const MANY: u32 = 300_000;

/// Acts in this way, if it is one of these.
pub fn play(agent: &HostileAgent, way: &str) -> bool {
    let attributes = ATTRIBUTES;
    let nothing = Time { seconds: 0, nanoseconds: 0 };
    let known = [
        "directories, deeper and deeper",
        "directories, side by side",
        "files with a number",
        "names of one file",
        "data",
        "empty data",
        "attributes",
        "attributes that are set again",
        "many links that were left behind",
        "many links that leave",
        "many links that only the kernel can judge",
        "keep-alives",
        "a frame byte by byte",
    ];
    if !known.contains(&way) {
        return false;
    }
    agent.greet();
    agent.receive();
    let long = |number: u32| format!("{number:0>200}");
    let each = |first: &[Frame<'_>], last: u32, next: &dyn Fn(&[u8], u32) -> Vec<u8>| {
        let mut waiting = bytes_of(first);
        for number in 1..=last {
            waiting.extend(next(long(number).as_bytes(), number));
            if (waiting.len() > 60_000 || number == last)
                && !agent.send_with(&std::mem::take(&mut waiting), &[])
            {
                break;
            }
        }
    };
    let file = Frame::File { name: Name::new(b"injected").unwrap(), number: 1 };
    let ever = u32::MAX;
    match way {
        "directories, deeper and deeper" => each(&[], ever, &|_, number| {
            let name = number.to_string();
            bytes_of(&[Frame::Directory { name: Name::new(name.as_bytes()).unwrap() }])
        }),
        "directories, side by side" => each(&[], ever, &|name, _| {
            bytes_of(&[
                Frame::Directory { name: Name::new(name).unwrap() },
                Frame::Up { attributes },
            ])
        }),
        "files with a number" => each(&[], ever, &|name, number| {
            let file = Frame::File { name: Name::new(name).unwrap(), number };
            bytes_of(&[file, Frame::Close { size: 0, attributes }])
        }),
        "names of one file" => {
            each(&[file, Frame::Close { size: 0, attributes }], ever, &|name, _| {
                bytes_of(&[Frame::Link { name: Name::new(name).unwrap(), number: 1 }])
            })
        }
        "data" => {
            let piece = vec![b'x'; 50_000];
            each(&[file], ever, &|_, number| {
                bytes_of(&[Frame::Data { offset: u64::from(number - 1) * 50_000, bytes: &piece }])
            });
        }
        "empty data" => {
            each(&[file], ever, &|_, _| bytes_of(&[Frame::Data { offset: 0, bytes: b"" }]))
        }
        "attributes" => each(&[file], ever, &|_, number| {
            bytes_of(&[Frame::Attribute { name: format!("user.{number}").as_bytes(), value: b"" }])
        }),
        "attributes that are set again" => {
            let value = vec![b'x'; 1000];
            each(&[file], ever, &|_, _| {
                bytes_of(&[Frame::Attribute { name: b"user.a", value: &value }])
            });
        }
        "many links that were left behind" => {
            each(&[], MANY, &|name, _| {
                bytes_of(&[Frame::DroppedLink { name: Name::new(name).unwrap() }])
            });
        }
        "many links that leave" => each(&[], MANY, &|name, _| {
            let (name, target) = (Name::new(name).unwrap(), b"/etc/passwd");
            bytes_of(&[Frame::Symlink { name, number: 0, modified: nothing, target }])
        }),
        // In a directory whose path has the maximum length that is kept.
        "many links that only the kernel can judge" => {
            let name = [b'd'; 255];
            let deep = [Frame::Directory { name: Name::new(&name).unwrap() }; 14];
            each(&deep, 20_000, &|name, _| {
                let (name, target) = (Name::new(name).unwrap(), b"a/../b");
                bytes_of(&[Frame::Symlink { name, number: 0, modified: nothing, target }])
            });
            agent.send(&[Frame::Up { attributes }; 14]);
            agent.send(&[end(Totals::default())]);
        }
        // For longer than the test's idle timeout of two seconds; then a wrong answer.
        "keep-alives" => {
            for _ in 0..12 {
                std::thread::sleep(Duration::from_millis(250));
                agent.send(&[Frame::KeepAlive]);
            }
            agent.send(&[Frame::Taken]);
        }
        // For longer than one second; then nothing more, in the middle of a long frame.
        _ => {
            agent.send_with(&60_000u32.to_le_bytes(), &[]);
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(250));
                agent.send_with(b"x", &[]);
            }
        }
    }
    agent.wait();
    true
}

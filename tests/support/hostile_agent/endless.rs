//! Trees without an end, and answers that never come.

use std::time::Duration;

use sys::{Name, Time};
use wire::{Frame, Totals};

use super::{ATTRIBUTES, HostileAgent, bytes_of, end};

/// So many of what leaves no trace on the disk, and so could go on for ever: far more than fit into
/// memory if each was kept.
const MANY: u32 = 300_000;

/// Plays this way of lying, if it is one of these.
pub fn play(hostile_agent: &HostileAgent, way: &str) -> bool {
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
        "a sign of life now and then",
        "a frame in dribs and drabs",
    ];
    if !known.contains(&way) {
        return false;
    }
    hostile_agent.greet();
    hostile_agent.hear();
    let long = |number: u32| format!("{number:0>200}");
    let each = |first: &[Frame<'_>], last: u32, next: &dyn Fn(&[u8], u32) -> Vec<u8>| {
        let mut waiting = bytes_of(first);
        for number in 1..=last {
            waiting.extend(next(long(number).as_bytes(), number));
            if (waiting.len() > 60_000 || number == last)
                && !hostile_agent.pass(&std::mem::take(&mut waiting), &[])
            {
                break;
            }
        }
    };
    let file = Frame::File { name: Name::new(b"planted").unwrap(), number: 1 };
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
        // In a directory as deep as its path is kept.
        "many links that only the kernel can judge" => {
            let name = [b'd'; 255];
            let deep = [Frame::Directory { name: Name::new(&name).unwrap() }; 14];
            each(&deep, 20_000, &|name, _| {
                let (name, target) = (Name::new(name).unwrap(), b"a/../b");
                bytes_of(&[Frame::Symlink { name, number: 0, modified: nothing, target }])
            });
            hostile_agent.tell(&[Frame::Up { attributes }; 14]);
            hostile_agent.tell(&[end(Totals::default())]);
        }
        // For longer than the limit of the test, which is a second; then a wrong answer.
        "a sign of life now and then" => {
            for _ in 0..8 {
                std::thread::sleep(Duration::from_millis(250));
                hostile_agent.tell(&[Frame::KeepAlive]);
            }
            hostile_agent.tell(&[Frame::Taken]);
        }
        // Likewise; then silence, in the middle of a frame that says to be long.
        _ => {
            hostile_agent.pass(&60_000u32.to_le_bytes(), &[]);
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(250));
                hostile_agent.pass(b"x", &[]);
            }
        }
    }
    hostile_agent.stay();
    true
}

//! Descriptors that no honest agent passes. A way is `<moment>: <what>`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::sys::socket::sockopt;
use sys::Name;
use wire::frame::VERSION;
use wire::{Frame, Totals};

use super::{ATTRIBUTES, HostileAgent, bytes_of, end};

/// The size that the agent states for what it passes.
const SIZE: u64 = 1 << 20;

/// Acts in this way, if it is one of these: `<moment>: <what>`.
pub fn play(agent: &HostileAgent, way: &str) -> bool {
    let Some((moment, what)) = way.split_once(": ") else { return false };
    let name = Name::new(b"injected").unwrap();
    let begin = bytes_of(&[Frame::File { name, number: 0 }]);
    let content = |size| bytes_of(&[Frame::Content { size }]);
    let held = Held::new(agent, what);
    let all = held.numbers();
    match moment {
        "as content" => {
            agent.greet();
            agent.receive();
            agent.send_with(&begin, &[]);
            agent.send_with(&content(SIZE), &all);
        }
        "with the greeting" => {
            agent.send_with(&bytes_of(&[Frame::Hello { version: VERSION }]), &all);
        }
        // With a message that needs no descriptor, before the helper expects one (setup) or while
        // it does (cleanup).
        "unasked" => {
            agent.greet();
            agent.receive();
            agent.send_with(&bytes_of(&[Frame::Taken]), &all);
        }
        "beside a name" => {
            agent.greet();
            agent.receive();
            agent.send_with(&begin, &all);
            agent.send_with(&content(SIZE), &all);
        }
        // After records that keep the helper busy for a while and end the conversation, so that
        // this is in its queue. The descriptor that it receives with the last records is another
        // one; one call of recvmsg(2) does not read beyond one descriptor.
        "unread" => {
            agent.greet();
            agent.receive();
            let names = (0..3000).map(|number: u32| number.to_string()).collect::<Vec<_>>();
            let names = names.iter().map(|name| Name::new(name.as_bytes()).unwrap());
            let directories = names
                .flat_map(|name| [Frame::Directory { name }, Frame::Up { attributes: ATTRIBUTES }]);
            let mut words = bytes_of(&directories.collect::<Vec<_>>());
            words.extend(bytes_of(&[Frame::Taken]));
            agent.send_with(&words, &[]);
            agent.send_with(b"x", &[File::open("/dev/null").unwrap().as_raw_fd()]);
            agent.send_with(b"x", &all);
        }
        // A complete tree with one file, that of the path; then an error for the helper's next
        // request.
        "as a size that is a lie" | "as a size that changes" => {
            let size: u64 = what.parse().unwrap();
            let path = agent.path.as_ref().unwrap();
            let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
            let writer = file.try_clone().unwrap();
            if moment == "as a size that changes" {
                std::thread::spawn(move || {
                    loop {
                        writer.set_len(0).unwrap();
                        writer.write_all_at(&[b'x'; 100_000], size).unwrap();
                        writer.write_all_at(&[b'x'; 100_000], 0).unwrap();
                    }
                });
            }
            agent.greet();
            agent.receive();
            agent.send_with(&begin, &[]);
            agent.send_with(&content(size), &[file.as_raw_fd()]);
            agent.receive();
            let totals = Totals { files: 1, passed: size, ..Totals::default() };
            agent.send(&[Frame::Close { size, attributes: ATTRIBUTES }, end(totals), Frame::Done]);
            agent.send(&[Frame::Failed { text: b"not today" }]);
            while agent.receive() {}
            return true;
        }
        _ => return false,
    }
    drop(held);
    agent.wait();
    true
}

/// Open files of the agent. What keeps them in their state outlives this.
struct Held {
    passed: Vec<OwnedFd>,
    times: usize,
}

impl Held {
    fn new(agent: &HostileAgent, what: &str) -> Held {
        let (what, times) = match what.split_once(" times ") {
            Some((times, what)) => (what, times.parse().unwrap()),
            None => (what, 1),
        };
        let path = || agent.path.clone().unwrap();
        let one: Option<OwnedFd> = match what {
            "none" => None,
            size if size.parse::<u64>().is_ok() => None,
            "the null device" => Some(File::open("/dev/null").unwrap().into()),
            "endless zeros" => Some(File::open("/dev/zero").unwrap().into()),
            "a directory" => Some(File::open(path()).unwrap().into()),
            "a FIFO" => {
                let fifo = std::env::temp_dir().join(format!("gh-agent-{}", std::process::id()));
                nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
                let opened = OpenOptions::new().read(true).write(true).open(&fifo);
                std::fs::remove_file(&fifo).unwrap();
                Some(opened.unwrap().into())
            }
            "the reading end of a pipe" => Some(kept(nix::unistd::pipe().unwrap())),
            "the writing end of a pipe" => {
                let (reader, writer) = nix::unistd::pipe().unwrap();
                Some(kept((writer, reader)))
            }
            "its own end of the connection" => Some(agent.socket.try_clone().unwrap()),
            "a new socket" => Some(kept(
                std::os::unix::net::UnixStream::pair()
                    .map(|(one, other)| (one.into(), other.into()))
                    .unwrap(),
            )),
            "a socket that lingers" => Some(lingering()),
            "a file in memory" => {
                // SAFETY: the name is a C string; the kernel returns a new descriptor, which no
                // other value owns.
                let memory: OwnedFd = unsafe {
                    use std::os::fd::FromRawFd as _;
                    OwnedFd::from_raw_fd(libc::memfd_create(c"injected".as_ptr(), 0))
                };
                File::from(memory.try_clone().unwrap()).set_len(SIZE).unwrap();
                Some(memory)
            }
            "a file of the kernel's" => Some(File::open("/proc/self/status").unwrap().into()),
            "a file of another device" => {
                let file = tempfile::tempfile_in("/dev/shm").unwrap();
                file.set_len(SIZE).unwrap();
                Some(file.into())
            }
            "a handle" => Some(own_file(&path(), libc::O_PATH)),
            "a file to write" => Some(own_file(&path(), libc::O_WRONLY)),
            "a file" => Some(own_file(&path(), libc::O_RDONLY)),
            "a file of a mount that hangs" => Some(hanging(&path(), false)),
            "a written file of a mount that hangs" => Some(hanging(&path(), true)),
            _ => panic!("unknown descriptor {what:?}"),
        };
        Held { passed: one.into_iter().collect(), times }
    }

    fn numbers(&self) -> Vec<RawFd> {
        let one = self.passed.iter().map(|passed| passed.as_raw_fd());
        one.cycle().take(self.passed.len() * self.times).collect()
    }
}

/// Returns the first; the second stays open until this process ends.
fn kept((one, other): (OwnedFd, OwnedFd)) -> OwnedFd {
    std::mem::forget(other);
    one
}

/// A file of the agent in its sandbox, which the path names.
fn own_file(sandbox: &Path, flags: i32) -> OwnedFd {
    let path = sandbox.join("large");
    OpenOptions::new()
        .read(flags != libc::O_WRONLY)
        .write(flags == libc::O_WRONLY)
        .custom_flags(flags)
        .open(path)
        .unwrap()
        .into()
}

/// A socket whose close(2) waits, for ten minutes, until the other end has read what was sent,
/// which it never does.
fn lingering() -> OwnedFd {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    std::mem::forget(other);
    nix::sys::socket::setsockopt(
        &socket,
        sockopt::Linger,
        &libc::linger { l_onoff: 1, l_linger: 600 },
    )
    .unwrap();
    socket.set_nonblocking(true).unwrap();
    while socket.write(&[0; 65536]).is_ok() {}
    socket.into()
}

/// A file of the mount at this path; then the mount stops answering.
fn hanging(mount: &Path, written: bool) -> OwnedFd {
    let file = OpenOptions::new().read(true).write(written).open(mount.join("file")).unwrap();
    if written {
        file.write_all_at(&[b'x'; 4096], 0).unwrap();
    }
    assert!(std::fs::metadata(mount.join("silence")).is_err());
    file.into()
}

//! The standard streams that a payload gets.
//!
//! Terminals, pipes, sockets and devices are passed as they are. A regular file is not: who has the
//! caller's open file can move its position, or cut it off, and so forge or destroy what the caller
//! reads later. In its place the payload gets a pipe, and this process writes.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Instant;

use error::{Context as _, Error, Result};
use sys::{Errno, Kind, fd, file};

use super::supervise;

/// What is read at a time: as much as a pipe holds.
const ROOM: usize = 64 * 1024;

/// The most that a pipe can hold (`/proc/sys/fs/pipe-max-size`, pipe(7)): who outlives the payload
/// may write for ever.
const MOST_LEFT: usize = 1 << 20;

/// What is to be passed to a payload.
#[derive(Debug)]
pub struct Streams {
    /// Standard input, output and error.
    passed: [OwnedFd; 3],
    relays: Relays,
}

impl Streams {
    /// Those of this process, as far as the payload may have them. To be called when signals are
    /// blocked: threads that are started here get none.
    pub fn of_caller() -> Result<Streams> {
        let (output, errors) = (io::stdout(), io::stderr());
        let mut relays = Relays::default();
        let to = regular(output.as_fd(), "standard output")?;
        let for_errors = regular(errors.as_fd(), "standard error")?;
        let passed_output = relays.in_place_of(output.as_fd(), to, "standard output")?;
        // One pipe for both keeps their lines in order.
        let passed_errors = match for_errors {
            Some(identity) if to == Some(identity) => {
                again(passed_output.as_fd(), "standard error")?
            }
            found => relays.in_place_of(errors.as_fd(), found, "standard error")?,
        };
        Ok(Streams { passed: [input()?, passed_output, passed_errors], relays })
    }

    /// The descriptors to be passed.
    pub fn passed(&self) -> [BorrowedFd<'_>; 3] {
        self.passed.each_ref().map(OwnedFd::as_fd)
    }

    /// Closes this process's own copies of them; what carries their bytes on is left.
    pub fn handed_over(self) -> Relays {
        self.relays
    }
}

/// What carries a payload's bytes on to regular files, as long as it runs.
#[derive(Debug, Default)]
pub struct Relays(Vec<Relay>);

#[derive(Debug)]
struct Relay {
    what: &'static str,
    /// Closed when the payload has ended: what is in the pipe by then is carried on, but nobody is
    /// waited for.
    end: File,
    thread: JoinHandle<std::result::Result<(), Errno>>,
}

impl Relays {
    fn in_place_of(
        &mut self,
        stream: BorrowedFd<'_>,
        regular: Option<(u64, u64)>,
        what: &'static str,
    ) -> Result<OwnedFd> {
        let to = again(stream, what)?;
        if regular.is_none() {
            return Ok(to);
        }
        let (from, writer) = fd::pipe().at("make a pipe in place of", what)?;
        let (ended, end) = fd::pipe().at("make a pipe in place of", what)?;
        let relay = move || carry(from, File::from(to), &ended);
        let thread = std::thread::Builder::new().spawn(relay).at("start a thread for", what)?;
        self.0.push(Relay { what, end, thread });
        Ok(writer.into())
    }

    /// Carries on what is left of a payload that has ended; what could not be written.
    pub fn finish(self) -> Vec<Error> {
        let ended = self.0.into_iter().filter_map(|Relay { what, end, thread }| {
            drop(end);
            let carried = thread.join().unwrap_or(Err(Errno::EIO));
            carried.at("write all that the payload has said to", what).err()
        });
        ended.collect()
    }
}

/// Writes what comes until nobody writes any more, or it can't be written: then the payload sees a
/// broken pipe.
fn carry(mut from: File, mut to: File, ended: &File) -> std::result::Result<(), Errno> {
    let mut room = vec![0; ROOM];
    let mut left = None;
    loop {
        let until = left.map(|_: usize| Instant::now());
        let (is_readable, has_ended) = match fd::poll_readable([from.as_fd(), ended.as_fd()], until)
        {
            Err(Errno::EINTR) => continue,
            ready => ready.map(|[from, ended]| (from, ended))?,
        };
        if has_ended && left.is_none() {
            left = Some(MOST_LEFT);
            continue;
        }
        if !is_readable || left == Some(0) {
            return Ok(());
        }
        let failed = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        match from.read(&mut room).map_err(failed)? {
            0 => return Ok(()),
            length => {
                to.write_all(&room[..length]).map_err(failed)?;
                left = left.map(|left| left.saturating_sub(length));
            }
        }
    }
}

/// Standard input. What is typed while this process is in the background is not for its payload;
/// and a file that is open to be written as well is opened once more, to be read.
fn input() -> Result<OwnedFd> {
    const WHAT: &str = "standard input";
    let input = io::stdin();
    if input.is_terminal() && !supervise::has_terminal() {
        return File::open("/dev/null").at("open", "/dev/null").map(OwnedFd::from);
    }
    let same = again(input.as_fd(), WHAT)?;
    if regular(input.as_fd(), WHAT)?.is_none() || !fd::is_writable(&input).at("examine", WHAT)? {
        return Ok(same);
    }
    let position = File::from(same).stream_position().at("find the position in", WHAT)?;
    let mut read_only =
        File::open("/proc/self/fd/0").at("open once more, to be read only,", WHAT)?;
    read_only.seek(SeekFrom::Start(position)).at("find the position in", WHAT)?;
    Ok(read_only.into())
}

/// Device and inode of a regular file.
fn regular(stream: BorrowedFd<'_>, what: &str) -> Result<Option<(u64, u64)>> {
    let found = file::stat(&stream).at("examine", what)?;
    Ok((found.kind() == Kind::File).then(|| found.identity()))
}

fn again(stream: BorrowedFd<'_>, what: &str) -> Result<OwnedFd> {
    stream.try_clone_to_owned().at("use", what)
}

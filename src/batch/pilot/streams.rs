//! The standard streams that a payload gets.
//!
//! Terminals, pipes, sockets and devices are passed as they are. A regular file is not: a process
//! that has the caller's open file description can change its offset or truncate the file, and so
//! forge or destroy what the caller reads later. The payload gets a pipe instead, and this process
//! writes to the file.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Instant;

use error::{Context as _, Error, Result};
use sys::{Errno, Kind, fd, file, process};

/// How much is read at a time: the capacity of a pipe.
const BUFFER_SIZE: usize = 64 * 1024;

/// The most that a pipe can hold (`/proc/sys/fs/pipe-max-size`, pipe(7)). After the payload's end
/// no more is written: a process that outlives it may write without end.
const MAX_REST: usize = 1 << 20;

/// Whether standard input is a terminal from which this process may read now.
pub fn may_read_terminal() -> bool {
    let stdin = io::stdin();
    stdin.is_terminal() && !process::is_in_background(&stdin)
}

/// The descriptors for a payload.
#[derive(Debug)]
pub struct Streams {
    /// Standard input, output and error.
    passed: [OwnedFd; 3],
    relays: Relays,
}

impl Streams {
    /// Those of this process, as far as the payload may have them. Signals must be blocked: the
    /// threads that are started here must not get any. With `as_they_are` the payload gets all of
    /// them: they are files of its own job, which nothing else reads before its end.
    pub fn of_caller(as_they_are: bool) -> Result<Streams> {
        if as_they_are {
            let passed = [
                duplicate(io::stdin().as_fd(), "standard input")?,
                duplicate(io::stdout().as_fd(), "standard output")?,
                duplicate(io::stderr().as_fd(), "standard error")?,
            ];
            return Ok(Streams { passed, relays: Relays::default() });
        }
        let (output, errors) = (io::stdout(), io::stderr());
        let mut relays = Relays::default();
        let output_file = regular_file(output.as_fd(), "standard output")?;
        let errors_file = regular_file(errors.as_fd(), "standard error")?;
        let passed_output = relays.replace(output.as_fd(), output_file, "standard output")?;
        // One pipe for both keeps the order of their lines.
        let passed_errors = if errors_file.is_some() && errors_file == output_file {
            duplicate(passed_output.as_fd(), "standard error")?
        } else {
            relays.replace(errors.as_fd(), errors_file, "standard error")?
        };
        Ok(Streams { passed: [input()?, passed_output, passed_errors], relays })
    }

    /// The descriptors.
    pub fn passed(&self) -> [BorrowedFd<'_>; 3] {
        self.passed.each_ref().map(OwnedFd::as_fd)
    }

    /// Closes this process's copies of the descriptors. Returns the threads that write the
    /// payload's output to regular files.
    pub fn into_relays(self) -> Relays {
        self.relays
    }
}

/// The threads that write a payload's output to regular files.
#[derive(Debug, Default)]
pub struct Relays(Vec<Relay>);

#[derive(Debug)]
struct Relay {
    stream: &'static str,
    /// Closed after the payload's end: what is in the pipe then is written, and no further process
    /// is waited for.
    payload_end: File,
    thread: JoinHandle<std::result::Result<(), Errno>>,
}

impl Relays {
    /// The descriptor that the payload gets for a stream: if the stream is a regular file, a pipe
    /// to a new thread.
    fn replace(
        &mut self,
        stream: BorrowedFd<'_>,
        regular_file: Option<(u64, u64)>,
        name: &'static str,
    ) -> Result<OwnedFd> {
        let to = duplicate(stream, name)?;
        if regular_file.is_none() {
            return Ok(to);
        }
        let (from, writer) = fd::pipe().at("make a pipe in place of", name)?;
        let (ended, payload_end) = fd::pipe().at("make a pipe in place of", name)?;
        let relay = move || relay(from, File::from(to), &ended);
        let thread = std::thread::Builder::new().spawn(relay).at("start a thread for", name)?;
        self.0.push(Relay { stream: name, payload_end, thread });
        Ok(writer.into())
    }

    /// Writes the rest of a payload's output after its end. Returns what could not be written.
    pub fn finish(self) -> Vec<Error> {
        let errors = self.0.into_iter().filter_map(|Relay { stream, payload_end, thread }| {
            drop(payload_end);
            let written = thread.join().unwrap_or(Err(Errno::EIO));
            written.at("write all of the payload's output to", stream).err()
        });
        errors.collect()
    }
}

/// Copies from a pipe to a file, until no process has the pipe's writing end, or writing fails:
/// then the payload gets SIGPIPE.
fn relay(mut from: File, mut to: File, ended: &File) -> std::result::Result<(), Errno> {
    let mut buffer = vec![0; BUFFER_SIZE];
    // How much more is written, once the payload has ended.
    let mut rest = None;
    loop {
        let until = rest.map(|_: usize| Instant::now());
        let (is_readable, has_ended) = match fd::poll_readable([from.as_fd(), ended.as_fd()], until)
        {
            Err(Errno::EINTR) => continue,
            ready => ready.map(|[from, ended]| (from, ended))?,
        };
        if has_ended && rest.is_none() {
            rest = Some(MAX_REST);
            continue;
        }
        if !is_readable || rest == Some(0) {
            return Ok(());
        }
        let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        match from.read(&mut buffer).map_err(errno)? {
            0 => return Ok(()),
            length => {
                to.write_all(&buffer[..length]).map_err(errno)?;
                rest = rest.map(|rest| rest.saturating_sub(length));
            }
        }
    }
}

/// The payload's standard input. While this process is in the background, terminal input is not for
/// its payload. A regular file that is open for writing is opened again, for reading only.
fn input() -> Result<OwnedFd> {
    const NAME: &str = "standard input";
    let input = io::stdin();
    if input.is_terminal() && !may_read_terminal() {
        return File::open("/dev/null").at("open", "/dev/null").map(OwnedFd::from);
    }
    let same = duplicate(input.as_fd(), NAME)?;
    if regular_file(input.as_fd(), NAME)?.is_none()
        || !fd::is_writable(&input).at("examine", NAME)?
    {
        return Ok(same);
    }
    let offset = File::from(same).stream_position().at("find the offset of", NAME)?;
    let mut read_only = File::open("/proc/self/fd/0").at("open again, for reading only,", NAME)?;
    read_only.seek(SeekFrom::Start(offset)).at("set the offset of", NAME)?;
    Ok(read_only.into())
}

/// The device and inode of a stream that is a regular file.
fn regular_file(stream: BorrowedFd<'_>, name: &str) -> Result<Option<(u64, u64)>> {
    let found = file::stat(&stream).at("examine", name)?;
    Ok((found.kind() == Kind::File).then(|| found.identity()))
}

fn duplicate(stream: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    stream.try_clone_to_owned().at("duplicate", name)
}

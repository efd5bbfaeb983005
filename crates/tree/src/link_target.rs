//! Opening the file that a symbolic link leads to, which may be anywhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use sys::{Dir, Kind, Name, OwnedName, Stat, file};

/// How long a file system has to answer. One whose server does not answer must not keep the rest
/// of the tree.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often the heartbeat is called meanwhile.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);

/// The result of opening the file behind a link.
pub(crate) enum Target {
    /// A regular file that can be read.
    File(File, Stat),
    /// Anything else, or nothing.
    Other,
    /// Its file system does not answer. The call is left to a thread that may never end.
    TimedOut,
}

/// Opens the regular file that the link `name` of an open directory leads to, and tries to read it.
/// `heartbeat` is called from time to time until its file system answers.
pub(crate) fn open(here: &Dir, name: Name<'_>, heartbeat: &mut dyn FnMut()) -> Target {
    let Ok(here) = here.try_clone() else { return Target::Other };
    let name = OwnedName::from(name);
    let (sender, answer) = mpsc::channel();
    let attempt = move || {
        let _ = sender.send(open_readable(&here, name.name()));
    };
    if std::thread::Builder::new().spawn(attempt).is_err() {
        return Target::Other;
    }
    let begun = Instant::now();
    loop {
        match answer.recv_timeout(HEARTBEAT_INTERVAL) {
            Ok(Some((file, stat))) => return Target::File(file, stat),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return Target::Other,
            Err(RecvTimeoutError::Timeout) if begun.elapsed() > TIMEOUT => return Target::TimedOut,
            Err(RecvTimeoutError::Timeout) => heartbeat(),
        }
    }
}

fn open_readable(here: &Dir, name: Name<'_>) -> Option<(File, Stat)> {
    let file = here.open_through(name).ok()?;
    let stat = file::stat(&file).ok().filter(|stat| stat.kind() == Kind::File)?;
    file.read_at(&mut [0], 0).ok()?;
    Some((file, stat))
}

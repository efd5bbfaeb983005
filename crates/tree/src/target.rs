//! The file that a link leads to, which may be anywhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use sys::{Dir, Kind, Name, OwnedName, Stat, file};

/// So long a file system has to answer. One whose server is gone would keep us for ever, with
/// whatever else the job has left.
const PATIENCE: Duration = Duration::from_secs(10);

/// So often the time is looked at meanwhile.
const MOMENT: Duration = Duration::from_millis(100);

/// What became of an attempt to open the file behind a link.
pub enum Target {
    /// It is a regular file that can be read.
    File(File, Stat),
    /// It is something else, or nothing.
    Other,
    /// Its file system does not answer. What was begun is left to a thread that may never end.
    Silent,
}

/// Opens the regular file that the link `name` of an open directory leads to, and sees whether it
/// can be read. `beat` is called now and then while its file system has not answered.
pub fn open(here: &Dir, name: Name<'_>, beat: &mut dyn FnMut()) -> Target {
    let Ok(here) = here.try_clone() else { return Target::Other };
    let name = OwnedName::from(name);
    let (sender, answer) = mpsc::channel();
    let attempt = move || {
        let _ = sender.send(readable(&here, name.name()));
    };
    if std::thread::Builder::new().spawn(attempt).is_err() {
        return Target::Other;
    }
    let begun = Instant::now();
    loop {
        match answer.recv_timeout(MOMENT) {
            Ok(Some((file, stat))) => return Target::File(file, stat),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return Target::Other,
            Err(RecvTimeoutError::Timeout) if begun.elapsed() > PATIENCE => return Target::Silent,
            Err(RecvTimeoutError::Timeout) => beat(),
        }
    }
}

fn readable(here: &Dir, name: Name<'_>) -> Option<(File, Stat)> {
    let file = here.open_through(name).ok()?;
    let stat = file::stat(&file).ok().filter(|stat| stat.kind() == Kind::File)?;
    file.read_at(&mut [0], 0).ok()?;
    Some((file, stat))
}

//! What a job, or another user, leaves running. The first argument names what it does, the others
//! are paths. It writes a line when it has started, and continues until its standard input ends.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

static ENDED: AtomicBool = AtomicBool::new(false);

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let what = arguments.next().unwrap().into_string().unwrap();
    let paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        ENDED.store(true, Ordering::Relaxed);
    });
    match what.as_str() {
        "holds a lease on a file" => lease(&paths[0]),
        "swaps a directory for a link" => each(|| swap(&paths[0], &paths[1])),
        "takes names" => each(|| paths.iter().for_each(|path| take(path))),
        "writes files" => {
            // It stays in the directory, whatever happens to its name.
            std::env::set_current_dir(&paths[0]).unwrap();
            each(write_on);
        }
        "moves directories" => each(|| move_around(&paths[0], &paths[1])),
        _ => panic!("unknown: {what:?}"),
    }
}

/// Repeats an action until the end.
fn each(mut action: impl FnMut()) {
    println!("begun");
    while !ENDED.load(Ordering::Relaxed) {
        action();
    }
}

/// A process that opens the file has to wait until this process gives up its lease, which it never
/// does.
fn lease(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    // SAFETY: plain numbers. The signal that announces a breach of the lease must not end this
    // process.
    let status = unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
    };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    each(|| std::thread::sleep(std::time::Duration::from_millis(10)));
}

/// For a moment there is a link to `target` in the place of the directory.
fn swap(directory: &Path, target: &Path) {
    let aside = directory.with_extension("aside");
    if fs::rename(directory, &aside).is_ok() {
        let _ = symlink(target, directory);
        std::thread::yield_now();
        let _ = fs::remove_file(directory);
        let _ = fs::rename(&aside, directory);
    }
}

/// Takes a name with a directory and with a link, and removes each of them again.
fn take(path: &Path) {
    if fs::create_dir(path).is_ok() {
        std::thread::yield_now();
        let _ = fs::remove_dir(path);
    }
    if symlink("/etc", path).is_ok() {
        std::thread::yield_now();
        let _ = fs::remove_file(path);
    }
}

/// Moves a directory into another one and back: what was below one is then below the other, and
/// `..` leads to another directory.
fn move_around(directory: &Path, other: &Path) {
    let inside = other.join("moved");
    let _ = fs::rename(directory, &inside);
    std::thread::yield_now();
    let _ = fs::rename(&inside, directory);
}

/// One file grows, and another one is replaced all the time.
fn write_on() {
    let _ = File::options()
        .append(true)
        .create(true)
        .open("log")
        .and_then(|mut log| log.write_all(b"another line\n"));
    let _ = fs::write("new", "content").and_then(|()| fs::rename("new", "last"));
}

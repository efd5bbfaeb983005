//! A file system that stops answering (FUSE, linux/fuse.h): it belongs to the job user and is
//! mounted as fusermount(1) does it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Account, Site, wait_until};

/// The mount: it contains a file `file`. After a process has looked up `silence` in it, the file
/// system answers nothing more. On drop, all processes that wait for it continue.
pub struct Hanging {
    pub path: PathBuf,
    server: Option<JoinHandle<()>>,
    _device: Arc<File>,
}

impl Hanging {
    pub fn new(site: &Site) -> Hanging {
        let path = site.path().join("hanging");
        fs::create_dir_all(&path).unwrap();
        Hanging::over(&path)
    }

    /// Mounts it over a directory.
    pub fn over(path: &Path) -> Hanging {
        Hanging::with(path, "")
    }

    /// The same, open to other users (allow_other).
    pub fn over_for_all(path: &Path) -> Hanging {
        Hanging::with(path, ",allow_other")
    }

    fn with(path: &Path, more: &str) -> Hanging {
        let path = path.to_path_buf();
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = Arc::new(
            device.expect("FUSE is needed: modprobe fuse, or give this machine /dev/fuse"),
        );
        let job = Account::job();
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={}{more}",
            device.as_raw_fd(),
            job.uid,
            job.gid
        );
        let [target, options] = [path.as_os_str().as_bytes(), options.as_bytes()]
            .map(|bytes| CString::new(bytes).unwrap());
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        // SAFETY: all four are C strings, which outlive the call.
        let status = unsafe {
            libc::mount(
                c"gh-test".as_ptr(),
                target.as_ptr(),
                c"fuse".as_ptr(),
                flags,
                options.as_ptr().cast(),
            )
        };
        assert_eq!(status, 0, "FUSE cannot be mounted: {}", std::io::Error::last_os_error());
        let served = device.clone();
        let server = std::thread::spawn(move || serve(&served));
        Hanging { path, server: Some(server), _device: device }
    }

    /// Makes it answer nothing more.
    pub fn silence(&self) {
        // test(1) makes one request; a second request would wait.
        let output = Account::job()
            .command("/usr/bin/test")
            .arg("-e")
            .arg(self.path.join("silence"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        wait_until("the file system has stopped answering", || {
            self.server.as_ref().unwrap().is_finished()
        });
    }

    /// Fails unless it has stopped answering.
    pub fn is_silent(&self) {
        assert!(
            self.server.as_ref().unwrap().is_finished(),
            "no process has asked the mount to stop answering"
        );
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let target = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a C string, which outlives the call. MNT_FORCE ends the connection, and with it
        // all waiting.
        let status = unsafe { libc::umount2(target.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
        assert_eq!(status, 0, "{} can't be unmounted", self.path.display());
        // If the server still waits for a request, the panic of a test takes precedence.
        if !std::thread::panicking() {
            self.server.take().unwrap().join().unwrap();
        }
    }
}

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// Answers until it is asked for silence. The device stays open after that: closing it would end
/// all waiting.
fn serve(device: &File) {
    let mut request = vec![0; 1 << 18];
    let mut device = device;
    while let Ok(40..) = device.read(&mut request) {
        let number = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap());
        let (kind, unique, node) = (number(0) >> 32, number(8), number(16));
        let name = request[40..].split(|byte| *byte == 0).next().unwrap();
        let answer = match kind {
            26 => Ok(init_answer()),
            1 if name == b"file" => Ok([numbers(&[2, 0, 3600, 3600, 0]), attributes(2)].concat()),
            1 => Err(ENOENT),
            3 => Ok([numbers(&[3600, 0]), attributes(node)].concat()),
            14 => Ok(numbers(&[1, 0])),
            // FORGET, INTERRUPT and BATCH_FORGET get no answer.
            2 | 36 | 42 => continue,
            _ => Err(ENOSYS),
        };
        let (error, content) = match &answer {
            Ok(content) => (0, &content[..]),
            Err(number) => (-number, &[][..]),
        };
        let silence = kind == 1 && name == b"silence";
        let mut bytes = u32::try_from(16 + content.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(error.to_le_bytes());
        bytes.extend(unique.to_le_bytes());
        bytes.extend(content);
        device.write_all(&bytes).unwrap();
        if silence {
            return;
        }
    }
}

fn numbers(all: &[u64]) -> Vec<u8> {
    all.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Version 7.31, with a cache of written data (FUSE_WRITEBACK_CACHE), which has to be written
/// before a file is closed.
fn init_answer() -> Vec<u8> {
    let words: [u32; 16] = [7, 31, 0, 1 << 16, 0, 1 << 17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The attributes of the root (node 1) or of the file.
fn attributes(node: u64) -> Vec<u8> {
    let job = Account::job();
    let mode = if node == 1 { 0o040_755 } else { 0o100_644 };
    let words: [u32; 10] = [0, 0, 0, mode, 1, job.uid, job.gid, 0, 4096, 0];
    let mut bytes = numbers(&[node, 0, 0, 0, 0, 0]);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

//! Where a file is, independent of mount namespaces (proc_pid_mountinfo(5)).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Errno, Result, fd};

/// The place of a file, which need not exist: its file system, and the path from the root of that.
/// It is the same in every mount namespace of this machine. `path` is absolute, without symbolic
/// links.
pub fn place_of(path: &Path) -> Result<Vec<u8>> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for ancestor in path.ancestors() {
        // The nearest directory that exists is on the same mount.
        let opened = match nix::fcntl::open(ancestor, flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            opened => opened?,
        };
        let mount = fd::mount_id(&opened).ok_or(Errno::ENOSYS)?;
        // Another file system may later have the number of this one's device.
        let id = nix::sys::statvfs::fstatvfs(&opened)?.filesystem_id() as u64;
        let (low, high) = (id & 0xffff_ffff, id >> 32);
        let place = find(mount, path).map_err(|error| super::errno(&error))?;
        let place = place.ok_or(Errno::ENOENT)?;
        return Ok([format!("{low:x}:{high:x} ").as_bytes(), &place].concat());
    }
    Err(Errno::ENOENT)
}

/// The device and the path of a file on a mount. The list is read up to that mount: the kernel
/// makes its lines while it is read, and a machine can have thousands.
fn find(mount: u64, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    for line in BufReader::new(File::open("/proc/self/mountinfo")?).split(b'\n') {
        if let Some(place) = place(&line?, mount, path) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// The device and the path from the root of its file system, if the line is that of this mount.
fn place(line: &[u8], mount: u64, path: &Path) -> Option<Vec<u8>> {
    let mut words = line.split(|byte| *byte == b' ');
    let number: u64 = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let (device, root, point) = (words.nth(1)?, unescaped(words.next()?), unescaped(words.next()?));
    let below = path.strip_prefix(OsStr::from_bytes(&point)).ok().filter(|_| number == mount)?;
    // A mounted directory that was deleted has no path.
    if root.ends_with(b"//deleted") {
        return None;
    }
    let whole = Path::new(OsStr::from_bytes(&root)).join(below);
    let whole = whole.as_os_str().as_bytes();
    // The path is the mount point itself: a file can be one.
    let whole = if below.as_os_str().is_empty() { &root } else { whole };
    Some([device, b" ", whole].concat())
}

/// The kernel writes blanks, newlines and backslashes as `\\` and three octal digits.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((first, more)) = rest.split_first() {
        let digits = more
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &more[3..] } else { more };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_device_and_the_path_from_the_root_of_its_file_system() {
        let line =
            br"36 35 98:0 /mnt\0401 /mnt/my\040parent rw,noatime master:1 - ext3 /dev/root rw";
        let at = |path: &str| place(line, 36, Path::new(path));
        assert_eq!(at("/mnt/my parent/a b").unwrap_or_default(), b"98:0 /mnt 1/a b");
        assert_eq!((at("/mnt/my"), place(line, 35, Path::new("/mnt/my parent/a"))), (None, None));
        assert_eq!(at("/mnt/my parent").unwrap_or_default(), b"98:0 /mnt 1");
        let deleted = br"36 35 98:0 /a//deleted /mnt rw - ext3 /dev/root rw";
        assert_eq!(place(deleted, 36, Path::new("/mnt/a")), None);
        let root = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw";
        assert_eq!(place(root, 1, Path::new("/a/b")).unwrap_or_default(), b"8:1 /a/b");
    }
}

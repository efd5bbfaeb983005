//! File systems that are made for one run and mounted over the site's directory of sandboxes.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::calls::run;
use super::support::Site;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Tmpfs,
}

impl FileSystem {
    pub const ALL: [FileSystem; 3] = [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Tmpfs];

    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Tmpfs => "tmpfs",
        }
    }

    /// The command that makes it in an image. It discards nothing, because that would free the
    /// blocks that were written to the image, and leaves no initialization to the kernel.
    fn make(self) -> Option<&'static [&'static str]> {
        match self {
            FileSystem::Ext4 => {
                Some(&["mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"])
            }
            FileSystem::Xfs => Some(&["mkfs.xfs", "-q", "-K", "-m", "reflink=1"]),
            FileSystem::Tmpfs => None,
        }
    }
}

/// A mounted file system; unmounted at the end.
pub struct Mounted {
    point: PathBuf,
}

impl Mounted {
    pub fn new(file_system: FileSystem, site: &Site, small: bool) -> Mounted {
        // mkfs.xfs needs 300 MiB; the largest tree exists twice for a time.
        let megabytes = if small { 320 } else { 6 << 10 };
        let point = site.execute();
        match file_system.make() {
            Some(make) => mount_image(make, megabytes, &site.path().join("image"), &point),
            None => run(Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
                .arg(&point)),
        }
        let mounted = Mounted { point };
        fs::set_permissions(&mounted.point, Permissions::from_mode(0o1777)).unwrap();
        mounted
    }

    /// Its line in the table of mounts.
    pub fn facts(&self) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let point = self.point.to_str().expect("the path is UTF-8");
        mounts.lines().find(|line| line.contains(point)).expect("it is mounted").to_owned()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, so that a process that was left in there does not prevent it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.point).status();
    }
}

/// The image is written to its end. In a file that is only reserved, the first write to each block
/// is extra work for the file system below, which would count for one of the sides. Once mounted,
/// the image loses its name, so that it is deleted with the mount, however this run ends.
fn mount_image(make: &[&str], megabytes: usize, image: &Path, point: &Path) {
    let mut written = File::create(image).unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..megabytes {
        written.write_all(&piece).unwrap();
    }
    drop(written);
    run(Command::new(make[0]).args(&make[1..]).arg(image));
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(point));
    fs::remove_file(image).unwrap();
}

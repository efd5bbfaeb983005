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
    fn make(self, room: Room) -> Option<Command> {
        let mut make = Command::new(match self {
            FileSystem::Ext4 => "mkfs.ext4",
            FileSystem::Xfs => "mkfs.xfs",
            FileSystem::Tmpfs => return None,
        });
        if self == FileSystem::Ext4 {
            make.args(["-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", "-N"]);
            make.arg(room.inodes.to_string());
        } else {
            make.args(["-q", "-K", "-m", "reflink=1"]);
        }
        Some(make)
    }
}

/// How much a file system has to hold.
#[derive(Clone, Copy)]
pub struct Room {
    pub megabytes: usize,
    pub inodes: usize,
}

impl Room {
    /// For the trees of the bench: the largest one exists twice for a time. The number of inodes is
    /// the one that mkfs.ext4 would choose.
    pub fn for_trees(small: bool) -> Room {
        // mkfs.xfs needs 300 MiB.
        let (megabytes, bytes_for_each) = if small { (320, 4 << 10) } else { (6 << 10, 16 << 10) };
        Room { megabytes, inodes: (megabytes << 20) / bytes_for_each }
    }
}

/// A mounted file system; unmounted at the end.
pub struct Mounted {
    point: PathBuf,
}

impl Mounted {
    pub fn new(file_system: FileSystem, site: &Site, room: Room) -> Mounted {
        let point = site.execute();
        match file_system.make(room) {
            Some(mut make) => {
                mount_image(&mut make, room.megabytes, &site.path().join("image"), &point)
            }
            None => {
                let options = format!("size={}m,nr_inodes={}", room.megabytes, room.inodes);
                run(Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
                    .arg(&point));
            }
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
fn mount_image(make: &mut Command, megabytes: usize, image: &Path, point: &Path) {
    let mut written = File::create(image).unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..megabytes {
        written.write_all(&piece).unwrap();
    }
    drop(written);
    run(make.arg(image));
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(point));
    fs::remove_file(image).unwrap();
}

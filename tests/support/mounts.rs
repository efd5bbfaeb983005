//! File systems that are mounted for one test.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Site;
use super::handover::{run, set_mode, text};

/// The mounts below a directory. They are unmounted on drop, also if a helper has moved them.
pub struct Mounts(PathBuf);

impl Mounts {
    pub fn below(directory: &Path) -> Mounts {
        Mounts(directory.to_path_buf())
    }

    pub fn add(&self, arguments: &[impl AsRef<OsStr>], at: &Path) {
        run(
            "mount",
            &arguments.iter().map(AsRef::as_ref).chain([at.as_os_str()]).collect::<Vec<_>>(),
        );
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for line in text("/proc/self/mounts").lines() {
            let at = Path::new(line.split(' ').nth(1).unwrap());
            if at.starts_with(&self.0) {
                Command::new("umount").arg("--lazy").arg(at).status().unwrap();
            }
        }
    }
}

/// Mounts tmpfs(5) with these options for the sandboxes of a site. ext4 needs seconds for a deep
/// tree if another tree was removed just before; and to unmount tmpfs, no path to the depths of a
/// tree is necessary.
pub fn in_memory(site: &Site, options: &str) -> Mounts {
    let mounts = Mounts::below(site.path());
    mounts.add(&["-t", "tmpfs", "-o", &format!("mode=1777,{options}"), "none"], &site.execute());
    mounts
}

/// Mounts a new file system of this kind and size, from a file, for the sandboxes of a site.
pub fn on_image(site: &Site, kind: &str, megabytes: u64) -> Mounts {
    let image = site.path().join("image");
    File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
    run("mkfs", &["-t".as_ref(), kind.as_ref(), "-q".as_ref(), image.as_os_str()]);
    let mounts = Mounts::below(site.path());
    mounts.add(&["-o".as_ref(), "loop".as_ref(), image.as_os_str()], &site.execute());
    set_mode(site.execute(), 0o1777);
    mounts
}

//! File systems that are there for one test.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Site;
use super::handover::{run, set_mode, text};

/// What is mounted below a directory until this is dropped, wherever a helper has moved it
/// meanwhile.
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

/// Puts the sandboxes of a site into memory, with these options of tmpfs(5): ext4 takes seconds for
/// a deep tree where another was removed just now, and what unmounts it needs no path to its
/// depths.
pub fn in_memory(site: &Site, options: &str) -> Mounts {
    let mounts = Mounts::below(site.path());
    mounts.add(&["-t", "tmpfs", "-o", &format!("mode=1777,{options}"), "none"], &site.execute());
    mounts
}

/// Puts the sandboxes of a site on a new file system of this kind and size, in a file.
pub fn on_image(site: &Site, kind: &str, megabytes: u64) -> Mounts {
    let image = site.path().join("image");
    File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
    run("mkfs", &["-t".as_ref(), kind.as_ref(), "-q".as_ref(), image.as_os_str()]);
    let mounts = Mounts::below(site.path());
    mounts.add(&["-o".as_ref(), "loop".as_ref(), image.as_os_str()], &site.execute());
    set_mode(site.execute(), 0o1777);
    mounts
}

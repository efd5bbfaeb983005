//! A separate root directory for a test: this machine's files, and above them a layer in memory
//! that takes every change. Of this machine's accounts it has the tests' accounts and those that
//! every Debian has, so a test can create an account with any other name.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::snapshot::{Snapshot, snapshot};

/// No process outside sees what is done in it. It is removed on drop, and all its processes are
/// killed.
pub struct CleanRoot {
    /// A process in the mount namespace; its child is the first process of the pid namespace.
    holder: Child,
    place: PathBuf,
    /// It is removed on drop.
    directory: Option<TempDir>,
}

/// $0 is the directory, $1 that of a root that is below this one, or empty. The layer is in memory
/// because an overlay's layers must not contain each other.
const MOUNT: &str = r#"
    mount -t tmpfs -o mode=755 tmpfs "$0"
    cd "$0"
    mkdir layer work root home
    mount -t overlay -o "lowerdir=${1:+$1/layer:}/,upperdir=$0/layer,workdir=$0/work" overlay root
    mount -t proc proc root/proc
    mount --rbind /dev root/dev
    mount --rbind /sys root/sys
    mount -t tmpfs -o mode=1777 tmpfs root/tmp
    mount --bind home root/home
    if [ "$1" ]; then
        cp -a "$1/home/." home
        echo ready
        exec cat
    fi
    for file in passwd:passwd passwd:shadow group:group group:gshadow; do
        awk -F : 'NR == FNR { known[$1]; next } $1 in known || $1 ~ /^gh-/' \
            "/usr/share/base-passwd/${file%:*}.master" "/etc/${file#*:}" >"root/etc/${file#*:}"
    done
    for file in subuid subgid; do awk -F : '$1 ~ /^gh-/' "/etc/$file" >"root/etc/$file"; done
    # It names accounts that do not exist here, which is an error for dpkg.
    : >root/var/lib/dpkg/statoverride
    # A batch system that is installed here, and what the guides have made.
    rm -rf root/var/lib/condor root/etc/condor
    rm -rf root/etc/glexec-sudo.map root/etc/sudoers.d/glexec-sudo
    echo ready
    exec cat
"#;

/// $0 is the directory; the command follows. Not chroot: a process after chroot(2) may not create
/// user namespaces.
const ENTER: &str = r#"cd "$0/root"; pivot_root . mnt; cd /; umount -l /mnt; exec "$@""#;

impl CleanRoot {
    pub fn new() -> CleanRoot {
        CleanRoot::in_directory(Command::new("unshare"), "".as_ref())
    }

    /// A root that others are above, in which only `prepare` changes something. It exists until
    /// this process ends.
    pub fn base(prepare: impl Fn(&CleanRoot)) -> CleanRoot {
        // Not removed: in other mount namespaces it stays empty.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("base");
        fs::create_dir_all(&place).unwrap();
        let base = CleanRoot::mounted(Command::new("unshare"), &place, "".as_ref());
        prepare(&base);
        let mut unmount = base.enter();
        unmount.args(["umount", "--recursive", "--lazy"]).arg(place.join("root"));
        assert!(unmount.status().unwrap().success());
        base
    }

    /// A root above a base.
    pub fn above(base: &CleanRoot) -> CleanRoot {
        let mut enter = base.enter();
        enter.arg("unshare");
        CleanRoot::in_directory(enter, &base.place)
    }

    /// In a new directory, by a command that executes unshare(1).
    fn in_directory(unshare: Command, below: &Path) -> CleanRoot {
        let mut builder = tempfile::Builder::new();
        let directory = builder.prefix("gh-test-").tempdir_in("/var/tmp").expect("a directory");
        let mut root = CleanRoot::mounted(unshare, directory.path(), below);
        root.directory = Some(directory);
        root
    }

    fn mounted(mut unshare: Command, place: &Path, below: &Path) -> CleanRoot {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test mounts file systems: run it as root (scripts/test)"
        );
        let place = place.to_owned();
        unshare
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", MOUNT])
            .arg(&place)
            .arg(below);
        let mut holder = unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line, "ready\n",
            "the overlay file system cannot be mounted: see the message of mount"
        );
        CleanRoot { holder, place, directory: None }
    }

    /// A command that executes its arguments, in the mount namespace.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command
    }

    /// A command that runs in it as root, with few variables in its environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let namespaces = format!("/proc/{}/ns", self.holder.id());
        let mut command = Command::new("nsenter");
        command.args([
            format!("--mount={namespaces}/mnt"),
            format!("--pid={namespaces}/pid_for_children"),
        ]);
        command.args(["unshare", "--mount", "sh", "-euc", ENTER]).arg(&self.place).args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// The path on the host of a path of this root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.inside("root").join(path.trim_start_matches('/'))
    }

    /// The differences to this machine's root, without /tmp and without times. A removed file is a
    /// device.
    pub fn changes(&self) -> Snapshot {
        let mut all = snapshot(&self.inside("layer"));
        // A directory in which only something further down changed is in the layer, too.
        all.retain(|path, entry| {
            let below = fs::symlink_metadata(Path::new("/").join(path));
            let is_as_below = |found: fs::Metadata| {
                found.is_dir() && found.permissions().mode() & 0o7777 == entry.mode
            };
            entry.modified = (0, 0);
            entry.kind != "directory" || !below.is_ok_and(is_as_below)
        });
        all
    }

    fn inside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.place.strip_prefix("/").unwrap()).join(name)
    }
}

impl Drop for CleanRoot {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

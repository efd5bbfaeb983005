//! A machine of a test's own: this one's files with what the test changes in them, and no process but its own. What is installed or
//! created there leaves nothing here.

use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};

use super::handover::text;
use super::{program, said};

/// The root of the machine is put together in memory, and becomes the root of all that runs there. The first process lives as long as
/// its input; it is bash, which reaps whoever is left to it.
const FIRST: &str = r#"
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o size=4g,mode=755 machine /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work machine /mnt/root
cd /mnt/root
mount --rbind /dev dev
mount --rbind /sys sys
mount -t proc proc proc
for place in run tmp var/tmp dev/shm; do mount -t tmpfs -o mode=1777 machine $place; done
chmod 755 run
mkdir -m 755 run/programs run/source
mount --bind "$1" run/programs
mount --bind "$2" run/source
mkdir old
pivot_root . old
umount -l /old
rmdir /old
cd /
echo ready
while read -r _; do :; done
"#;

/// What is ready on it: an account of a batch system; an ordinary account, as a system's `adduser` makes them, with subordinate ids and a
/// home that is closed to others; the source, in the home of each; and cargo, played by a script, since the programs have been built.
const FURNISH: &str = r#"
set -eu
useradd --create-home --shell /bin/bash pilot
useradd --system --create-home --home-dir /var/lib/condor --shell /bin/bash condor
cat >/usr/local/bin/cargo <<'CARGO'
#!/bin/sh
# Plays cargo: the programs have been built already.
set -eu
[ "$1" = build ] || { echo "cargo $1: only its build is played" >&2; exit 1; }
top=$PWD
while [ $# -gt 0 ]; do
    case $1 in --manifest-path) top=$(dirname "$2") ;; esac
    shift
done
release=${CARGO_TARGET_DIR:-$top/target}/release
mkdir -p "$release/examples"
cp /run/built/condor_glexec_* /run/built/glexec "$release"
cp /run/built/examples/* "$release/examples"
CARGO
chmod 755 /usr/local/bin/cargo
for home in /root /home/pilot /var/lib/condor; do
    mkdir "$home/glexec-helpers"
    find /run/source -mindepth 1 -maxdepth 1 ! -name target ! -name '.git' -exec cp -a {} "$home/glexec-helpers" ';'
    user=$(stat -c %U "$home")
    (cd "$home/glexec-helpers" && git init -q && git -c user.name=test -c user.email=test@localhost commit -q --allow-empty -m source)
    chown -R "$user:$(id -gn "$user")" "$home/glexec-helpers"
done
# As cargo leaves them for a release: without symbols, and readable.
mkdir -p /run/built/examples
cd /run/programs
for program in condor_glexec_* glexec examples/*; do
    case $program in
    *.d | examples/*-*) ;;
    *) strip -o "/run/built/$program" "$program" && chmod 755 "/run/built/$program" ;;
    esac
done
mkdir -p /usr/lib/condor/libexec /etc/condor/config.d
# A login shell of root's would find the real cargo; an ordinary user's home may be closed.
rm -f /root/.profile /root/.bash_profile /root/.bashrc
chmod 700 /home/pilot
chmod 755 /var/lib/condor
"#;

/// It ends, with all that runs there, when this is dropped.
pub struct Machine {
    outside: Child,
    first: String,
}

impl Machine {
    pub fn new() -> Machine {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes a machine of its own: run it as root (scripts/test)"
        );
        let programs = program("glexec").parent().unwrap().to_owned();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"]);
        command.args(["/bin/bash", "-c", FIRST, "machine"]).arg(programs).arg(env!("CARGO_MANIFEST_DIR"));
        let mut outside = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let is_ready = outside.stdout.take().unwrap().read_exact(&mut [0; 6]).is_ok();
        assert!(
            is_ready,
            "this test makes a machine of its own, of namespaces, tmpfs and overlayfs: see above what is missing"
        );
        let pid = outside.id();
        let first = text(format!("/proc/{pid}/task/{pid}/children")).trim().to_owned();
        let machine = Machine { outside, first };
        let furnished = machine.script("root", FURNISH);
        assert!(furnished.status.success(), "{}", said(&furnished));
        machine
    }

    /// What a script for bash does there, as somebody in their home, within two minutes.
    pub fn script(&self, user: &str, script: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--ipc", "--", "runuser", "--login", user, "-c"]);
        command.arg("exec timeout --kill-after 5 120 bash -c \"$0\"").arg(script);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.outside.stdin.take());
        self.outside.wait().unwrap();
    }
}

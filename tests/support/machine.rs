//! A separate machine for a test, on which users type commands at a terminal: a clean root with
//! accounts, the source, and what builds it.

use std::process::{Command, Output};
use std::sync::OnceLock;

use super::clean_root::CleanRoot;
use super::installation::stripped;
use super::messages;

/// Prepares the machine: an account of a batch system; an ordinary account with subordinate ids and
/// a home directory that is closed to others, which is the default on some systems; the source, in
/// the home directory of each; the directories of HTCondor's package; and a script in the place of
/// cargo, because the programs are already built.
const PREPARE: &str = r#"
set -eu
useradd --create-home --shell /bin/bash pilot
useradd --system --create-home --home-dir /var/lib/condor --shell /bin/bash condor
cat >/usr/local/bin/cargo <<'CARGO'
#!/bin/sh
# In the place of cargo: the programs are already built.
set -eu
[ "$1" = build ] || { echo "cargo $1: this script has only build" >&2; exit 1; }
top=$PWD
while [ $# -gt 0 ]; do
    case $1 in --manifest-path) top=$(dirname "$2") ;; esac
    shift
done
release=${CARGO_TARGET_DIR:-$top/target}/release
mkdir -p "$release"
cp -R /run/built/. "$release"
CARGO
chmod 755 /usr/local/bin/cargo
mkdir -p /usr/lib/condor/libexec /etc/condor/config.d
chmod -R a+rX /run/built
for home in /root /home/pilot /var/lib/condor; do
    cp -a /run/source "$home/glexec-helpers"
    (cd "$home/glexec-helpers" && git init -q &&
        git -c user.name=test -c user.email=test@localhost commit -q --allow-empty -m source)
    user=$(stat -c %U "$home")
    chown -R "$user:$(id -gn "$user")" "$home/glexec-helpers"
done
# A package of these programs is large: it is not compressed.
echo 'export DPKG_DEB_COMPRESSOR_TYPE=none' >/etc/profile.d/package.sh
# With these files, a login shell of root would find the real cargo.
rm -f /root/.profile /root/.bash_profile /root/.bashrc
chmod 700 /home/pilot
chmod 755 /var/lib/condor
"#;

/// It is removed on drop, with all its processes.
pub struct Machine(CleanRoot);

impl Machine {
    pub fn new() -> Machine {
        Machine::after("true")
    }

    /// A machine on which root has run this script. That is done once for all machines of a file of
    /// tests, which share it.
    pub fn after(script: &'static str) -> Machine {
        static BASE: OnceLock<(CleanRoot, &str)> = OnceLock::new();
        let (base, of_base) =
            BASE.get_or_init(|| (CleanRoot::base(|root| Machine::prepare(root, script)), script));
        assert_eq!(*of_base, script);
        Machine(CleanRoot::above(base))
    }

    fn prepare(root: &CleanRoot, script: &str) {
        for (what, place) in
            [(stripped(), "/run/built"), (env!("CARGO_MANIFEST_DIR"), "/run/source")]
        {
            // Copied from this machine, because the source can be on any file system; without the
            // directory of builds and without the history.
            let mut tar = Command::new("/bin/bash");
            let script = "set -e -o pipefail; mkdir -p \"$1\"; cd \"$0\"
                tar -c --exclude=./target --exclude=./.git . | tar -x --no-same-owner -C \"$1\"";
            let output = tar.args(["-c", script, what]).arg(root.path(place)).output().unwrap();
            assert!(output.status.success(), "{}", messages(&output));
        }
        for script in [PREPARE, script] {
            let filled = typed(root, "root", script);
            assert!(filled.status.success(), "{}", messages(&filled));
        }
    }

    /// Runs a script for bash there as a user in that user's home directory, for at most two
    /// minutes.
    pub fn script(&self, user: &str, script: &str) -> Output {
        typed(&self.0, user, script)
    }
}

fn typed(root: &CleanRoot, user: &str, script: &str) -> Output {
    let within = "exec timeout --kill-after 5 120 bash -c \"$0\"";
    root.command(&["runuser", "--login", user, "-c", within, script]).output().unwrap()
}

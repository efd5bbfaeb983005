//! A machine of a test's own, on which somebody types at a terminal: a clean root with accounts,
//! the source and what builds it.

use std::process::{Command, Output};

use super::clean_root::CleanRoot;
use super::installation::stripped;
use super::messages;

/// What is ready on it: an account of a batch system; an ordinary account with subordinate ids and
/// a home that is closed to others, as some systems make them; the source, in the home of each;
/// what HTCondor's own package makes; and cargo, played by a script, since the programs have been
/// built.
const PREPARE: &str = r#"
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
mkdir -p "$release"
cp -R /run/built/. "$release"
CARGO
chmod 755 /usr/local/bin/cargo
mkdir -p /usr/lib/condor/libexec /etc/condor/config.d
chmod -R a+rX /run/built
for home in /root /home/pilot /var/lib/condor; do
    cp -a /run/source "$home/glexec-helpers"
    (cd "$home/glexec-helpers" && git init -q && git -c user.name=test -c user.email=test@localhost commit -q --allow-empty -m source)
    user=$(stat -c %U "$home")
    chown -R "$user:$(id -gn "$user")" "$home/glexec-helpers"
done
# A login shell of root's would find the real cargo.
rm -f /root/.profile /root/.bash_profile /root/.bashrc
chmod 700 /home/pilot
chmod 755 /var/lib/condor
"#;

/// It is gone, with all that runs there, when this is dropped.
pub struct Machine(CleanRoot);

impl Machine {
    pub fn new() -> Machine {
        let machine = Machine(CleanRoot::new());
        for (what, place) in
            [(stripped(), "/run/built"), (env!("CARGO_MANIFEST_DIR"), "/run/source")]
        {
            // From here, whatever file systems these are on; the source without what was built, and
            // without its history.
            let mut tar = Command::new("/bin/bash");
            let script = "set -e -o pipefail; mkdir -p \"$1\"; cd \"$0\"
                tar -c --exclude=./target --exclude=./.git . | tar -x --no-same-owner -C \"$1\"";
            let output =
                tar.args(["-c", script, what]).arg(machine.0.path(place)).output().unwrap();
            assert!(output.status.success(), "{}", messages(&output));
        }
        let filled = machine.script("root", PREPARE);
        assert!(filled.status.success(), "{}", messages(&filled));
        machine
    }

    /// What a script for bash does there, as somebody in their home, within two minutes.
    pub fn script(&self, user: &str, script: &str) -> Output {
        let within = "exec timeout --kill-after 5 120 bash -c \"$0\"";
        self.0.command(&["runuser", "--login", user, "-c", within, script]).output().unwrap()
    }
}

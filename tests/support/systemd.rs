//! A machine that a real systemd has booted, in which the tests of one file run, one after the
//! other: `ci/debian-systemd`. From outside each test asks for its result.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use super::installation::stripped;
use super::prefix::SOURCE;
use super::{messages, write};

/// Set where the tests run on that machine: the directory of the programs.
const INSIDE: &str = "GH_TEST_SYSTEMD";

/// The user that the daemon serves there.
const CLIENT: &str = "pilot";

/// How many guest accounts there are: guest01 and so on.
pub const GUESTS: usize = 50;

/// What an administrator does before the machine is started.
const PREPARED: &str = "scripts/install --glexecd --prefix /usr --programs \"$PROGRAMS\" >/dev/null
    useradd --create-home pilot
    glexec_accounts add --pool guest --count 50
    glexec_accounts allow pilot
    systemctl enable --quiet glexecd.socket";

/// Runs a test, which has this name, on the machine. The first test boots it, and runs all of the
/// file there.
pub fn on_machine(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    static OUTPUT: OnceLock<String> = OnceLock::new();
    let output = OUTPUT.get_or_init(boot);
    let passed = format!("test {name} ... ok\n");
    assert!(output.contains(&passed), "{output}");
}

/// What the tests of the file say that run on the machine.
fn boot() -> String {
    let test = std::env::current_exe().unwrap();
    let programs = stripped();
    let mut command = Command::new(format!("{SOURCE}/ci/debian-systemd"));
    for directory in [SOURCE.as_ref(), test.parent().unwrap(), Path::new(programs)] {
        command.arg("--bind").arg(directory);
    }
    command.arg("--before").arg(format!("PROGRAMS={programs}; {PREPARED}"));
    command.arg("env").arg(format!("{INSIDE}={programs}")).arg(&test);
    command.args(["--test-threads=1", "--include-ignored"]).current_dir(SOURCE);
    let output = command.stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), messages(&output))
}

/// The directory of the programs that are installed.
pub fn programs() -> PathBuf {
    PathBuf::from(std::env::var_os(INSIDE).expect("it is on the machine"))
}

/// What a command of root's prints; it must succeed.
pub fn root(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", messages(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A property of a unit.
pub fn property(unit: &str, name: &str) -> String {
    root(&["systemctl", "show", "--value", "--property", name, unit])
}

/// A credential of the client's, of its own.
pub fn credential(name: &str) -> PathBuf {
    let path = Path::new("/home").join(CLIENT).join(name);
    write(&path, "a token\n", 0o600);
    let account = fs::metadata(path.parent().unwrap()).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    std::os::unix::fs::chown(&path, Some(account.uid()), Some(account.gid())).unwrap();
    path
}

/// A program as the client, with the groups that it has.
pub fn client(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", CLIENT, "--regid", CLIENT, "--init-groups", "--"]).arg(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// A payload of this shell script, for a credential.
pub fn payload(credential: &Path, script: &str) -> Command {
    let mut command = client("glexec");
    command.args(["/bin/sh", "-c", script]);
    command.env("GLEXEC_CLIENT_CERT", credential).current_dir("/");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a payload prints, which must succeed.
pub fn says(credential: &Path, script: &str) -> String {
    said(&payload(credential, script).output().unwrap())
}

/// What a command has printed, which must have succeeded.
pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status, messages(output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A directory in which every account can make files.
pub fn open_directory(name: &str) -> PathBuf {
    let path = Path::new("/var/tmp").join(name);
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
    path
}

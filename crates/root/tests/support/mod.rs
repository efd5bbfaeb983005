//! A machine of its own for each test: a private mount namespace with another /etc.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Set where the test runs on the machine of its own.
const INSIDE: &str = "GH_ROOT_TEST_INSIDE";

/// How many accounts the pool has.
pub const POOL: usize = 20;

/// The user id of the caller.
pub const CALLER: u32 = 2000;

/// Runs the rest of a test, which has this name, on a machine of its own: /etc has nothing but the
/// accounts root, nobody, caller, other, glexec, alice, low and pool01 to pool20, and an empty
/// gridmapdir; /mnt is empty and belongs to the caller. Needs root.
pub fn on_machine(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        fill();
        return test();
    }
    let script = "mount -t tmpfs -o mode=0755 etc /etc && mount -t tmpfs -o mode=0755 mnt /mnt && \
                  exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["--propagation", "private", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is needed: run ci/provision as root");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "these tests need root: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn fill() {
    let mut passwd = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n\
        caller:x:2000:2000::/home/caller:/bin/sh\nother:x:2001:2001::/:\n\
        glexec:x:2002:2002::/:\nalice:x:4000:4000::/home/alice:/bin/bash\nlow:x:500:500::/:\n"
        .to_owned();
    let mut group = "root:x:0:\nvo:x:5000:alice,pool01,pool02\n".to_owned();
    for (number, name) in pool().iter().enumerate() {
        let id = 3001 + number;
        passwd += &format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n");
        group += &format!("{name}:x:{id}:\n");
    }
    write("/etc/passwd", &passwd);
    write("/etc/group", &group);
    write("/etc/nsswitch.conf", "passwd: files\ngroup: files\ninitgroups: files\n");
    fs::create_dir_all(GRIDMAPDIR).unwrap();
    for name in pool() {
        write(&format!("{GRIDMAPDIR}/{name}"), "");
    }
    chown("/mnt", Some(CALLER), Some(CALLER)).unwrap();
}

pub const GRIDMAPDIR: &str = "/etc/grid-security/gridmapdir";
pub const GRID_MAPFILE: &str = "/etc/grid-security/grid-mapfile";
pub const CONFIG: &str = "/etc/glexec.conf";
pub const CALLER_MAP: &str = "/etc/glexec.caller-map";

/// The accounts of the pool.
pub fn pool() -> Vec<String> {
    (1..=POOL).map(|number| format!("pool{number:02}")).collect()
}

/// Writes a file with mode 0644.
pub fn write(path: &str, text: &str) {
    fs::write(path, text).unwrap();
    set_mode(path, 0o644);
}

pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The leases in gridmapdir.
pub fn leases() -> Vec<PathBuf> {
    let entries = fs::read_dir(GRIDMAPDIR).unwrap().map(|entry| entry.unwrap().path());
    let is_lease = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('%');
    entries.filter(is_lease).collect()
}

/// A process that asks the crate, one question at a time.
pub struct Asker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Asker {
    pub fn new() -> Asker {
        Asker::started_by(&[])
    }

    /// Started by another program, with arguments, which executes it.
    pub fn started_by(words: &[&str]) -> Asker {
        let program = std::env::current_exe().unwrap();
        let program = program.parent().unwrap().with_file_name("examples").join("ask_root");
        let mut all: Vec<OsString> = words.iter().map(OsString::from).collect();
        all.push(program.into());
        let mut command = Command::new(&all[0]);
        let child = command.args(&all[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the example is missing: cargo build -p root --examples");
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Asker { child, questions, answers }
    }

    /// Sends a question; [`Asker::answer`] waits for its answer.
    pub fn send(&mut self, words: &[&str]) {
        writeln!(self.questions, "{}", words.join("\t")).unwrap();
    }

    /// The answer, or the status and the reason of the refusal.
    pub fn answer(&mut self) -> Result<String, (u8, String)> {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let (status, text) = line.trim_end_matches('\n').split_once('\t').expect("it has ended");
        match status {
            "ok" => Ok(text.to_owned()),
            status => Err((status.parse().unwrap(), text.to_owned())),
        }
    }

    pub fn ask(&mut self, words: &[&str]) -> Result<String, (u8, String)> {
        self.send(words);
        self.answer()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One question to a process of its own.
pub fn ask(words: &[&str]) -> Result<String, (u8, String)> {
    Asker::new().ask(words)
}

/// The status and the reason of a refusal.
pub fn refusal(words: &[&str]) -> (u8, String) {
    ask(words).expect_err("it is not refused")
}

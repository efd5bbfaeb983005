//! A pool of scripts/pool, jobs in it, and what their user logs say.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The user who submits jobs, and the batch user of the nodes, as scripts/pool makes them.
pub const SUBMITTER: u32 = 1001;
pub const PILOT: u32 = 1002;

/// How a node runs its payloads: plain HTCondor, or through a switcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub name: String,
    /// The machine that runs its payloads so.
    pub node: String,
}

impl Way {
    pub fn is_plain(&self) -> bool {
        self.name == "none"
    }
}

/// A pool with a node for each way. It ends with this process, or when it is dropped.
#[derive(Debug)]
pub struct Pool {
    pub dir: PathBuf,
    pub ways: Vec<Way>,
    /// Further ways, for a few jobs.
    pub others: Vec<Way>,
    holder: Option<Child>,
}

/// The ways of the pool that the tests share, and those for a few jobs there.
const WAYS: &str = "none,rootless,sudo";
const OTHERS: &str = "setuid,glexecd";

/// The ways that the variable `GH_POOL_WAYS` names; else these.
pub fn ways_or(ways: &str) -> String {
    std::env::var("GH_POOL_WAYS").unwrap_or_else(|_| ways.to_owned())
}

/// The pool that the tests share. The variable `GH_POOL_DIR` names one that runs already, with the
/// ways of `GH_POOL_WAYS`.
pub fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        if let Some(dir) = std::env::var_os("GH_POOL_DIR") {
            let ways = of_nodes(&ways_or(WAYS), 0);
            return Pool { dir: dir.into(), ways, others: Vec::new(), holder: None };
        }
        let mut pool = Pool::start("shared", &ways_or(&format!("{WAYS},{OTHERS}")), 2, 0);
        if std::env::var_os("GH_POOL_WAYS").is_none() {
            pool.others = pool.ways.split_off(WAYS.split(',').count());
        }
        pool
    })
}

/// The ways of the nodes in turn. With 0 nodes, there is one for each way.
fn of_nodes(ways: &str, nodes: usize) -> Vec<Way> {
    let names: Vec<&str> = ways.split(',').collect();
    let count = if nodes == 0 { names.len() } else { nodes };
    let way = |index: usize| Way {
        name: names[index % names.len()].to_owned(),
        node: format!("node{}", index + 1),
    };
    (0..count).map(way).collect()
}

impl Pool {
    /// Starts a pool with this many slots on each node. With 0 nodes, it has one for each way.
    pub fn start(name: &str, ways: &str, slots: usize, nodes: usize) -> Pool {
        let dir = PathBuf::from(format!(
            "/var/cache/glexec-helpers/pool-test-{}-{name}",
            std::process::id()
        ));
        let ways_of_nodes = of_nodes(ways, nodes);
        let count = ways_of_nodes.len();
        let built = Path::new(env!("CARGO_BIN_EXE_condor_glexec_pilot")).parent().unwrap();
        let programs = std::env::var_os("GH_POOL_PROGRAMS").unwrap_or_else(|| built.into());
        let root = std::env::var_os("GH_POOL_ROOT");
        let root = root.iter().flat_map(|root| ["--root".as_ref(), root.as_os_str()]);
        let mut holder = Command::new(script())
            .args(["up", "--while-open", "--with", ways])
            .args(root)
            .args(["--nodes", &count.to_string(), "--slots", &slots.to_string()])
            .arg("--programs")
            .arg(programs)
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "the pool did not start: see the message above");
        Pool { dir, ways: ways_of_nodes, others: Vec::new(), holder: Some(holder) }
    }

    /// The ways through a switcher.
    pub fn ours(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter().filter(|way| !way.is_plain())
    }

    /// Runs a command in a machine of the pool, as its user.
    pub fn run<S: AsRef<OsStr>>(&self, machine: &str, command: &[S]) -> Output {
        let mut call = Command::new(script());
        call.arg("run").arg(&self.dir).args(["--on", machine]).args(command);
        call.stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed on the central machine, and returns its output.
    pub fn central(&self, command: &[&str]) -> String {
        let output = self.run("central", command);
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The home directory of the submitting user.
    pub fn home(&self) -> PathBuf {
        self.dir.join("machines/central/home")
    }

    /// The directory of a node's HTCondor (`LOCAL_DIR`), as seen from outside.
    pub fn local(&self, way: &Way) -> PathBuf {
        self.dir.join("machines").join(&way.node).join("local")
    }

    /// The processes of the pool in whose command line this word is.
    pub fn processes(&self, word: &str) -> Vec<Process> {
        let mut found = below(self.first_process(), all_processes());
        found.retain(|process| process.arguments.contains(word));
        found
    }

    /// What a node has left of jobs: processes of other users than the batch user and root, and
    /// entries where jobs have their directories.
    fn left(&self, way: &Way) -> Vec<String> {
        let local = self.local(way);
        let mut left = Vec::new();
        for directory in ["execute", "glexec_payloads"] {
            for entry in fs::read_dir(local.join(directory)).into_iter().flatten() {
                let path = entry.unwrap().path();
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                let is_notes = path.ends_with(".notes");
                // Without a job a note is empty.
                let is_left = |entry: &fs::DirEntry| {
                    !is_notes || entry.metadata().is_ok_and(|found| found.len() > 0)
                };
                let inside: Vec<_> =
                    entries.filter(is_left).map(|entry| entry.file_name()).collect();
                if directory == "execute" || !inside.is_empty() {
                    left.push(format!("{}: {inside:?}", path.display()));
                }
            }
        }
        let processes = self.processes_of(way).into_iter();
        let others = processes.filter(|process| process.uid != PILOT && process.uid != 0);
        left.extend(others.map(|process| format!("{process:?}")));
        left
    }

    /// Waits until a node has nothing left of jobs.
    pub fn wait_until_nothing_is_left(&self, way: &Way) {
        let mut left = Vec::new();
        let nothing = until(LIMIT, || {
            left = self.left(way);
            left.is_empty().then_some(())
        });
        assert!(nothing.is_some(), "{}: {left:#?}\n{}", way.node, self.logs(way));
    }

    /// The ends of the logs of a node's daemons.
    fn logs(&self, way: &Way) -> String {
        let mut ends = String::new();
        for entry in fs::read_dir(self.local(way).join("log")).unwrap() {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            ends += &format!("==> {} <==\n{end}\n", path.display());
        }
        ends
    }

    /// The pool's first process (scripts/pool).
    fn first_process(&self) -> i32 {
        let text = fs::read_to_string(self.dir.join("init")).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// The processes of a machine, in all pid namespaces below its own.
    fn processes_of(&self, way: &Way) -> Vec<Process> {
        let all = all_processes();
        let first = self.first_process();
        let name = format!(" {} ", way.node);
        let is_machine =
            |process: &&Process| process.parent == first && process.arguments.contains(&name);
        let machine = all.iter().find(is_machine).expect("the machine runs").pid;
        below(machine, all)
    }
}

/// Those processes that have this one above them. An orphan in a pid namespace is below its first
/// process.
fn below(first: i32, all: Vec<Process>) -> Vec<Process> {
    let parents: BTreeMap<i32, i32> =
        all.iter().map(|process| (process.pid, process.parent)).collect();
    let parent = |pid: &i32| parents.get(pid).copied();
    let is_below = |process: &Process| {
        std::iter::successors(Some(process.parent), parent).any(|pid| pid == first)
    };
    all.into_iter().filter(is_below).collect()
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            drop(holder.stdin.take());
            assert!(holder.wait().unwrap().success() || std::thread::panicking());
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/pool")
}

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub uid: u32,
    /// The letter of its state in /proc.
    pub state: char,
    pub arguments: String,
    parent: i32,
}

fn all_processes() -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = entry.path();
        let (Ok(status), Ok(arguments)) =
            (fs::read_to_string(path.join("status")), fs::read(path.join("cmdline")))
        else {
            continue;
        };
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim_start().to_owned()
        };
        found.push(Process {
            pid,
            uid: value("Uid:").split('\t').next().unwrap().parse().unwrap_or(0),
            state: value("State:").chars().next().unwrap_or('?'),
            arguments: String::from_utf8_lossy(&arguments).replace('\0', " "),
            parent: value("PPid:").parse().unwrap_or(0),
        });
    }
    found
}

/// How a job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
}

/// What is submitted: the job's program, lines of its submit file, and its input files.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub name: &'static str,
    pub script: &'static str,
    pub submit: &'static str,
    pub files: &'static [(&'static str, &'static [u8])],
}

impl Job {
    pub const fn new(name: &'static str, script: &'static str) -> Job {
        Job { name, script, submit: "", files: &[] }
    }

    pub const fn with(self, submit: &'static str) -> Job {
        Job { submit, ..self }
    }

    pub const fn and(self, files: &'static [(&'static str, &'static [u8])]) -> Job {
        Job { files, ..self }
    }

    /// A word that only the job for this way has in its command lines. In the submit file it is
    /// `{word}`.
    pub fn word(&self, way: &Way) -> String {
        format!("{}.{}", self.name, way.node)
    }

    /// Writes the job's directory, for this way.
    pub fn write(&self, pool: &Pool, way: &Way) -> Submitted {
        let dir = pool.home().join(&way.node).join(self.name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let program = format!("#!/bin/bash\n{}\n", self.script);
        let submit = format!(
            "executable = job\noutput = out\nerror = err\nlog = log\n\
             should_transfer_files = YES\nwhen_to_transfer_output = ON_EXIT\n\
             priority = 10\n\
             requirements = TARGET.Machine == \"{}\"\n{}\nqueue\n",
            way.node,
            self.submit.replace("{word}", &self.word(way))
        );
        for (name, content) in [("job", program.as_bytes()), ("submit", submit.as_bytes())] {
            fs::write(dir.join(name), content).unwrap();
        }
        for (name, content) in self.files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::set_permissions(dir.join("job"), fs::Permissions::from_mode(0o755)).unwrap();
        own(&dir);
        chown(pool.home().join(&way.node), Some(SUBMITTER), Some(SUBMITTER)).unwrap();
        Submitted { inside: format!("/home/submit/{}/{}", way.node, self.name), dir }
    }

    /// Submits the job, for this way.
    pub fn submit(&self, pool: &Pool, way: &Way) -> Submitted {
        let submitted = self.write(pool, way);
        pool.central(&["sh", "-ec", "cd \"$0\"; condor_submit submit", &submitted.inside]);
        submitted
    }
}

/// Gives a tree to the submitting user.
fn own(path: &Path) {
    chown(path, Some(SUBMITTER), Some(SUBMITTER)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| own(&entry.unwrap().path()));
    }
}

/// A job of the queue.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub dir: PathBuf,
    /// The path of the directory on the central machine.
    pub inside: String,
}

impl Submitted {
    /// The events of the user log with this number, with their text.
    pub fn events(&self, number: u32) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let begin = format!("{number:03} (");
        let events = log.split("\n...\n").filter(|event| event.starts_with(&begin));
        events.map(str::to_owned).collect()
    }

    /// Waits for an event, which must be the job's `count`th with this number.
    pub fn wait(&self, number: u32, count: usize) -> String {
        let found = until(LIMIT, || self.events(number).into_iter().nth(count - 1));
        found.unwrap_or_else(|| panic!("no event {number} of {}: {}", self.inside, self.log()))
    }

    /// Waits for the job's end.
    pub fn end(&self) -> End {
        end_of(&self.wait(TERMINATED, 1))
    }

    /// The end of a job that has ended.
    pub fn ended(&self) -> End {
        let events = self.events(TERMINATED);
        assert_eq!(events.len(), 1, "{}: {}", self.inside, self.log());
        end_of(&events[0])
    }

    /// The id of the job, such as `12.0`.
    pub fn id(&self) -> String {
        let event = self.wait(SUBMITTED, 1);
        let cluster = event.split('(').nth(1).unwrap().split('.').next().unwrap();
        format!("{}.0", cluster.trim_start_matches('0'))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(name)).unwrap_or_default()).into_owned()
    }

    pub fn out(&self) -> String {
        self.read("out")
    }
}

/// Numbers of events in a user log.
pub const SUBMITTED: u32 = 0;
pub const EXECUTING: u32 = 1;
pub const EVICTED: u32 = 4;
pub const TERMINATED: u32 = 5;
pub const REMOVED: u32 = 9;
pub const SUSPENDED: u32 = 10;
pub const CONTINUED: u32 = 11;
pub const HELD: u32 = 12;

/// The time that a test waits for an event of the pool, whose daemons poll each other.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The value, once there is one; none after this time.
pub fn until<T>(limit: Duration, mut value: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        match value() {
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
            value => return value,
        }
    }
}

fn end_of(event: &str) -> End {
    let number = |begin: &str| {
        let rest = event.split(begin).nth(1)?;
        rest.split(')').next()?.parse().ok()
    };
    match (number("(return value "), number("(signal ")) {
        (Some(status), None) => End::Exited(status),
        (None, Some(signal)) => End::Killed(signal),
        _ => panic!("no end in: {event}"),
    }
}

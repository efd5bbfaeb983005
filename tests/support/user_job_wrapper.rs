//! A starter of today's HTCondor, which calls `condor_glexec_pilot wrap` as its USER_JOB_WRAPPER.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Account, MAP, Site, executable, own, program, write};

/// The link's name.
pub const LINK: &str = "condor_glexec_user_job_wrapper";

/// The link of HOOK_JOB_EXIT.
pub const JOB_EXIT: &str = "condor_glexec_hook_job_exit";

/// The link of HOOK_PREPARE_JOB.
pub const PREPARE_JOB: &str = "condor_glexec_hook_prepare_job";

/// A node with one slot: LOCAL_DIR, EXECUTE, and the link with its settings.
pub struct Node {
    pub site: Site,
}

/// A job in its scratch directory.
pub struct Job<'a> {
    node: &'a Node,
    pub scratch: PathBuf,
    pub arguments: Vec<OsString>,
    pub variables: BTreeMap<OsString, OsString>,
    /// Its standard output: a file in the scratch directory, or elsewhere.
    pub output: PathBuf,
}

impl Node {
    /// A node whose switcher is that of the site.
    pub fn new(site: Site) -> Node {
        let node = Node { site };
        for (directory, mode) in [("local", 0o755), ("local/execute", 0o755), ("link", 0o755)] {
            fs::create_dir(node.path(directory)).unwrap();
            fs::set_permissions(node.path(directory), Permissions::from_mode(mode)).unwrap();
            Account::batch().owns(node.path(directory));
        }
        for link in [LINK, JOB_EXIT, PREPARE_JOB] {
            symlink(program("condor_glexec_pilot"), node.path("link").join(link)).unwrap();
        }
        let switcher = node.site.switcher();
        node.set(&format!("glexec = {}\n", switcher.display()));
        node
    }

    /// One through sudo, and one through the project's `glexec`.
    pub fn both() -> [Node; 2] {
        [Node::new(Site::new()), Node::new(Site::new().owning())]
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.site.path().join(below)
    }

    /// Writes the settings.
    pub fn set(&self, settings: &str) {
        let leases = self.site.leases();
        let text = format!(
            "sudo_map = {MAP}\nstate_dir = {}\nidle_timeout = 30\n{settings}",
            leases.display()
        );
        write(self.settings(), text, 0o644);
    }

    /// The file of the settings.
    pub fn settings(&self) -> PathBuf {
        self.path("link").join(format!("{LINK}.conf"))
    }

    /// The directory of the slot directories.
    pub fn slots(&self) -> PathBuf {
        self.path("local/glexec_payloads")
    }

    /// What the slot's directory has, and its note, which is empty without a job.
    pub fn left(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.slots().join("slot1")).into_iter().flatten();
        let note = fs::read(self.note()).unwrap_or_default();
        let note = (!note.is_empty()).then(|| OsString::from_vec(note));
        entries.map(|entry| entry.unwrap().file_name()).chain(note).collect()
    }

    /// The note of the slot.
    pub fn note(&self) -> PathBuf {
        self.slots().join(".notes/slot1")
    }

    /// A job that is a script of a shell, in a new scratch directory of this name.
    pub fn job(&self, name: &str, script: &str) -> Job<'_> {
        let scratch = self.path("local/execute").join(name);
        fs::create_dir(&scratch).unwrap();
        let put = |name: &str, content: &str, mode| write(scratch.join(name), content, mode);
        executable(&scratch.join("condor_exec.exe"), format!("#!/bin/sh\n{script}\n").as_bytes());
        put(".job.ad", &format!("GlobalJobId = \"host#{name}#1\"\n"), 0o644);
        put(".machine.ad", "Name = \"slot1@host\"\n", 0o644);
        put(".chirp.config", "chirp\n", 0o600);
        put(".update.ad", "update\n", 0o600);
        own(&scratch, Account::batch());
        fs::set_permissions(&scratch, Permissions::from_mode(0o700)).unwrap();
        let output = scratch.join("_condor_stdout");
        let (arguments, variables) = (vec![], BTreeMap::new());
        let mut job = Job { node: self, scratch, arguments, variables, output };
        let below = |name: &str| job.scratch.join(name).into_os_string();
        job.variables = [
            ("_CONDOR_SCRATCH_DIR", job.scratch.clone().into_os_string()),
            ("_CONDOR_JOB_AD", below(".job.ad")),
            ("_CONDOR_WRAPPER_ERROR_FILE", below(".job_wrapper_failure")),
            ("_CONDOR_ANCESTOR_77", "88:1:2".into()),
            ("_CONDOR_SLOT", "slot1".into()),
            ("TMPDIR", job.scratch.clone().into_os_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
        job
    }

    /// A call of the link of HOOK_PREPARE_JOB with this ClassAd; its status, and what it prints.
    pub fn prepare_job(&self, job: &Job<'_>, ad: &str) -> (bool, String) {
        let input = self.site.path().join("ad");
        write(&input, ad, 0o644);
        let mut command = Account::batch().command(self.path("link").join(PREPARE_JOB));
        command.env_clear().current_dir(&job.scratch).stdin(File::open(input).unwrap());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// A sweep of the node.
    pub fn sweep(&self) -> Command {
        let mut command = Account::batch().command(program("condor_glexec_pilot"));
        command.env_clear().args(["sweep", "--settings"]).arg(self.settings());
        command.arg("--directory").arg(self.slots()).stdin(Stdio::null());
        command
    }

    /// A call of the link of HOOK_JOB_EXIT, in a directory.
    pub fn job_exit(&self, directory: &Path) -> Command {
        let mut command = Account::batch().command(self.path("link").join(JOB_EXIT));
        command.env_clear().current_dir(directory).stdin(Stdio::null());
        command
    }
}

impl Job<'_> {
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The content of a file in the scratch directory.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.file(name)).unwrap_or_default()).into_owned()
    }

    /// Starts the wrapper as the starter does: in the scratch directory, in a new session, with
    /// SIGPIPE ignored, without other descriptors, and with the job's environment.
    pub fn start(&self) -> Child {
        let stream = |path: &Path| {
            let mut options = File::options();
            let file = options.append(true).create(true).mode(0o644).open(path).unwrap();
            Account::batch().owns(path);
            file
        };
        let link = self.node.path("link").join(LINK);
        let mut command = Account::batch().command(link);
        command.arg(self.file("condor_exec.exe")).args(&self.arguments);
        command.env_clear().envs(&self.variables).current_dir(&self.scratch).stdin(Stdio::null());
        command.stdout(stream(&self.output)).stderr(stream(&self.file("_condor_stderr")));
        let prepare = || {
            nix::unistd::setsid()?;
            let ignored = nix::sys::signal::SigHandler::SigIgn;
            // SAFETY: the action has no handler.
            unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGPIPE, ignored) }?;
            Ok(())
        };
        // SAFETY: the closure makes two system calls, and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        command.spawn().unwrap()
    }

    /// A program of root's that starts the wrapper, in the scratch directory and with the job's
    /// environment and streams.
    pub fn below(&self, program: &str) -> Command {
        let stream = |name: &str| {
            let file = File::create(self.file(name)).unwrap();
            Account::batch().owns(self.file(name));
            file
        };
        let mut command = Command::new(program);
        command.env_clear().envs(&self.variables).current_dir(&self.scratch).stdin(Stdio::null());
        command.stdout(stream("_condor_stdout")).stderr(stream("_condor_stderr"));
        command
    }

    /// Runs the job, and kills the wrapper at a system call of this number. False if it made no
    /// such call.
    pub fn is_killed_at(&self, call: &str, number: usize) -> bool {
        let log = self.node.path("trace");
        // As root: newuidmap(1) has to be set-user-ID.
        let mut strace = self.below("strace");
        strace.args(["-u", "gh-batch", "-q", "-o"]).arg(&log);
        strace.args(["-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
        strace.arg(self.node.path("link").join(LINK)).arg(self.file("condor_exec.exe"));
        strace.status().unwrap();
        fs::read_to_string(log).unwrap().contains("by SIGKILL")
    }

    /// Runs the job to its end.
    pub fn run(&self) -> ExitStatus {
        self.start().wait().unwrap()
    }

    /// Fails unless the job has ended so: `exited 0`, `killed 9`.
    pub fn ends(&self, expected: &str) {
        let status = self.run();
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited {code}"),
            (None, signal) => format!("killed {}", signal.unwrap_or(0)),
        };
        let said = self.text("_condor_stderr") + &self.text(".job_wrapper_failure");
        assert_eq!(end, expected, "{said}");
        assert!(!self.file(".job_wrapper_failure").exists(), "{said}");
    }
}

//! The starter and the ProcD of HTCondor 9.10, as far as they touch a sandbox: where they stand,
//! what they read before each call, in which order they call, and with which descriptors and
//! environment.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::job::run;
use super::starter::Starter;
use super::{Account, PROXY, Site, retained};

/// A starter that stands in its sandbox from before setup until after cleanup, and never enters it
/// again by path.
pub struct Condor<'a> {
    site: &'a Site,
    pub sandbox: PathBuf,
    /// The directory in which it stands, whatever its name is by now.
    here: File,
}

/// What a call of a helper has ended with.
#[derive(Debug, PartialEq, Eq)]
pub struct Called {
    pub status: Option<i32>,
    /// Standard output and error, which are one pipe.
    pub said: String,
}

impl Called {
    fn ok() -> Called {
        Called { status: Some(0), said: String::new() }
    }

    /// Fails unless it succeeded without a word.
    pub fn succeeded(&self) {
        assert_eq!(*self, Called::ok());
    }
}

impl<'a> Condor<'a> {
    /// Enters the sandbox.
    pub fn new(site: &'a Site, sandbox: &Path) -> Condor<'a> {
        Condor { site, sandbox: sandbox.to_owned(), here: File::open(sandbox).unwrap() }
    }

    /// A program as the batch user, where the starter stands.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Account::batch().command(program);
        command.current_dir(format!("/proc/self/fd/{}", self.here.as_raw_fd()));
        command
    }

    /// What a file holds that is named without a directory, as the starter reads it.
    pub fn read(&self, name: &str) -> Option<String> {
        let output = self.command("/bin/cat").arg(name).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// What `ls` shows where it stands: what it transfers at the end.
    pub fn list(&self) -> Vec<String> {
        let output = self.command("/bin/ls").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// "not invoking glexec since the proxy is not valid": without the proxy at its bare name
    /// nothing is called.
    fn must_have_a_valid_proxy(&self) {
        assert!(
            self.read(PROXY).is_some_and(|proxy| !proxy.is_empty()),
            "no proxy where the starter stands"
        );
    }

    /// A helper from the starter's place, with the daemon's own environment.
    fn helper(&self, name: &str) -> Command {
        let mut command = self.site.helper(name);
        command.current_dir(format!("/proc/self/fd/{}", self.here.as_raw_fd()));
        command
            .env("X509_USER_PROXY", PROXY)
            .env("CONDOR_PRIVATE_INHERIT", "a session key")
            .env("_CONDOR_SLOT", "1");
        command
    }

    /// Calls a helper and reads all that it says, to the end of file.
    fn call(&self, mut helper: Command) -> Called {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut child = helper.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        drop(helper); // which holds the writing end, too
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        Called { status: child.wait().unwrap().code(), said }
    }

    fn setup_or_cleanup(&self, name: &str) -> Called {
        self.must_have_a_valid_proxy();
        let mut helper = self.helper(name);
        helper.arg(self.site.switcher()).arg(PROXY).arg(&self.sandbox).args(["3", "5"]);
        self.call(helper)
    }

    pub fn setup(&self) -> Called {
        self.setup_or_cleanup("condor_glexec_setup")
    }

    pub fn cleanup(&self) -> Called {
        self.setup_or_cleanup("condor_glexec_cleanup")
    }

    /// Renews the proxy from a file of the starter's; with `-` for the switcher while the sandbox
    /// is the batch user's.
    pub fn update(&self, new: &Path, has_job: bool) -> Called {
        self.must_have_a_valid_proxy();
        let mut helper = self.helper("condor_glexec_update_proxy");
        if has_job {
            helper.arg(self.site.switcher())
        } else {
            helper.arg("-")
        };
        helper.arg(new).arg(PROXY).arg(&self.sandbox);
        self.call(helper)
    }

    /// Runs a job: the child changes into the sandbox by path, as the batch user, with one end of a
    /// socket as descriptor 0 and one pipe as 1 and 2. Returns once the job has been executed.
    pub fn run(
        &self,
        switcher: &Path,
        environment: &[u8],
        job: &[&str],
        streams: [&File; 3],
    ) -> Starter {
        self.must_have_a_valid_proxy();
        let mut run = run(self.site, switcher, &self.sandbox, job);
        let (reader, writer) = std::io::pipe().unwrap();
        run.current_dir(&self.sandbox).stdout(writer.try_clone().unwrap()).stderr(writer);
        run.env("X509_USER_PROXY", PROXY)
            .env("CONDOR_PRIVATE_INHERIT", "a session key")
            .env("_CONDOR_SLOT", "1");
        let mut starter = Starter::start(run);
        assert_eq!(starter.launch(environment, [&streams[0], &streams[1], &streams[2]]), b"");
        drop(reader);
        starter
    }

    /// A signal as the ProcD sends it: it has closed its descriptors from 0 on, and names the
    /// retained proxy.
    pub fn procd_kill(&self, switcher: &Path, pid: u32, signal: &str) -> Option<i32> {
        let kill = self.site.helper("condor_glexec_kill");
        let mut shell = Account::batch().command("/bin/sh");
        shell.env_clear().envs(super::variables_of(&kill));
        shell.args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "procd"]).arg(kill.get_program());
        shell.arg(switcher).arg(retained(&self.sandbox).join(PROXY)).args([
            &pid.to_string(),
            signal,
            "3",
            "5",
        ]);
        shell.status().unwrap().code()
    }

    /// The device and inode of the directory in which it stands, and of what has this path now.
    pub fn is_in(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let here = self.here.metadata().unwrap();
        fs::symlink_metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (here.dev(), here.ino()))
    }
}

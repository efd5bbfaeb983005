//! The starter and the ProcD of HTCondor 9.10, as far as they use a sandbox: their working
//! directory, what they read before each call, the order of the calls, and the descriptors and
//! environment of each call.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::job::run;
use super::starter::Starter;
use super::{Account, PROXY, Site, retained};

/// A starter whose working directory is its sandbox from before setup until after cleanup. It never
/// enters the sandbox again by path.
pub struct Condor<'a> {
    site: &'a Site,
    pub sandbox: PathBuf,
    /// The working directory, whatever its name is now.
    here: File,
}

/// The result of a call of a helper.
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

    /// Fails unless the call succeeded and wrote nothing.
    pub fn succeeded(&self) {
        assert_eq!(*self, Called::ok());
    }
}

impl<'a> Condor<'a> {
    /// Enters the sandbox.
    pub fn new(site: &'a Site, sandbox: &Path) -> Condor<'a> {
        Condor { site, sandbox: sandbox.to_owned(), here: File::open(sandbox).unwrap() }
    }

    /// A program as the batch user, in the starter's working directory.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Account::batch().command(program);
        command.current_dir(format!("/proc/self/fd/{}", self.here.as_raw_fd()));
        command
    }

    /// The content of a file that is named without a directory, as the starter reads it.
    pub fn read(&self, name: &str) -> Option<String> {
        let output = self.command("/bin/cat").arg(name).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// The names that `ls` shows in the working directory: what the starter transfers at the end.
    pub fn list(&self) -> Vec<String> {
        let output = self.command("/bin/ls").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// HTCondor's "not invoking glexec since the proxy is not valid": if the proxy does not have
    /// its name in the working directory, the starter calls nothing.
    fn must_have_a_valid_proxy(&self) {
        assert!(
            self.read(PROXY).is_some_and(|proxy| !proxy.is_empty()),
            "no proxy in the starter's working directory"
        );
    }

    /// A helper in the starter's working directory, with the daemon's environment.
    fn helper(&self, name: &str) -> Command {
        let mut command = self.site.helper(name);
        command.current_dir(format!("/proc/self/fd/{}", self.here.as_raw_fd()));
        command
            .env("X509_USER_PROXY", PROXY)
            .env("CONDOR_PRIVATE_INHERIT", "a session key")
            .env("_CONDOR_SLOT", "1");
        command
    }

    /// Calls a helper and reads its output up to the end of file.
    fn call(&self, mut helper: Command) -> Called {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut child = helper.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        drop(helper); // it has a copy of the writing end
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

    /// Renews the proxy from a file of the starter. While the sandbox belongs to the batch user,
    /// the switcher is `-`.
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

    /// A signal as the ProcD sends it: with descriptors 0 to 2 closed, and with the path of the
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

    /// Whether the starter's working directory is what has this path now.
    pub fn is_in(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let here = self.here.metadata().unwrap();
        fs::symlink_metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (here.dev(), here.ino()))
    }
}

//! The programs that are installed; and a separate installation for a site, with a sudo rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use super::{Account, Site, program, variables_of, write};

/// Every program that is installed.
pub const PROGRAMS: [&str; 17] = [
    "condor_glexec_agent",
    "condor_glexec_cleanup",
    "condor_glexec_job_wrapper",
    "condor_glexec_kill",
    "condor_glexec_pilot",
    "condor_glexec_run",
    "condor_glexec_setup",
    "condor_glexec_update_proxy",
    "glexec",
    "glexec-sudo",
    "glexec_accounts",
    "glexec_sessions",
    "glexec_unwrapenv",
    "glexec_verify",
    "glexec_wrapenv",
    "glexecd",
    "mkgltempdir",
];

/// The section of the manual that has the page of a program.
pub fn section_of(program: &str) -> u8 {
    let is_administrators = ["glexecd", "glexec_accounts"].contains(&program);
    if is_administrators { 8 } else { 1 }
}

/// A directory with the tests' programs without debug information, which is nine tenths of their
/// size. Other files of tests use it, too, until a program is built again.
pub fn stripped() -> &'static str {
    const DIRECTORY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/programs");
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        fs::create_dir_all(format!("{DIRECTORY}/examples")).unwrap();
        for name in PROGRAMS.into_iter().chain(["examples/pages"]) {
            let (built, path) = (program(name), format!("{DIRECTORY}/{name}"));
            let made = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
            if made(path.as_ref()) > made(&built) {
                continue;
            }
            // Another file of tests can do the same meanwhile, and execute the program.
            let new = format!("{path}.{:016x}", fastrand::u64(..));
            let mut strip = Command::new("strip");
            strip.arg(&built).args(["-o", &new]);
            assert!(strip.status().expect("strip of binutils").success(), "{name}");
            fs::rename(new, path).unwrap();
        }
    });
    DIRECTORY
}

/// The rule of ci/provision.
const RULE: &str = "/etc/sudoers.d/glexec-helpers-test";

/// A separate installation, whose agent sudo calls with other settings. Other calls of sudo are not
/// affected.
pub struct Installation<'a> {
    site: &'a Site,
    rule: PathBuf,
}

impl<'a> Installation<'a> {
    pub fn with_sudo_setting(site: &'a Site, setting: &str) -> Self {
        let programs = site.path().join("programs");
        fs::create_dir(&programs).unwrap();
        for name in ["setup", "run", "agent", "job_wrapper", "kill"]
            .map(|name| format!("condor_glexec_{name}"))
        {
            install(program(&name), programs.join(name));
        }
        let rule = site.path().join("rule");
        let usual = fs::read_to_string(RULE).expect("run ci/provision as root");
        let agent = programs.join("condor_glexec_agent");
        write(&rule, format!("{usual}Defaults!{} {setting}\n", agent.display()), 0o440);
        Installation { site, rule }
    }

    /// The same call with the programs of this installation, by a command of root's that becomes
    /// it. Its sudo reads the rule in a mount namespace. In the machine's directory of rules it
    /// would disturb all other calls: sudo complains about a file that disappears while it reads
    /// that directory.
    pub fn own(&self, call: &Command) -> Command {
        let name = Path::new(call.get_program()).file_name().unwrap();
        let batch = Account::batch();
        let script = "mount --bind \"$0\" \"$1\" && shift && exec setpriv \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script]);
        command.arg(&self.rule).arg(RULE);
        command.args([format!("--reuid={}", batch.uid), format!("--regid={}", batch.gid)]);
        command.arg("--clear-groups").arg("--").arg(self.site.path().join("programs").join(name));
        command.args(call.get_args()).env_clear().envs(variables_of(call));
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

/// Copies a program, with its mode, that can be executed at once: as [`super::executable`], by
/// another process.
pub fn install(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let mut copy = Command::new("cp");
    copy.args(["--preserve=mode", "--"]).arg(from.as_ref()).arg(to.as_ref());
    assert!(copy.status().unwrap().success(), "{}", to.as_ref().display());
}

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
/// size.
pub fn stripped() -> &'static str {
    const DIRECTORY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/programs");
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        fs::create_dir_all(format!("{DIRECTORY}/examples")).unwrap();
        for name in PROGRAMS.into_iter().chain(["examples/pages"]) {
            let mut strip = Command::new("strip");
            strip.arg(program(name)).args(["-o", &format!("{DIRECTORY}/{name}")]);
            assert!(strip.status().expect("strip of binutils").success(), "{name}");
        }
    });
    DIRECTORY
}

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
            fs::copy(program(&name), programs.join(name)).unwrap();
        }
        // sudo ignores names with a dot, so it reads the rule only when it is complete.
        let unique = site.path().file_name().unwrap().to_str().unwrap();
        let rule = Path::new("/etc/sudoers.d").join(unique);
        let unread = rule.with_extension("new");
        write(
            &unread,
            format!("Defaults!{} {setting}\n", programs.join("condor_glexec_agent").display()),
            0o440,
        );
        fs::rename(unread, &rule).unwrap();
        Installation { site, rule }
    }

    /// The same call with the programs of this installation.
    pub fn own(&self, call: &Command) -> Command {
        let name = Path::new(call.get_program()).file_name().unwrap();
        let mut command = Account::batch().command(self.site.path().join("programs").join(name));
        command.args(call.get_args()).env_clear().stdin(Stdio::null());
        command.envs(variables_of(call));
        command
    }
}

impl Drop for Installation<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.rule);
    }
}

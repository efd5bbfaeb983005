//! Directories of session scripts on a trusted path, and a program that runs them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Site, wait_for};

/// A timeout that no script of a test reaches.
pub const NO_TIMEOUT: &str = "600000";

/// A directory of root's with `added`, `changed`, `removed`; its scripts write to `log`.
pub struct Scripts {
    pub site: Site,
    pub directories: String,
    pub timeout: &'static str,
    pub failure: &'static str,
    pub user: &'static str,
}

/// A session whose payload runs.
pub struct Running {
    pub child: Child,
    output: BufReader<ChildStdout>,
    /// What was printed before the payload.
    pub begun: Vec<String>,
}

impl Scripts {
    pub fn new() -> Scripts {
        let site = Site::new("");
        for name in ["added", "changed", "removed"] {
            std::fs::create_dir(site.path(name)).unwrap();
            super::set_mode(&site.path(name), 0o755);
        }
        let directories = site.top().display().to_string();
        Scripts { site, directories, timeout: NO_TIMEOUT, failure: "refuse", user: "-" }
    }

    /// Writes a script of these lines of a shell; `$top` is the directory.
    pub fn put(&self, name: &str, lines: &str) -> PathBuf {
        let top = self.site.top().display();
        self.site.put(name, &format!("#!/bin/sh\ntop={top}\n{lines}\n"))
    }

    /// Writes scripts that add their name and argument to the log.
    pub fn put_logging(&self, names: &[&str]) {
        for name in names {
            self.put(name, &format!("echo {name} $1 >>$top/log"));
        }
    }

    /// The lines of the log.
    pub fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.site.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn command(&self) -> Command {
        let program = super::program().with_file_name("run_session");
        assert!(program.exists(), "run cargo build -p hooks --examples");
        let mut command = Command::new(program);
        command.arg(self.site.path("registry")).arg(&self.directories);
        command.args([self.timeout, self.failure, self.user]);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// Starts a session, and waits until its payload runs, or it has failed.
    pub fn start(&self) -> Running {
        let mut child = self.command().spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, output, begun: Vec::new() };
        let is_over = |line: &String| line == "begun" || line.starts_with("failed ");
        while !running.begun.last().is_some_and(is_over) {
            let mut line = String::new();
            running.output.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "it has ended: {:?}", running.begun);
            running.begun.push(line.trim_end().to_owned());
        }
        running
    }

    /// A whole session: all that it prints.
    pub fn run(&self) -> Vec<String> {
        let mut running = self.start();
        let begun = std::mem::take(&mut running.begun);
        [begun, running.end()].concat()
    }

    /// The entries of the registry.
    pub fn registered(&self) -> Vec<String> {
        let listing = std::fs::read_dir(self.site.path("registry/sessions"));
        let names = listing.into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Waits until the registry is empty: then the last script has ended.
    pub fn wait_until_unregistered(&self) {
        wait_for("the end of the last script", || self.registered().is_empty().then_some(()));
        let users = std::fs::read_dir(self.site.path("registry/users"));
        assert_eq!(users.map_or(0, Iterator::count), 0, "a link of a user is left");
    }
}

impl Running {
    pub fn send(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends the payload; returns what is printed then.
    pub fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let lines = self.output.lines().map(|line| line.unwrap()).collect();
        assert!(self.child.wait().unwrap().success());
        lines
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

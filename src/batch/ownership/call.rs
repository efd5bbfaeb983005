//! A call of the switcher that changes the owner of a directory (`docs/glexec.md`, "Change of
//! owner").

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use error::{Context as _, Error, Result};
use serde_json::Value;
use sys::wait::End;
use sys::{Uid, fd};
use wire::Links;

use crate::batch;
use crate::batch::handover::{Changed, Way};
use crate::batch::switcher::{Call, CallOutcome, Switcher, links_option};

/// The longest report that is read.
const MAX_REPORT: u64 = 1 << 20;

/// A call that runs.
pub(super) struct OwnerCall {
    running: Call,
    /// The call's standard input and output.
    input: Option<File>,
    output: File,
}

/// What a call says.
pub(super) enum Answer<T> {
    /// It is done.
    Done(T),
    /// The directory has to be copied, and is as it was; why.
    Copy(String),
}

/// What a call has done, and for which user.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) uid: Option<Uid>,
    pub(super) changed: Changed,
}

impl OwnerCall {
    fn start(switcher: &Switcher, words: Vec<OsString>) -> Result<OwnerCall> {
        let program = switcher.program();
        let (input_end, input) = fd::pipe().at("make a pipe for", program)?;
        let (output, output_end) = fd::pipe().at("make a pipe for", program)?;
        let command = switcher.own_command(words);
        let streams = (Stdio::from(input_end), Some(OwnedFd::from(output_end)));
        let running = Call::start_command(switcher, command, streams)?;
        Ok(OwnerCall { running, input: Some(input), output })
    }

    /// Begins to give the directory `inner` to the job user, in the place of a sandbox and with
    /// this mode. Returns when the sandbox has been examined: now `inner` is made, and the entries
    /// of the sandbox are moved into it.
    pub(super) fn give(
        switcher: &Switcher,
        inner: &Path,
        (sandbox, mode): (&Path, u32),
        top_limit: Option<u64>,
    ) -> Result<Answer<OwnerCall>> {
        let mode = format!("{mode:o}");
        let mut words = words(&[
            ("--give", inner.as_os_str()),
            ("--to", sandbox.as_os_str()),
            ("--mode", OsStr::new(&mode)),
            ("--fill-from", sandbox.as_os_str()),
        ]);
        words.push("--confirm".into());
        words.extend(limit(top_limit));
        OwnerCall::start(switcher, words)?.wait_for_line()
    }

    /// Has everything given that was moved into the directory. Returns when only the last step is
    /// left.
    pub(super) fn go_on(mut self) -> Result<OwnerCall> {
        self.answer(b"m");
        match self.wait_for_line()? {
            Answer::Done(call) => Ok(call),
            Answer::Copy(why) => Err(Error::refused("the switcher", why)),
        }
    }

    /// Has the last step done, and waits for it.
    pub(super) fn confirm(mut self) -> Result<Report> {
        self.answer(b"c");
        match self.finish()? {
            Answer::Done(report) => Ok(report),
            Answer::Copy(why) => Err(Error::refused("the switcher", why)),
        }
    }

    /// Ends the call, which undoes what it has done.
    pub(super) fn give_up(self) {
        let _ = self.end();
    }

    /// Takes `from` from the job user, after it has exchanged its name with the empty directory
    /// `exchange`.
    pub(super) fn take(
        switcher: &Switcher,
        (from, exchange): (&Path, &Path),
        links: Links,
        top_limit: Option<u64>,
    ) -> Result<Answer<Report>> {
        let mut words = words(&[
            ("--take", from.as_os_str()),
            ("--exchange", exchange.as_os_str()),
            ("--links", OsStr::new(links_option(links))),
        ]);
        words.extend(limit(top_limit));
        OwnerCall::start(switcher, words)?.finish()
    }

    /// Takes back what a call has given that was killed, of a directory that no job has had.
    pub(super) fn undo(switcher: &Switcher, directory: &Path) -> Result<()> {
        let words = words(&[("--undo", directory.as_os_str())]);
        match OwnerCall::start(switcher, words)?.finish()? {
            Answer::Done(_) => Ok(()),
            Answer::Copy(why) => Err(Error::refused(directory, why)),
        }
    }

    /// Sends a byte that the call waits for. If that fails, the call undoes everything, and says
    /// why if it has ended already.
    fn answer(&mut self, byte: &[u8]) {
        if let Some(Err(_)) = self.input.as_mut().map(|input| input.write_all(byte)) {
            self.input = None;
        }
    }

    /// Reads the line that says that the call waits.
    fn wait_for_line(mut self) -> Result<Answer<OwnerCall>> {
        let mut byte = [0];
        while byte != *b"\n" {
            match self.output.read(&mut byte) {
                Ok(0) => return as_copy(self.end()).map(Answer::Copy),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.at("read the output of", "the switcher")?,
            };
        }
        Ok(Answer::Done(self))
    }

    /// Reads the report, and waits for the end of the call. There is no limit of time: how long a
    /// change of owner takes depends on the number of files.
    fn finish(mut self) -> Result<Answer<Report>> {
        let mut report = Vec::new();
        let read = (&mut self.output).take(MAX_REPORT).read_to_end(&mut report);
        read.at("read the output of", "the switcher")?;
        let outcome = self.end();
        match outcome.end {
            Some(End::Exited(0)) => Ok(Answer::Done(Report::parse(&report))),
            _ => as_copy(outcome).map(Answer::Copy),
        }
    }

    fn end(self) -> CallOutcome {
        drop((self.input, self.output));
        self.running.wait()
    }
}

/// Why the directory has to be copied, if that is what the call says.
fn as_copy(outcome: CallOutcome) -> Result<String> {
    if outcome.asks_for_copy() { Ok(outcome.into_output()) } else { Err(outcome.error()) }
}

fn words(options: &[(&str, &OsStr)]) -> Vec<OsString> {
    options.iter().flat_map(|(option, value)| [(*option).into(), (*value).into()]).collect()
}

fn limit(top_limit: Option<u64>) -> impl Iterator<Item = OsString> {
    top_limit.into_iter().flat_map(|limit| ["--top-limit".into(), limit.to_string().into()])
}

impl Report {
    /// Reads the report, which is a call's whole standard output but for its first line. It only
    /// becomes part of the log.
    fn parse(bytes: &[u8]) -> Report {
        let report: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let uid = report["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
        Report { uid: uid.map(Uid::from_raw), changed: Changed::from_json(&report) }
    }

    /// Adds it to the report of an operation.
    pub(super) fn add_to(self, report: &mut batch::Report<'_>) {
        let Changed { totals, dropped, copied, removed_links } = self.changed;
        report.moved = Some((totals, dropped));
        report.left = removed_links;
        report.way = Some(Way::Own { copied });
    }
}

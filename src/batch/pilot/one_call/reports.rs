//! The reports of a call that hands a sandbox over: lines of JSON, each when it is true.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};

use serde_json::Value;
use sys::wait::End;
use sys::{Errno, fd};

use crate::batch::handover::Changed;

/// The reports so far. They come from `glexec`, not from the payload, which has no descriptor for
/// them.
#[derive(Debug)]
pub(in crate::batch::pilot) struct Reports {
    pipe: File,
    bytes: Vec<u8>,
    is_complete: bool,
}

/// What became of the sandbox after the payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is the batch user's.
    Back(Changed),
    /// It is as the payload left it, and why.
    Unchanged(String),
    /// A change had begun; why it is not complete.
    Begun(String),
}

impl Reports {
    /// The reports that arrive on this pipe.
    pub(super) fn new(pipe: File) -> Reports {
        Reports { pipe, bytes: Vec::new(), is_complete: false }
    }

    /// Whether no more reports can come: the call has ended.
    pub(in crate::batch::pilot) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Reads what is there. To be called when the pipe is readable.
    pub(in crate::batch::pilot) fn receive(&mut self) {
        let mut buffer = [0; 4096];
        match self.pipe.read(&mut buffer) {
            Ok(0) => self.is_complete = true,
            Ok(length) => self.bytes.extend(&buffer[..length]),
            Err(error) => {
                self.is_complete = error.kind() != std::io::ErrorKind::Interrupted;
            }
        }
    }

    /// Reads what is there, without a wait.
    pub(in crate::batch::pilot) fn finish(&mut self) {
        while !self.is_complete {
            match fd::poll_readable([self.pipe.as_fd()], Some(std::time::Instant::now())) {
                Ok([true]) => self.receive(),
                Err(Errno::EINTR) => {}
                Ok([false]) | Err(_) => return,
            }
        }
    }

    /// What the sandbox had when it was given.
    pub(in crate::batch::pilot) fn given(&self) -> Option<Changed> {
        self.line("give").map(|line| Changed::from_json(&line))
    }

    /// How the payload has ended, and how many processes were killed that it left; none before its
    /// end.
    pub(in crate::batch::pilot) fn payload_end(&self) -> Option<(End, u64)> {
        let line = self.line("end")?;
        let (word, number) = line.get("payload_end")?.as_str()?.split_once(' ')?;
        let number = number.parse().ok()?;
        let end = if word == "killed" { End::Killed(number) } else { End::Exited(number) };
        Some((end, line.get("killed").and_then(Value::as_u64).unwrap_or_default()))
    }

    /// What became of the sandbox; none before that.
    pub(super) fn taken(&self) -> Option<Taken> {
        let line = self.line("take")?;
        let Some(error) = line.get("error").and_then(Value::as_str) else {
            return Some(Taken::Back(Changed::from_json(&line)));
        };
        let is_unchanged = line.get("unchanged").and_then(Value::as_bool) == Some(true);
        let error = error.to_owned();
        Some(if is_unchanged { Taken::Unchanged(error) } else { Taken::Begun(error) })
    }

    /// The report about an operation.
    fn line(&self, operation: &str) -> Option<Value> {
        let lines = self.bytes.split_inclusive(|byte| *byte == b'\n');
        let complete = lines.filter(|line| line.ends_with(b"\n"));
        complete
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .find(|line| line.get("operation").and_then(Value::as_str) == Some(operation))
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_counts_when_it_is_complete() -> anyhow::Result<()> {
        let (pipe, mut writer) = fd::pipe()?;
        let mut reports = Reports::new(pipe);
        writer.write_all(b"{\"operation\":\"give\",\"files\":2}\n{\"operation\":\"end\",")?;
        reports.receive();
        assert_eq!(reports.given().map(|given| given.totals.files), Some(2));
        assert_eq!((reports.payload_end(), reports.is_complete()), (None, false));
        writer.write_all(b"\"payload_end\":\"killed 9\",\"killed\":3}\n")?;
        writer.write_all(b"{\"operation\":\"take\",\"unchanged\":true,\"error\":\"no\"}\n")?;
        drop(writer);
        reports.finish();
        assert!(reports.is_complete());
        assert_eq!(reports.payload_end(), Some((End::Killed(9), 3)));
        assert_eq!(reports.taken(), Some(Taken::Unchanged("no".to_owned())));
        Ok(())
    }
}

//! The limits that a payload's process sets on itself before it becomes the payload, as one word:
//! `file-size=1048576,processor-seconds=10`.

use std::ffi::{OsStr, OsString};

/// Limits that the kernel enforces on a process and on what it starts (getrlimit(2)), and the
/// number of its processors. Each that is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadLimits {
    /// The largest size of a file that it writes, in bytes.
    pub file_size: Option<u64>,
    /// The processor time of each process, in seconds.
    pub processor_seconds: Option<u64>,
    /// How many processes and threads its user can have.
    pub processes: Option<u64>,
    /// How many processors it runs on; above 0.
    pub processors: Option<u64>,
}

impl PayloadLimits {
    /// Whether there is no limit.
    pub fn is_none(&self) -> bool {
        *self == PayloadLimits::default()
    }

    /// The names and the values, in their order.
    fn fields(&mut self) -> [(&'static str, &mut Option<u64>); 4] {
        [
            ("file-size", &mut self.file_size),
            ("processor-seconds", &mut self.processor_seconds),
            ("processes", &mut self.processes),
            ("processors", &mut self.processors),
        ]
    }

    /// The limits as a word, which is empty if there is none.
    pub fn to_word(mut self) -> OsString {
        let text = |(name, value): (&str, &mut Option<u64>)| Some(format!("{name}={}", (*value)?));
        let texts: Vec<String> = self.fields().into_iter().filter_map(text).collect();
        texts.join(",").into()
    }

    /// The limits that a word stands for. Only what [`PayloadLimits::to_word`] writes is accepted,
    /// and no empty word.
    pub fn parse(word: &OsStr) -> Option<PayloadLimits> {
        let mut limits = PayloadLimits::default();
        for text in word.to_str()?.split(',') {
            let (name, value) = text.split_once('=')?;
            let (_, field) = limits.fields().into_iter().find(|(known, _)| *known == name)?;
            *field = Some(value.parse().ok()?);
        }
        (limits.to_word() == word && limits.processors != Some(0)).then_some(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_of_limits_is_read() {
        let limits = PayloadLimits {
            file_size: Some(u64::MAX),
            processor_seconds: None,
            processes: Some(0),
            processors: Some(2),
        };
        let word = limits.to_word();
        assert_eq!(word, "file-size=18446744073709551615,processes=0,processors=2");
        assert_eq!(PayloadLimits::parse(&word), Some(limits));
        for wrong in [
            "",
            "-",
            "file-size",
            "file-size=",
            "file-size=1,",
            "file-size=+1",
            "file-size=01",
            "file-size=-1",
            "file-size=18446744073709551616",
            "file-size=1,file-size=1",
            "processes=1,file-size=1",
            "memory=1",
            "processors=0",
        ] {
            assert_eq!(PayloadLimits::parse(OsStr::new(wrong)), None, "{wrong}");
        }
    }
}

//! From the text of the files to a configuration, and all that is wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use error::Shown;

use super::Config;
use super::finding::{Finding, Severity};
use super::keys::{self, Effect};
use super::lines::{Line, lines};
use super::rules;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: Vec<u8>,
}

/// Where a key has its value, and the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) source: &'a Source,
    pub(super) line: usize,
    pub(super) value: &'a [u8],
}

/// The keys that are set, by their names; a file counts more than those before it.
pub(super) type Settings<'a> = BTreeMap<&'static str, Setting<'a>>;

/// The configuration that the files make together, and the findings, in the order of files and
/// lines. It is valid only without faults.
pub(super) fn evaluate(sources: &[Source]) -> (Config, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut settings = Settings::new();
    for source in sources {
        collect(source, &mut settings, &mut findings);
    }
    let mut config = Config::default();
    for key in keys::all() {
        let Some(setting) = settings.get(key.name) else { continue };
        match key.effect {
            Effect::Set(set) => {
                if let Err(why) = set(&mut config, setting.value) {
                    findings.push(setting.finding(key.name, Severity::Fault, why));
                }
            }
            Effect::None => {
                findings.push(setting.finding(key.name, Severity::NoEffect, key.text));
            }
        }
    }
    rules::check(&config, &settings, &mut findings);
    let order = |finding: &Finding| sources.iter().position(|source| source.path == finding.file);
    findings.sort_by_key(|finding| (order(finding), finding.line));
    (config, findings)
}

impl Setting<'_> {
    pub(super) fn finding(
        &self,
        key: &str,
        severity: Severity,
        text: impl Into<String>,
    ) -> Finding {
        self.source.finding(self.line, Some(key.as_bytes()), severity, text)
    }
}

impl Source {
    fn finding(
        &self,
        line: usize,
        key: Option<&[u8]>,
        severity: Severity,
        text: impl Into<String>,
    ) -> Finding {
        let (file, key) = (self.path.clone(), key.map(<[u8]>::to_vec));
        Finding { file, line: Some(line), key, severity, text: text.into() }
    }
}

/// Adds the settings of a file. Its own keys must be there once: two values may be a mistake, and
/// nothing says which one is meant.
fn collect<'a>(source: &'a Source, settings: &mut Settings<'a>, findings: &mut Vec<Finding>) {
    let mut here: BTreeMap<&str, usize> = BTreeMap::new();
    for (line, said) in lines(&source.text) {
        let mut found = |key, severity, text: String| {
            findings.push(source.finding(line, key, severity, text));
        };
        match said {
            Line::Malformed { why } => found(None, Severity::Fault, why.to_owned()),
            Line::Ignored { section } => {
                let text = format!("the section [{}] is not read", Shown(section));
                found(None, Severity::NoEffect, text);
            }
            Line::Setting { key, value } => match keys::named(key) {
                None => found(Some(key), Severity::Fault, "there is no such key".to_owned()),
                Some(key) => match here.insert(key.name, line) {
                    Some(before) => {
                        let text = format!("line {before} has it already");
                        found(Some(key.name.as_bytes()), Severity::Fault, text);
                    }
                    None => {
                        settings.insert(key.name, Setting { source, line, value });
                    }
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Source, evaluate};
    use crate::config::{LockMechanism, Mapping};

    /// The configuration of some files, and the findings, a line each.
    fn read(texts: &[&[u8]]) -> (Config, Vec<String>) {
        let source = |(number, text): (usize, &&[u8])| Source {
            path: format!("/{number}").into(),
            text: text.to_vec(),
        };
        let sources: Vec<Source> = texts.iter().enumerate().map(source).collect();
        let (config, findings) = evaluate(&sources);
        (config, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_empty_file_has_the_defaults() {
        assert_eq!(read(&[b""]), (Config::default(), vec![]));
        assert_eq!(read(&[b"# linger = no\n\n[glexec]\n"]), (Config::default(), vec![]));
    }

    #[test]
    fn a_later_file_counts_more_and_the_specific_key_more_than_the_general_one() {
        let (config, findings) = read(&[
            b"log_level = 5\ninput_lock_mechanism = disabled\n",
            b"log_level=4\nmapping=caller\nlock_mechanism = fcntl\n",
        ]);
        assert_eq!(findings, [""; 0]);
        assert_eq!((config.log_level, config.mapping), (4, Mapping::Caller));
        assert_eq!(config.input_lock_mechanism, LockMechanism::Disabled);
        assert_eq!(config.target_lock_mechanism, LockMechanism::Fcntl);
    }

    #[test]
    fn each_fault_is_named_by_file_line_and_key() {
        let (_, findings) = read(&[
            b"linger = maybe\nLinger = no\n\nlinger_ = no\nlog_level 3\n",
            b"min_uid = 0\nmin_uid = 5\nuser_white_list = a b\n[x\n",
        ]);
        assert_eq!(
            findings,
            [
                "/0, line 1: linger: it must be yes or no",
                "/0, line 2: Linger: there is no such key",
                "/0, line 4: linger_: there is no such key",
                "/0, line 5: it is not of the form: key = value",
                "/1, line 1: min_uid: it must be a whole number from 1 to 4294967294",
                "/1, line 2: min_uid: line 1 has it already",
                "/1, line 3: user_white_list: \"a b\" is not the name of an account",
                "/1, line 4: the header of a section has no ]",
            ]
        );
    }

    #[test]
    fn what_has_no_effect_is_named() {
        let (config, findings) = read(&[b"[lcmaps]\nx\n[glexec]\nuse_lcas = no\nlcas_db_file =\n"]);
        assert_eq!(
            findings,
            [
                "/0, line 1: no effect: the section [lcmaps] is not read",
                "/0, line 4: use_lcas: no effect: There is no LCAS here: name the banned subjects \
                 in ban_file.",
                "/0, line 5: lcas_db_file: no effect: There is no LCAS here.",
            ]
        );
        assert_eq!(config, Config::default());
    }

    #[test]
    fn hostile_text_is_a_fault_of_one_line_of_bounded_length() {
        let long = [&b"x\x1b[2J\xff"[..], &[b'y'; 1 << 20], b" = \0\n"].concat();
        for text in [&long[..], &[0; 4096], b"linger\0 = no", b"\xef\xbb\xbflinger = no"] {
            let (_, findings) = read(&[text]);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].len() < 1000 && !findings[0].contains(char::is_control));
        }
        let key = [&b"\x1b[2J"[..], &[b'y'; 1 << 20], b" = 1"].concat();
        let (_, findings) = read(&[&key]);
        assert!(findings[0].len() < 200 && findings[0].ends_with(": there is no such key"));
    }
}

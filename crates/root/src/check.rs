//! What `glexec --check-config` prints: the findings in the configuration, and in the files that it
//! names.

use std::path::{Path, PathBuf};

use hooks::trust::{self, Owners};

use crate::config::{self, Config, ConfigError, Destination, Finding, Mapping, Severity};
use crate::mapping::{ban, caller_map, grid_mapfile};
use crate::root_directory;
use crate::trusted;

/// The parser of a map: the lines that are not understood.
type Faults = fn(&[u8]) -> Vec<(usize, &'static str)>;

/// All that is wrong or without effect in the configuration, and in the files that it names as far
/// as they are used. The error says why no configuration could be read.
pub fn check_config() -> Result<Vec<Finding>, ConfigError> {
    let (config, mut findings) = config::load()?;
    if config.user_white_list.is_empty() && !findings.iter().any(is_about_callers) {
        let text = "it is missing: no user may call".to_owned();
        let missing = finding("user_white_list", Path::new(config::FILE), None, text);
        findings.push(Finding { severity: Severity::Notice, ..missing });
    }
    findings.extend(named_files(&config));
    Ok(findings)
}

fn is_about_callers(finding: &Finding) -> bool {
    finding.key.as_deref() == Some(b"user_white_list")
}

/// What is wrong with the files that a configuration names and uses.
fn named_files(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    match config.mapping {
        Mapping::Proxy => {
            let maps: [(&str, Option<&PathBuf>, u64, Faults); 2] = [
                (
                    "grid_mapfile",
                    Some(&config.grid_mapfile),
                    grid_mapfile::LONGEST,
                    grid_mapfile::faults,
                ),
                ("ban_file", config.ban_file.as_ref(), ban::LONGEST, ban::faults),
            ];
            for (key, path, longest, faults) in maps {
                if let Some(path) = path {
                    findings.extend(map(key, path, longest, faults));
                }
            }
            findings.extend(directory("gridmapdir", &config.gridmapdir));
            findings.extend(directory("ca_directory", &config.ca_directory));
        }
        Mapping::Caller => {
            let path = &config.caller_map;
            findings.extend(map("caller_map", path, caller_map::LONGEST, caller_map::faults));
            // Only a map with pools needs it.
            if config.gridmapdir.exists() {
                findings.extend(directory("gridmapdir", &config.gridmapdir));
            }
        }
    }
    if let Some(path) = &config.root_directories {
        let (longest, faults) = (root_directory::LONGEST, root_directory::faults);
        findings.extend(map("root_directories", path, longest, faults));
    }
    if config.log_destination == Destination::File {
        let parent = config.log_file.parent().filter(|parent| *parent != Path::new("/"));
        findings.extend(parent.and_then(|parent| directory("log_file", parent)));
    }
    findings
}

/// What is wrong with a map.
fn map(key: &str, path: &Path, longest: u64, faults: Faults) -> Vec<Finding> {
    match trusted::read(path, longest) {
        Err(error) => vec![finding(key, path, None, error.to_string())],
        Ok(text) => faults(&text)
            .into_iter()
            .map(|(line, why)| finding(key, path, Some(line), why.to_owned()))
            .collect(),
    }
}

fn directory(key: &str, path: &Path) -> Option<Finding> {
    let opened = trust::open_directory(path, &Owners::ROOT);
    opened.err().map(|error| finding(key, path, None, error.to_string()))
}

fn finding(key: &str, path: &Path, line: Option<usize>, text: String) -> Finding {
    let key = Some(key.as_bytes().to_vec());
    Finding { file: path.to_owned(), line, key, severity: Severity::Fault, text }
}

//! How a sandbox changes hands: by a change of owner, or by a copy.

use serde_json::Value;
use wire::{Dropped, Totals};

/// The way that is asked for (`GLEXEC_HELPERS_HANDOVER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// By a change of owner, where the switcher offers it and a copy is not faster.
    #[default]
    Auto,
    /// By a change of owner, wherever the switcher offers it and the sandbox allows it.
    Own,
    /// By a copy.
    Copy,
}

/// The way that was taken, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A change of owner.
    Own {
        /// How many files were copied after all, by reason.
        copied: Vec<(String, u64)>,
    },
    /// A copy.
    Copy {
        /// Why the owner was not changed; none if no other way was offered, or asked for.
        reason: Option<String>,
    },
}

/// The report of the switcher about a change of owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What has changed its owner; `bytes` is not counted.
    pub totals: Totals,
    /// What a copy would have left out.
    pub dropped: Dropped,
    /// How many files were copied after all, by reason.
    pub copied: Vec<(String, u64)>,
    /// The paths of some links that were removed.
    pub removed_links: Vec<String>,
}

impl Changed {
    /// Reads a report. A member that is missing counts as zero.
    pub fn from_json(report: &Value) -> Changed {
        let number = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        let copied = report.get("copied").and_then(Value::as_object).into_iter().flatten();
        let links = report.get("removed_links").and_then(Value::as_array).into_iter().flatten();
        Changed {
            totals: Totals {
                directories: number("/directories"),
                files: number("/files"),
                symlinks: number("/symlinks"),
                links: number("/hard_links"),
                ..Totals::default()
            },
            dropped: Dropped {
                specials: number("/dropped/special_files"),
                bits: number("/dropped/mode_bits"),
                attributes: number("/dropped/attributes"),
                unreadable: 0,
                links: number("/dropped/links"),
            },
            copied: copied
                .map(|(reason, count)| (reason.clone(), count.as_u64().unwrap_or_default()))
                .filter(|(_, count)| *count > 0)
                .collect(),
            removed_links: links.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Changed;

    #[test]
    fn the_report_of_a_take_is_read() {
        let changed = Changed::from_json(&json!({
            "operation": "take", "directory": "/a", "uid": 7, "files": 3, "directories": 2,
            "symlinks": 1, "hard_links": 4, "copied": { "written": 1, "unproved": 0 },
            "dropped": { "special_files": 5, "mode_bits": 6, "attributes": 8, "links": 1 },
            "removed_links": ["/a/out"],
        }));
        assert_eq!((changed.totals.files, changed.totals.links), (3, 4));
        assert_eq!((changed.dropped.specials, changed.dropped.bits), (5, 6));
        assert_eq!(changed.copied, [("written".to_owned(), 1)]);
        assert_eq!(changed.removed_links, ["/a/out"]);
        assert_eq!(Changed::from_json(&json!(null)), Changed::default());
    }
}

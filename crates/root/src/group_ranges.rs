//! Ranges of group ids in the configuration: those that a batch system adds to a job's groups to
//! follow its processes.

use std::ops::RangeInclusive;

use error::Shown;
use sys::Gid;

/// Ranges of group ids. Root's is in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRanges(Vec<RangeInclusive<u32>>);

impl GroupRanges {
    /// Reads ids and ranges `first-last`, separated by commas; blanks around them do not count. The
    /// error says what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<GroupRanges, String> {
        if text.trim_ascii().is_empty() {
            return Ok(GroupRanges::default());
        }
        let words = text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let range = |word| {
            range(word).ok_or_else(|| {
                format!("{} is neither a group id above 0 nor a range first-last", Shown(word))
            })
        };
        words.map(range).collect::<Result<_, _>>().map(GroupRanges)
    }

    /// Whether a group is in one of the ranges.
    pub fn contains(&self, group: Gid) -> bool {
        self.0.iter().any(|range| range.contains(&group.as_raw()))
    }
}

fn range(word: &[u8]) -> Option<RangeInclusive<u32>> {
    let word = std::str::from_utf8(word).ok()?;
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|id| is_number && *id != 0 && *id != u32::MAX)
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::{Gid, GroupRanges};

    #[test]
    fn ids_and_ranges_are_read() {
        let ranges = GroupRanges::parse(b" 700 ,20000-20002").unwrap_or_default();
        let found: Vec<u32> =
            (0..30_000).filter(|id| ranges.contains(Gid::from_raw(*id))).collect();
        assert_eq!(found, [700, 20000, 20001, 20002]);
        assert_eq!(GroupRanges::parse(b" "), Ok(GroupRanges::default()));
    }

    #[test]
    fn what_is_no_range_is_refused_and_so_is_roots_group() {
        for text in ["0", "0-5", "5-4", "5-", "-5", "+5", "a", "5,", "5-6-7", "4294967295", "5 6"] {
            assert!(GroupRanges::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}

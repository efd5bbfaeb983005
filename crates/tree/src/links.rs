//! Whether a symbolic link leaves its tree.

use error::Result;
use sys::Name;

use super::walk::Walk;

/// What the components of a link's target tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leads to a place inside the tree, or nowhere, provided that every other link of the tree
    /// does so, too.
    Stays,
    /// It is absolute, or climbs above the top.
    Leaves,
    /// It climbs out of a directory that it has entered by name. If that name is a link's, it may
    /// arrive anywhere: only the kernel can tell, once the tree is complete.
    Unsure,
}

/// Judges the target of a link, by its components alone. The link is in a directory `depth` levels
/// below the top.
///
/// A target with `..` only at its beginning climbs through real directories, since a real directory
/// holds the link. From there it goes down by names. Where one of these is a link, that link is
/// judged separately.
pub fn judge(target: &[u8], depth: usize) -> Verdict {
    if target.first() == Some(&b'/') {
        return Verdict::Leaves;
    }
    let (mut level, mut verdict, mut went_down) = (depth, Verdict::Stays, false);
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if level == 0 => return Verdict::Leaves,
            b".." => {
                level -= 1;
                if went_down {
                    verdict = Verdict::Unsure;
                }
            }
            _ => {
                level += 1;
                went_down = true;
            }
        }
    }
    verdict
}

/// As [`judge`], for an entry of the current directory. Where the target does not tell, the kernel
/// resolves it; if that fails, the link counts as one that leaves.
pub(crate) fn judge_at(walk: &Walk, name: Name<'_>, target: &[u8]) -> Result<Verdict> {
    let verdict = judge(target, walk.depth());
    if verdict == Verdict::Unsure {
        let path = walk.below_top(name);
        let top = walk.top()?;
        if path.is_none_or(|path| top.leads_outside(&path) != Some(false)) {
            return Ok(Verdict::Leaves);
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_components_of_a_target_tell_whether_it_leaves() {
        for (target, depth, verdict) in [
            (&b"file"[..], 0, Verdict::Stays),
            (b"./a//b/", 0, Verdict::Stays),
            (b"...", 0, Verdict::Stays),
            (b"../../file", 2, Verdict::Stays),
            (b"", 0, Verdict::Stays),
            (b"/", 5, Verdict::Leaves),
            (b"//etc/passwd", 5, Verdict::Leaves),
            (b"..", 0, Verdict::Leaves),
            (b"../../file", 1, Verdict::Leaves),
            (b"a/../../b", 0, Verdict::Leaves),
            (b"../a/../../b", 1, Verdict::Leaves),
            (b"a/../b", 0, Verdict::Unsure),
            (b"../a/../b", 1, Verdict::Unsure),
        ] {
            assert_eq!(
                judge(target, depth),
                verdict,
                "{:?} at {depth}",
                target.escape_ascii().to_string()
            );
        }
    }
}

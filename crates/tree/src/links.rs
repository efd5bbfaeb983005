//! Where symbolic links lead, told from their names alone.

/// What the names of a link's target say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leads to a place inside the tree, or to none, as long as every other link of the tree
    /// does.
    Stays,
    /// It is absolute, or climbs above the top.
    Leaves,
    /// It climbs out of a directory that it has gone into by name. If that name is a link's, it may
    /// come out anywhere: only the kernel can tell, once the tree is complete.
    Unsure,
}

/// Judges the target of a link in a directory `depth` levels below the top.
///
/// A target that climbs only at its beginning starts from real directories, since the one that
/// holds the link is one; from there it goes down by names, and where one of these is a link, that
/// has been judged by itself.
pub fn judge(target: &[u8], depth: usize) -> Verdict {
    if target.first() == Some(&b'/') {
        return Verdict::Leaves;
    }
    let (mut level, mut verdict, mut down) = (depth, Verdict::Stays, false);
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if level == 0 => return Verdict::Leaves,
            b".." => {
                level -= 1;
                if down {
                    verdict = Verdict::Unsure;
                }
            }
            _ => {
                level += 1;
                down = true;
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_target_tell_whether_it_leaves() {
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

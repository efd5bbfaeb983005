//! The names of scripts in the directories added, changed and removed: `NN[W|D]-name`.

/// How the calling process runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `W`: it waits for the script's end.
    Waited,
    /// `D`: it starts the script, and goes on.
    Detached,
    /// No letter: the script is one of a list, which run one after the other in the background.
    Listed,
}

/// The ends of names that editors and package managers give to copies.
const COPIES: [&str; 12] = [
    "~", ".bak", ".orig", ".rej", ".swp", ".swo", ".tmp", ".old", ".rpmsave", ".rpmnew",
    ".rpmorig", ".pyc",
];

/// What stands before the end of a name that dpkg gives to copies.
const DPKG: &str = ".dpkg-";

/// The mode that a name asks for, and the rest of it behind the hyphen; or why it is passed over.
///
/// The name begins with digits, `W` or `D` or neither, and a hyphen. The rest has letters, digits
/// and `. _ - + : @ ,`.
pub(crate) fn parse(name: &[u8]) -> Result<(Mode, &str), &'static str> {
    const FORM: &str = "its name is not NN-name, NNW-name or NND-name";
    let name = std::str::from_utf8(name).map_err(|_| FORM)?;
    if COPIES.iter().any(|end| name.ends_with(end)) || name.contains(DPKG) {
        return Err("its name is that of a copy of another file");
    }
    let (head, rest) = name.split_once('-').ok_or(FORM)?;
    let digits = head.trim_end_matches(|c: char| !c.is_ascii_digit());
    let mode = match &head[digits.len()..] {
        "W" => Mode::Waited,
        "D" => Mode::Detached,
        "" => Mode::Listed,
        _ => return Err(FORM),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+:@,".contains(c);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || rest.is_empty() || !rest.chars().all(is_plain) {
        return Err(FORM);
    }
    Ok((mode, rest))
}

#[cfg(test)]
mod tests {
    use super::{Mode, parse};

    #[test]
    fn a_name_says_how_its_script_runs() {
        for (name, expected) in [
            ("10W-determine-settings.sh", (Mode::Waited, "determine-settings.sh")),
            ("20D-manage_workspace.sh", (Mode::Detached, "manage_workspace.sh")),
            ("50-a.b.c", (Mode::Listed, "a.b.c")),
            ("001-x", (Mode::Listed, "x")),
        ] {
            assert_eq!(parse(name.as_bytes()), Ok(expected));
        }
    }

    #[test]
    fn other_names_and_copies_are_passed_over() {
        let names = "README 10w-x 10X-x W-x 10W- 10Wx 10W_x 1a0-x .10W-x 10W-x~ 10W-x.bak #10W-x# \
             10W-x.dpkg-old 10W-x.dpkg-new.1 10-x.rpmsave 10-x.swp";
        for name in names.split(' ') {
            assert!(parse(name.as_bytes()).is_err(), "{name}");
        }
        for name in [&b"10W-a b"[..], b"10W-a\nb", b"10W-\xff", b""] {
            assert!(parse(name).is_err(), "{}", name.escape_ascii());
        }
    }
}

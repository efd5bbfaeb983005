//! What a script prints for the payload: lines `export NAME=VALUE`, `unset NAME`, `print TEXT`, the
//! words of Slurm's prolog of a task.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use error::Shown;

use crate::environment;

/// The name that asks for a root directory.
const ROOT: &[u8] = b"GLEXEC_ROOT";

/// The same in the file of pam_script's scripts.
const ROOT_OF_PAM_SCRIPT: &[u8] = b"CHROOTDIR=";

/// A change of the payload's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The variable gets this value.
    Set(OsString, OsString),
    /// The variable is removed.
    Unset(OsString),
}

/// The changes, in their order, and the texts for the payload's standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changes of the environment.
    pub environment: Vec<Change>,
    /// Lines, without their newline.
    pub print: Vec<OsString>,
    /// The root directory that the payload gets, by `export GLEXEC_ROOT=…`, or by CHROOTDIR in the
    /// file of pam_script's scripts. It is no variable of the payload's.
    pub root: Option<OsString>,
}

impl Changes {
    /// Adds what a script has printed, and returns a line for each line that is refused.
    pub(crate) fn read(&mut self, output: &[u8]) -> Vec<String> {
        let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.filter_map(|line| self.read_line(line).err()).collect()
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), String> {
        let refused = |why: &str| {
            Err(format!("line refused: {}: {why}", Shown(&line[..line.len().min(200)])))
        };
        if line.contains(&0) {
            return refused("it holds a NUL");
        }
        let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
            Some(blank) => (&line[..blank], line[blank..].trim_ascii_start()),
            None => (line, &b""[..]),
        };
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        match word {
            b"print" => self.print.push(text(rest)),
            b"unset" => match name_refused(rest) {
                Some(why) => return refused(why),
                None => self.environment.push(Change::Unset(text(rest))),
            },
            b"export" => {
                let Some(equals) = rest.iter().position(|byte| *byte == b'=') else {
                    return refused("there is no =");
                };
                let (name, value) = (&rest[..equals], &rest[equals + 1..]);
                if name == ROOT {
                    self.root = Some(text(value));
                    return Ok(());
                }
                match name_refused(name) {
                    Some(why) => return refused(why),
                    None => self.environment.push(Change::Set(text(name), text(value))),
                }
            }
            _ => return refused("it is neither export, unset nor print"),
        }
        Ok(())
    }

    /// Reads the file that pam_script's scripts can write to: lines `NAME=VALUE`.
    pub(crate) fn read_info(&mut self, content: &[u8]) {
        let lines = content.split(|byte| *byte == b'\n');
        if let Some(path) =
            lines.filter_map(|line| line.strip_prefix(ROOT_OF_PAM_SCRIPT)).next_back()
        {
            let path = path.trim_ascii().strip_suffix(b"\"").unwrap_or(path.trim_ascii());
            let path = path.strip_prefix(b"\"").unwrap_or(path);
            self.root = Some(OsStr::from_bytes(path).to_owned()).filter(|path| !path.is_empty());
        }
    }

    /// Applies the changes to an environment of entries `NAME=VALUE`.
    pub fn apply(&self, environment: &mut Vec<OsString>) {
        for change in &self.environment {
            let (Change::Set(name, _) | Change::Unset(name)) = change;
            environment.retain(|entry| name_of(entry) != name.as_bytes());
            if let Change::Set(name, value) = change {
                let mut entry = name.clone();
                entry.push("=");
                entry.push(value);
                environment.push(entry);
            }
        }
    }

    /// The changes of the environment for a pipe between processes of one program: entries that end
    /// with a NUL, `NAME=VALUE` or `NAME`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for change in &self.environment {
            let (Change::Set(name, _) | Change::Unset(name)) = change;
            bytes.extend_from_slice(name.as_bytes());
            if let Change::Set(_, value) = change {
                bytes.push(b'=');
                bytes.extend_from_slice(value.as_bytes());
            }
            bytes.push(0);
        }
        bytes
    }

    /// Reads the bytes of [`Changes::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Changes {
        let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        let environment = entries
            .map(|entry| match entry.iter().position(|byte| *byte == b'=') {
                Some(equals) => Change::Set(text(&entry[..equals]), text(&entry[equals + 1..])),
                None => Change::Unset(text(entry)),
            })
            .collect();
        Changes { environment, print: Vec::new(), root: None }
    }
}

fn name_of(entry: &OsStr) -> &[u8] {
    entry.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// Why a variable with this name cannot be changed; none if it can.
fn name_refused(name: &[u8]) -> Option<&'static str> {
    if !environment::is_variable(name) {
        Some("it does not name a variable: letters, digits and _")
    } else if environment::is_loaders(name) {
        Some("the loader obeys this variable: set it in the payload")
    } else if name.starts_with(b"GLEXEC_") {
        Some("names that begin with GLEXEC_ are the switcher's")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Change, Changes};

    #[test]
    fn export_unset_and_print_are_applied_in_their_order() {
        let mut changes = Changes::default();
        let refused = changes.read(b"export A=1 2=3\nprint  hello world\nunset B\nexport A=\n");
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(changes.print, [OsString::from("hello world")]);
        let mut environment = ["B=x", "A=0", "BB=y"].map(OsString::from).into();
        changes.apply(&mut environment);
        assert_eq!(environment, ["BB=y", "A="].map(OsString::from));
        let again = Changes::from_bytes(&changes.to_bytes());
        assert_eq!(again.environment, changes.environment);
        assert_eq!(again.environment[1], Change::Unset("B".into()));
    }

    #[test]
    fn a_root_directory_is_named_by_a_line_or_in_pam_scripts_file() {
        let mut changes = Changes::default();
        assert!(changes.read(b"export GLEXEC_ROOT=/srv/a\n").is_empty());
        assert_eq!((changes.root.clone(), changes.environment.len()), (Some("/srv/a".into()), 0));
        changes.read_info(b"A=1\nCHROOTDIR=\"/srv/b\"\n");
        assert_eq!(changes.root, Some("/srv/b".into()));
    }

    #[test]
    fn what_the_loader_obeys_and_what_is_no_variable_is_refused() {
        for line in [
            &b"export LD_PRELOAD=/x"[..],
            b"export GLIBC_TUNABLES=x",
            b"export GLEXEC_ENV=x",
            b"export =x",
            b"export A",
            b"export A\0B=x",
            b"export A=x\0y",
            b"export a b=x",
            b"export 1=x",
            b"unset",
            b"unset A=B",
            b"export",
            b"Export A=1",
            b"echo hello",
        ] {
            let mut changes = Changes::default();
            assert_eq!(changes.read(line).len(), 1, "{}", line.escape_ascii());
            assert_eq!(changes, Changes::default());
        }
    }
}

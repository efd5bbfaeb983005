//! The payload's variables that the caller gives.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use error::Shown;

/// The variable of an option `--env`, as `NAME=VALUE`. The option gives it in this form, or as the
/// name of a variable of this process; a question mark after the name makes that one optional.
pub fn of_option(text: &OsStr) -> anyhow::Result<Option<Vec<u8>>> {
    let bytes = text.as_bytes();
    if let Some(end) = bytes.iter().position(|byte| *byte == b'=') {
        check_name(&bytes[..end]).context("--env")?;
        return Ok(Some(bytes.to_vec()));
    }
    let (name, is_optional) = bytes.strip_suffix(b"?").map_or((bytes, false), |name| (name, true));
    check_name(name).context("--env")?;
    match std::env::var_os(OsStr::from_bytes(name)) {
        Some(value) => Ok(Some([name, b"=", &value.into_vec()].concat())),
        None if is_optional => Ok(None),
        None => {
            let name = Shown(name);
            bail!("--env {name}: the caller has no such variable; --env '{name}?' allows that")
        }
    }
}

/// The variables in a file of `--env-file`, as `NAME=VALUE` each.
pub fn of_file(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let option = || format!("--env-file {}", Shown::os(path));
    let content = std::fs::read(path).with_context(option)?;
    let mut variables = Vec::new();
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let option = || format!("{}, line {}", option(), number + 1);
        if line.ends_with(b"\r") {
            bail!(
                "{}: it ends with a carriage return, which would become part of the value: \
                 remove it (dos2unix(1))",
                option()
            );
        }
        if line.trim_ascii().is_empty() || line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let Some(end) = line.iter().position(|byte| *byte == b'=').filter(|_| !line.contains(&0))
        else {
            bail!("{}: it must be NAME=VALUE", option());
        };
        check_name(&line[..end]).with_context(option)?;
        variables.push(line.to_vec());
    }
    Ok(variables)
}

/// Refuses a name with white space: it is a mistake, such as `export NAME`.
fn check_name(name: &[u8]) -> anyhow::Result<()> {
    if name.is_empty() {
        bail!("the name of the variable is empty");
    }
    if name.iter().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        bail!("'{}' is not the name of a variable: it contains white space", Shown(name));
    }
    Ok(())
}

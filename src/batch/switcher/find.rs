//! Where programs are: in PATH, or beside this one.

use std::ffi::OsStr;
use std::path::PathBuf;

use command::executable;
use error::{Context as _, Result};
use sys::Errno;

/// The path of a program of this project. All are installed in one directory.
pub fn installed_program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().at("find the directory of", "this program")?;
    Ok(this.with_file_name(name))
}

/// Finds a program in PATH, as a shell does.
pub fn find_in_path(name: &OsStr) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = executable::find(name, std::env::split_paths(&path));
    found.ok_or(Errno::ENOENT).at("find in PATH", name)
}

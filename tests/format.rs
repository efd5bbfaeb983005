//! The format of the source, where `cargo fmt` leaves it open.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// The most characters of a line.
const LONGEST: usize = 100;

/// The Rust files below a folder, without builds (`target`) and hidden folders.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(rust_files(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_line_of_a_rust_file_has_more_than_100_characters() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut lines, mut too_long) = (0, Vec::new());
    for path in rust_files(top) {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            lines += 1;
            if line.chars().count() > LONGEST {
                let path = path.strip_prefix(top).unwrap().display();
                too_long.push(format!("{path}:{}", number + 1));
            }
        }
    }
    assert!(lines > 10_000 && too_long.is_empty(), "of {lines} lines: {too_long:#?}");
}

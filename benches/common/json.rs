//! The file with all samples.

use std::fs::File;

use serde_json::{Value, json};

use super::machine;

/// Writes the outcomes, and the facts about this machine.
pub fn write(file: File, small: bool, outcomes: &[Value]) {
    let all = json!({
        "kernel": machine::kernel(),
        "processors": machine::processors(),
        "memory": machine::memory("MemTotal:"),
        "small": small,
        "outcomes": outcomes,
    });
    serde_json::to_writer_pretty(file, &all).expect("the JSON file can be written");
}

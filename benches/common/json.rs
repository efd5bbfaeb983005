//! The file with all samples.

use std::fs::File;

use serde_json::{Value, json};

use super::machine;

/// Writes the samples, and the facts about this machine.
pub fn write(file: File, small: bool, samples: &[Value]) {
    let all = json!({
        "kernel": machine::kernel(),
        "processors": machine::processors(),
        "memory": machine::memory("MemTotal:"),
        "small": small,
        "outcomes": samples,
    });
    serde_json::to_writer_pretty(file, &all).expect("the JSON file can be written");
}

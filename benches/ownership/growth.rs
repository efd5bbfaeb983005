//! How the times grow with the number of files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::common::options::{Options, number};
use super::common::rounds;
use super::common::table::Table;
use super::common::times::{self, Times};
use super::file_system::{FileSystem, Mounted, Room};
use super::memory;
use super::moves::{CP, RSYNC, cp, rsync};
use super::sides::{self, CALLS, COPY, OWN, Side};
use super::support::{Account, Site, own};

const SIDES: [Side; 5] = [sides::calls, sides::own_helpers, sides::copy_helpers, cp, rsync];

/// What is drawn and written into the table.
pub const NAMES: [&str; 8] = [CALLS[0], CALLS[1], OWN[0], OWN[1], COPY[0], COPY[1], CP, RSYNC];

const TABLE: Table<9> = Table([10, 10, 10, 13, 14, 13, 14, 9, 9]);

/// The bytes of each file.
const SIZE: usize = 1 << 10;

/// From this number of files on three rounds are enough.
const MANY: usize = 100_000;

/// What is measured.
pub struct Order {
    pub file_system: FileSystem,
    steps: Vec<usize>,
}

/// What was measured with one number of files.
pub struct Step {
    pub files: usize,
    times: Times,
}

impl Order {
    pub fn read(options: &Options) -> Result<Order, String> {
        let given = options.list("--growth").unwrap_or_else(|| match options.small {
            true => vec!["10", "100", "1000"],
            false => vec!["1000", "10000", "100000", "1000000"],
        });
        let steps = given.into_iter().map(|word| number("--growth", word));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let names = options.list("--growth-fs").map(|_| ());
        let chosen = options.chosen("--growth-fs", &FileSystem::ALL, FileSystem::name)?;
        let file_system = names.map_or(FileSystem::Ext4, |()| chosen[0]);
        Ok(Order { file_system, steps })
    }
}

impl Step {
    /// The median, in milliseconds.
    pub fn median(&self, name: &str) -> f64 {
        times::median(&self.times[name])
    }

    pub fn samples(&self, order: &Order) -> Value {
        let (file_system, times) = (order.file_system.name(), times::samples(&self.times));
        json!({ "fs": file_system, "files": self.files, "ms": times })
    }
}

/// Measures all steps.
pub fn measure(order: &Order, options: &Options) -> Vec<Step> {
    let most = order.steps.iter().copied().max().unwrap_or(0);
    let site = Site::new();
    // Each file has a block and exists twice for a time; a third for the file system itself.
    let room = Room { megabytes: 320 + 3 * most.div_ceil(256), inodes: 3 * most + 10_000 };
    let _mounted = Mounted::new(order.file_system, &site, room);
    let step = |files: &usize| {
        eprintln!("bench: {files} files on {}", order.file_system.name());
        let rounds = options.rounds.min(if *files < MANY { usize::MAX } else { 3 });
        let times = rounds::run(rounds, SIDES, |side| {
            memory::touch_and_free(16 * 1024 * *files as u64);
            let sandbox = site.sandbox("sandbox");
            fill(&sandbox, *files);
            side(&site, &sandbox)
        });
        Step { files: *files, times }
    };
    order.steps.iter().map(step).collect()
}

/// Writes files, 100 in each directory, and 100 directories in each one above.
fn fill(sandbox: &Path, files: usize) {
    let content = [b'x'; SIZE];
    for number in 0..files {
        let (top, below) = (number / 10_000, number / 100);
        let directory = sandbox.join(format!("top-{top}/directory-{below}"));
        if number % 100 == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::write(directory.join(format!("file-{number}")), content).unwrap();
    }
    own(sandbox, Account::batch());
}

/// The table: medians in milliseconds.
pub fn table(order: &Order, grown: &[Step]) -> String {
    let mut names = [""; 9];
    names[0] = order.file_system.name();
    names[1..].copy_from_slice(&NAMES);
    let mut table = String::from("files, and milliseconds:\n");
    table += &TABLE.heading(names);
    for step in grown {
        let mut cells = [const { String::new() }; 9];
        cells[0] = step.files.to_string();
        for (cell, name) in cells[1..].iter_mut().zip(NAMES) {
            *cell = format!("{:.1}", step.median(name));
        }
        table += &TABLE.line(&cells);
    }
    table
}

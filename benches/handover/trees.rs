//! The trees that are moved. They are the same in every round: all random values have fixed seeds.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::support::{Account, own};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A tree by its name.
#[derive(Clone, Copy)]
pub struct Tree {
    pub name: &'static str,
    /// Its approximate size.
    bytes: u64,
    /// Writes it below a directory: all of its files divided by this number.
    write: fn(&Path, usize),
}

pub const TREES: [Tree; 5] = [
    Tree { name: "tiny", bytes: 1 << 10, write: tiny },
    Tree {
        name: "small",
        bytes: 40 << 20,
        write: |top, divisor| {
            many(divisor, |number| top.join(format!("directory-{}", number / 100)))
        },
    },
    Tree {
        name: "flat",
        bytes: 40 << 20,
        write: |top, divisor| many(divisor, |_| top.to_path_buf()),
    },
    Tree { name: "mixed", bytes: 64 << 20, write: mixed },
    Tree { name: "large", bytes: 1 << 30, write: large },
];

impl Tree {
    /// The approximate size of what is written.
    pub fn bytes(&self, small: bool) -> u64 {
        self.bytes / divisor(small) as u64
    }

    /// Fills a sandbox of the batch user.
    pub fn fill(&self, sandbox: &Path, small: bool) {
        (self.write)(sandbox, divisor(small));
        own(sandbox, Account::batch());
    }
}

/// What the number of files is divided by.
fn divisor(small: bool) -> usize {
    if small { 100 } else { 1 }
}

fn tiny(top: &Path, _: usize) {
    for name in ["executable", "input", "parameters"] {
        fs::write(top.join(name), name).unwrap();
    }
}

fn many(divisor: usize, directory_of: impl Fn(usize) -> PathBuf) {
    let content = noise(&mut Rng::with_seed(1), 4 * KIB);
    for number in 0..10_000 / divisor {
        let directory = directory_of(number);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("file-{number}")), &content).unwrap();
    }
}

/// Sizes as in a source checkout: half are below 3 KiB, one in fifty is empty, and a few have a
/// MiB. One entry in fifty is a link.
fn mixed(top: &Path, divisor: usize) {
    let mut rng = Rng::with_seed(2);
    let content = noise(&mut rng, 4 * MIB);
    for number in 0..4_000 / divisor {
        let depth = rng.usize(..6);
        let directory =
            (0..depth).fold(top.to_path_buf(), |path, _| path.join(format!("d{}", rng.u8(..4))));
        fs::create_dir_all(&directory).unwrap();
        let name = format!("file-{number}");
        let size =
            if rng.u8(..50) == 0 { 0 } else { log_normal(&mut rng, 8.0, 1.8).min(content.len()) };
        fs::write(directory.join(&name), &content[..size]).unwrap();
        if rng.u8(..50) == 0 {
            symlink(&name, directory.join(format!("link-{number}"))).unwrap();
        }
    }
}

fn large(top: &Path, divisor: usize) {
    let content = noise(&mut Rng::with_seed(3), MIB);
    let mut file = File::create(top.join("large")).unwrap();
    for _ in 0..1024 / divisor {
        file.write_all(&content).unwrap();
    }
}

fn noise(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    rng.fill(&mut noise);
    noise
}

/// A log-normal number. The sum of twelve uniform numbers is about normally distributed, with the
/// variance 1.
fn log_normal(rng: &mut Rng, mean: f64, deviation: f64) -> usize {
    let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
    (mean + deviation * normal).exp() as usize
}

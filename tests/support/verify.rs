//! glexec_verify, which cargo does not build with the tests: it is in another workspace.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

pub const NAME: &str = "glexec_verify";

/// Builds it, and puts it into the directory of the other programs, once for each file of tests.
pub fn build(programs: &Path) {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let target = programs.parent().expect("the directory of a profile has a parent");
        let mut cargo = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/verify/cargo"));
        cargo.args(["build", "--locked", "--quiet"]).env("CARGO_TARGET_DIR", target);
        let status = cargo.status().expect("bash can be executed");
        assert!(status.success(), "glexec_verify was not built; it needs libssl-dev: ci/provision");
        // Another file of tests can do the same meanwhile.
        let new = programs.join(format!(".{NAME}.{:016x}", fastrand::u64(..)));
        fs::copy(target.join("verify/debug").join(NAME), &new).expect("it was built");
        fs::rename(new, programs.join(NAME)).expect("it can be replaced");
    });
}

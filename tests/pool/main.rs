//! A pool of HTCondor whose nodes run payloads through `condor_glexec_pilot wrap`, and one that
//! runs them as HTCondor does without it, for comparison. `scripts/pool test` runs these tests.
//!
//! [`batch`] has the jobs that only run and end: they are submitted at once, for each way.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod batch;
mod cluster;
mod ends;
mod files;
mod fixture;
mod hostile;
mod interrupted;
mod killed;
mod long;
mod proxy;
mod surroundings;
mod ways;

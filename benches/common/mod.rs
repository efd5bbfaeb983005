//! What the benches share: their options, calls of the switcher, times, and the file with all
//! samples.

pub mod calls;
pub mod json;
pub mod machine;
pub mod options;
pub mod program;
pub mod times;

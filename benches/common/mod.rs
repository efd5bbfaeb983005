//! What the benches share: the program, its options, the rounds, calls of the switcher, times, the
//! tables, drawings, and the file with all samples.
#![allow(dead_code)]

pub mod calls;
pub mod json;
pub mod machine;
pub mod options;
pub mod program;
pub mod rounds;
pub mod svg;
pub mod table;
pub mod times;

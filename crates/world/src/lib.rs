//! The closed world of a payload: what it can see, write, and ask of the kernel.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod filter;

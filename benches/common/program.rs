//! A bench as a program.

use std::process::ExitCode;

/// Measures what the command line asks for, or says what could be asked.
pub fn main<Options>(
    help: &str,
    parse: impl FnOnce(std::vec::IntoIter<String>) -> Result<Options, String>,
    measure: impl FnOnce(Options),
) -> ExitCode {
    // cargo says --bench to every bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.iter().any(|word| word == "--help") {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    match parse(words.into_iter()) {
        Ok(options) => {
            measure(options);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

//! A bench as a program.

use std::process::ExitCode;

use serde_json::Value;

use super::json;
use super::options::Options;

/// The `main` of a bench: reads the command line, measures, and writes the file with all samples.
///
/// `own` are the names of the options that only this bench has. `measure` reads them, prints the
/// tables, and returns the samples; an error of its is one line about the options.
pub fn main(
    help: &str,
    own: &[&'static str],
    measure: impl FnOnce(&Options) -> Result<Vec<Value>, String>,
) -> ExitCode {
    // cargo passes --bench to every bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.iter().any(|word| word == "--help") {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    let measured = Options::parse(words.into_iter(), own).and_then(|mut options| {
        let samples = measure(&options)?;
        if let Some(file) = options.json.take() {
            json::write(file, options.small, &samples);
        }
        Ok(())
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

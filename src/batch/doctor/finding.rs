//! One result of an examination.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is wrong.
    Ok,
    /// Payloads can run, but something is wrong.
    Warning,
    /// Payloads cannot run, or not as they should.
    Problem,
}

/// One thing that was examined.
#[derive(Debug)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it; commands are in backquotes.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(what: &str, text: impl Into<String>) -> Self {
        Finding { what: what.into(), level: Level::Ok, text: text.into(), advice: None }
    }

    pub(super) fn warning(what: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding::bad(Level::Warning, what, text.into(), advice.into())
    }

    pub(super) fn problem(what: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding::bad(Level::Problem, what, text.into(), advice.into())
    }

    fn bad(level: Level, what: &str, text: String, advice: String) -> Self {
        Finding { what: what.into(), level, text, advice: Some(advice) }
    }
}

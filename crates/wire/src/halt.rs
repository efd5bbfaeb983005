//! Ending a transfer before it is done.

use std::fmt;
use std::sync::Arc;

/// Whether a transfer is to end: asked now and then while it goes on, and while the other side is
/// waited for.
#[derive(Clone)]
pub struct Halt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Halt {
    /// The transfer ends once this says so; it must not take long, and may be asked again.
    pub fn when(is_wanted: impl Fn() -> bool + Send + Sync + 'static) -> Halt {
        Halt(Arc::new(is_wanted))
    }

    /// Whether it is to end.
    pub fn is_wanted(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Halt")
    }
}

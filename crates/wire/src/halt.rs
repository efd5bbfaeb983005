//! Ending a transfer before it is complete.

use std::fmt;
use std::sync::Arc;

/// Whether a transfer must end. It is checked during the transfer, also while the peer is waited
/// for.
#[derive(Clone)]
pub struct Halt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Halt {
    /// The transfer ends once `is_requested` returns true. The function must return quickly, and
    /// may be called again.
    pub fn when(is_requested: impl Fn() -> bool + Send + Sync + 'static) -> Halt {
        Halt(Arc::new(is_requested))
    }

    /// Whether the transfer must end.
    pub fn is_requested(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Halt")
    }
}

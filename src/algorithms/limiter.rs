//! What every algorithm answers.

use super::time::Span;

/// One limiter at one instant.
pub trait Limiter {
    /// Units that count, rounded up; at most [`MAX_USED`](super::MAX_USED).
    fn used(&self) -> i64;

    /// How long until at most `level` units count, if nobody charges; nothing if that is so already.
    ///
    /// Exact: one microsecond earlier, more than `level` would count.
    fn until_at_most(&self, level: i64) -> Span;

    /// How long until the limiter is as good as unused.
    fn until_unused(&self) -> Span {
        self.until_at_most(0)
    }

    /// Charges `units`; gives them back when negative, never below unused. Answers whether the state to store changes.
    ///
    /// The caller has seen to it that no more than [`MAX_USED`](super::MAX_USED) will count.
    fn charge(&mut self, units: i64) -> bool;

    /// Whether the stored state lay so far in the future that it was pulled to the present.
    fn was_pulled(&self) -> bool;

    /// Whether a caller that is let through waits, before it proceeds, until what was used before it is unused: queues only.
    const QUEUES: bool = false;
}

//! Instants as the scores of sorted sets: whole microseconds, exact until the year 2255.

use crate::algorithms::Time;
use crate::server::Score;

/// Calls `then` with the score that stands for an instant, and its text.
pub fn with_score<T>(at: Time, then: impl FnOnce(&Score<'_>) -> T) -> T {
    then(&Score { value: score(at), text: itoa::Buffer::new().format(at.us()).as_bytes() })
}

/// The score that stands for an instant.
#[allow(clippy::cast_precision_loss)]
pub fn score(time: Time) -> f64 {
    time.us() as f64
}

/// The instant that a score stands for; None if it is no whole number. It need not be one that a limiter wrote.
#[inline(always)]
pub fn instant(of: f64) -> Option<Time> {
    // Saturates where a score was never a time.
    #[allow(clippy::cast_possible_truncation)]
    let at = Time::from_us(of as i64);
    (score(at).to_bits() == of.to_bits()).then_some(at)
}

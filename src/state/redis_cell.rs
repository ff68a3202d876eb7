//! The keys that redis-cell left.

use crate::algorithms::text::{self, Text};
use crate::algorithms::{FieldState as _, Quota, Time, TokenBucket};
use crate::server::Key;

/// The years 2001 to 2096, in nanoseconds.
const ARRIVALS: std::ops::RangeInclusive<i64> = 1_000_000_000_000_000_000..=4_000_000_000_000_000_000;

/// All arrivals have so many digits.
const DIGITS: usize = 19;

/// The state of a token bucket, as the text of its field, that a string of redis-cell's stands for.
///
/// redis-cell keeps the theoretical arrival time of the generic cell rate algorithm, in nanoseconds since the Unix epoch,
/// in a key that expires. None if that is not what `key` holds.
#[must_use]
#[cold]
pub fn as_field(key: &Key<'_>, quota: &Quota, now: Time) -> Option<Text> {
    key.expires_at_ms()?;
    let arrival = key.with_string(arrival).flatten()?;
    if !ARRIVALS.contains(&arrival) {
        return None;
    }
    let ahead_ns = arrival.saturating_sub(now.us().saturating_mul(1000)).max(0);
    let mut text = Text::default();
    TokenBucket::draining_for(quota, ahead_ns, now).format(&mut text).ok()?;
    Some(text)
}

/// The number that a string of redis-cell's is.
fn arrival(text: &[u8]) -> Option<i64> {
    // One digit more than our own numbers have.
    let (head, last) = text.split_last_chunk::<1>().filter(|_| text.len() == DIGITS)?;
    text::number(head)?.checked_mul(10)?.checked_add(text::number(last)?)
}

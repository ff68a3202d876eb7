//! What a caller asks a limiter to hold to.

use super::text;
use super::time::{Span, Time};

/// The largest limit or capacity, refill, and cost, in units.
pub const MAX_UNITS: i64 = 1_000_000_000_000;

/// The most units that may stand as used: a limit's worth and three more of forced debt.
pub const MAX_USED: i64 = 4 * MAX_UNITS;

/// A quota: so many units in so much time.
///
/// It may change from call to call; what was used stays used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Units in a window, or a bucket's capacity: 0 to [`MAX_UNITS`].
    pub limit: i64,
    /// Units that come back each `window`, 1 to [`MAX_UNITS`]; buckets only.
    pub refill: i64,
    /// The window, or a bucket's period: 1 ms to 3660 days. With [`origin`](Self::origin) also a
    /// [window of months](super::window_of_months).
    pub window: Span,
    /// Fixed windows only: they follow each other without gaps, and one of them begins at this instant, the Unix epoch plus
    /// an offset. Of months, January 1970 does.
    pub origin: Option<Time>,
}

/// The longest text of an override: two numbers of 18 digits, and what parts them.
pub const LONGEST_OVERRIDE: usize = 37;

impl Quota {
    /// This quota with the numbers that `text` names in place of its own: `limit`, or where there `is_refill` also
    /// `limit/refill`.
    ///
    /// None if `text` is not that, or beyond their ranges.
    #[must_use]
    pub fn overridden(&self, text: &[u8], is_refill: bool) -> Option<Self> {
        let (limit, refill) = match text.iter().position(|byte| *byte == b'/') {
            Some(at) if is_refill => {
                let (limit, rest) = text.split_at_checked(at)?;
                (limit, text::number(rest.get(1..)?)?)
            }
            _ => (text, self.refill),
        };
        let limit = text::number(limit)?;
        let fits = (0..=MAX_UNITS).contains(&limit) && (1..=MAX_UNITS).contains(&refill);
        fits.then_some(Self { limit, refill, ..*self })
    }
}

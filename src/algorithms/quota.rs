//! What a caller asks a limiter to hold to.

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

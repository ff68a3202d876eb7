//! A log of charges, whatever holds it.

use arrayvec::ArrayVec;

use super::quota::MAX_USED;
use super::time::Time;

/// Totals count modulo this.
const TOTALS: i64 = 1_000_000_000_000_000_000;

/// Scores from here on may be ours: it is September 2001 in microseconds. Seconds and milliseconds never get there.
pub const EARLIEST: Time = Time::from_us(1_000_000_000_000_000);

/// Scores up to here may be ours: the last whole number that a double tells from its neighbours, in the year 2255.
pub const LATEST: Time = Time::from_us(1 << 53);

/// One call in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was charged. Entries of one log never share an instant.
    pub at: Time,
    /// Units charged to the log up to and with this entry, modulo 10^18.
    pub total: i64,
    /// Units of this entry that still count, 1 or more.
    pub units: i64,
}

impl Entry {
    /// An entry from its stored parts; None if no log of ours would hold it.
    #[must_use]
    pub fn checked(at: Time, total: i64, units: i64) -> Option<Self> {
        let ours = (EARLIEST..=LATEST).contains(&at)
            && (0..TOTALS).contains(&total)
            && (units == 1 || (1..=MAX_USED).contains(&units));
        ours.then_some(Self { at, total, units })
    }

    /// Units charged after `earlier` up to and with this entry.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> i64 {
        difference(self.total, earlier.total)
    }

    /// The running total before this entry.
    #[must_use]
    pub fn total_before(&self) -> i64 {
        difference(self.total, self.units)
    }
}

/// The total after `units` more. Both are below 10^18, and so is the answer.
#[inline]
pub fn sum(total: i64, units: i64) -> i64 {
    let sum = total.saturating_add(units);
    if sum < TOTALS { sum } else { sum.saturating_sub(TOTALS) }
}

/// The units from one total to a later one. Both are below 10^18, and so is the answer.
#[inline]
pub fn difference(total: i64, earlier: i64) -> i64 {
    let difference = total.saturating_sub(earlier);
    if difference < 0 { difference.saturating_add(TOTALS) } else { difference }
}

/// The key holds something that no limiter wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherData;

/// Where a log's entries are kept, in order of time.
pub trait Log {
    /// The newest entry, if there is one.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if what is there is not an entry.
    fn newest(&self) -> Result<Option<Entry>, OtherData>;

    /// Visits the entries after an instant (without one: all), oldest first, until `visit` answers false or none is left.
    ///
    /// # Errors
    ///
    /// [`OtherData`] where it meets what is not an entry, after the entries before it were visited.
    fn walk(&self, after: Option<Time>, visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData>;

    /// Whether something lies before all entries that there can be: something other than an entry.
    fn has_more_below(&self) -> bool;

    /// How many entries there are.
    fn length(&self) -> usize;

    /// The first entry after an instant; without one, the oldest of all.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if it is not an entry.
    fn first(&self, after: Option<Time>) -> Result<Option<Entry>, OtherData> {
        let mut first = None;
        self.walk(after, |entry| {
            first = Some(entry);
            false
        })?;
        Ok(first)
    }
}

/// What a call changes of a log, in the order in which it is to be done.
///
/// Adding comes before removing: a key that loses its last entry is gone, and its expiry with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Whether all entries go, before anything is added.
    pub clear: bool,
    /// Entries to add.
    pub added: ArrayVec<Entry, 2>,
    /// An entry that goes, since one of `added` has taken its place.
    pub replaced: Option<Entry>,
    /// Which of the oldest entries go.
    pub dropped: Dropped,
}

/// Which of the oldest entries go. What is met among them that is not an entry stays, and all after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    /// None of them.
    #[default]
    None,
    /// So many at most, none of them later than this instant: a few.
    Oldest(usize, Time),
    /// All before an instant: any number.
    Before(Time),
}

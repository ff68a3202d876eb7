//! The sliding log: every call is remembered until it is a window old.
//!
//! An entry carries the running total of units up to it, so what is used is a difference of two totals:
//! two look-ups, whatever the cost and however many stale entries still lie in the log.

use super::{Limiter, MAX_USED, Span, Terms, Time};

/// Totals count modulo this.
const TOTALS: i64 = 1_000_000_000_000_000_000;

/// Scores below this are not ours: it is September 2001 in microseconds, and seconds or milliseconds never get there.
const EARLIEST: Time = Time::from_us(1_000_000_000_000_000);

/// Stale entries are looked for at least each time this many entries were added to a small log …
const TRIM_EVERY: i64 = 4;

/// … and to a log of this length: twice as many may go then, so that they get fewer.
///
/// Each look costs about as much however many entries go, and each that stays makes a small log's calls slower (it is
/// walked from its end) but not a large one's. So it is about a sixteenth of the log, and few enough that no call stalls;
/// a multiple of [`TRIM_EVERY`].
fn trim_every(length: usize) -> i64 {
    match length {
        0..128 => TRIM_EVERY,
        128..256 => 8,
        _ => 16,
    }
}

/// Entries looked through one by one, where there may be any number.
const WALK_AT_MOST: usize = 128;

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
        let ours = at >= EARLIEST && (0..TOTALS).contains(&total) && (1..=MAX_USED).contains(&units);
        ours.then_some(Self { at, total, units })
    }

    /// Units charged after `earlier` up to and with this entry.
    fn since(&self, earlier: &Self) -> i64 {
        difference(self.total, earlier.total)
    }

    /// The running total before this entry.
    fn total_before(&self) -> i64 {
        difference(self.total, self.units)
    }
}

/// Both are below [`TOTALS`], and so is what it answers.
#[inline(always)]
fn sum(total: i64, units: i64) -> i64 {
    let sum = total.saturating_add(units);
    if sum < TOTALS { sum } else { sum.saturating_sub(TOTALS) }
}

/// As [`sum`].
#[inline(always)]
fn difference(total: i64, earlier: i64) -> i64 {
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
    /// [`OtherData`] if what is there is not an entry; likewise below.
    fn newest(&self) -> Result<Option<Entry>, OtherData>;

    /// Visits the entries after an instant, oldest first, until `visit` answers false or none is left.
    ///
    /// # Errors
    ///
    /// [`OtherData`], after the entries before it were visited.
    fn walk_after(&self, after: Time, visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData>;

    /// How many entries there are.
    fn length(&self) -> usize;

    /// Adds an entry; it may share its instant with one that is about to be removed.
    fn add(&mut self, entry: &Entry);

    /// Removes these entries.
    fn remove(&mut self, entries: &[Entry]);

    /// Removes up to `at_most` of the oldest entries, none of them later than `until`.
    fn remove_oldest(&mut self, until: Time, at_most: usize);

    /// Removes all at once.
    fn clear(&mut self);

    /// The first entry after an instant.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if it is not an entry.
    fn first_after(&self, after: Time) -> Result<Option<Entry>, OtherData> {
        let mut first = None;
        self.walk_after(after, |entry| {
            first = Some(entry);
            false
        })?;
        Ok(first)
    }
}

/// The entries in the window at an instant: the oldest and the newest, which is all that most answers need.
#[derive(Clone, Copy, Debug)]
struct InWindow {
    oldest: Entry,
    newest: Entry,
    /// Units charged by these and all between them.
    used: i64,
}

impl InWindow {
    #[inline(always)]
    fn new(oldest: Entry, newest: Entry) -> Self {
        Self { oldest, newest, used: difference(newest.total, oldest.total_before()) }
    }
}

/// A sliding log at an instant.
#[derive(Debug)]
pub struct SlidingLog<L> {
    log: L,
    now: Time,
    window: Span,
    /// The newest entry of all, in the window or not.
    newest: Option<Entry>,
    in_window: Option<InWindow>,
    /// The log lay in the future; `in_window` is the one entry that replaces it.
    pulled: bool,
}

impl<L: Log> SlidingLog<L> {
    /// The log at `now`.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if `log` holds something that is not ours.
    #[inline(always)]
    pub fn open(log: L, terms: &Terms, now: Time) -> Result<Self, OtherData> {
        let newest = log.newest()?;
        let mut this = Self { log, now, window: terms.window, newest, in_window: None, pulled: false };
        let Some(newest) = newest.filter(|newest| newest.at > this.stale_until()) else {
            return Ok(this);
        };
        let oldest = this.log.first_after(this.stale_until())?.ok_or(OtherData)?;
        let mut in_window = InWindow::new(oldest, newest);
        if !(1..=MAX_USED).contains(&in_window.used) {
            return Err(OtherData);
        }
        this.pulled = newest.at.is_ahead_of(now);
        if this.pulled {
            let entry = Entry { at: now, total: in_window.used, units: in_window.used };
            in_window = InWindow::new(entry, entry);
        }
        this.in_window = Some(in_window);
        Ok(this)
    }

    /// Entries up to this instant no longer count. Where the newest lies ahead of the clock, time stands still.
    fn stale_until(&self) -> Time {
        self.newest.map_or(self.now, |newest| newest.at.max(self.now)).before(self.window)
    }

    /// Where the entries are kept.
    pub fn storage_mut(&mut self) -> &mut L {
        &mut self.log
    }

    /// Whether the log lay so far in the future that it was pulled to the present.
    #[must_use]
    pub fn was_pulled(&self) -> bool {
        self.pulled
    }

    /// Writes back what [`was_pulled`](Self::was_pulled).
    pub fn settle(&mut self) {
        if self.pulled {
            self.restart(self.in_window.map(|all| all.newest));
            self.pulled = false;
        }
    }

    /// Replaces the whole log by one entry, or by nothing.
    fn restart(&mut self, entry: Option<Entry>) {
        self.log.clear();
        if let Some(entry) = &entry {
            self.log.add(entry);
        }
        self.newest = entry;
        self.in_window = entry.map(|entry| InWindow::new(entry, entry));
    }

    fn add(&mut self, units: i64) {
        let Some((last, within)) = self.newest.zip(self.in_window) else {
            // Nothing counts: what may still lie there goes as a whole, and totals start anew.
            if self.newest.is_some() {
                self.log.clear();
            }
            let entry = Entry { at: self.now, total: units, units };
            self.log.add(&entry);
            self.newest = Some(entry);
            self.in_window = Some(InWindow::new(entry, entry));
            return;
        };
        let total = sum(last.total, units);
        let entry = Entry { at: self.now.max(last.at.after(Span::from_us(1))), total, units };
        self.log.add(&entry);
        self.newest = Some(entry);
        // The new entry may have moved the log's time on, and the oldest out of the window.
        self.in_window = Some(if within.oldest.at > self.stale_until() {
            InWindow { newest: entry, used: within.used.saturating_add(units), ..within }
        } else {
            // What cannot be read counts, rather than not.
            let next = self.log.first_after(self.stale_until());
            InWindow::new(next.map_or(within.oldest, |next| next.unwrap_or(entry)), entry)
        });
        // An entry has one unit or more, so no sequence of costs adds more entries than that without passing a multiple.
        let passes = |every: i64| last.total.checked_div(every) != total.checked_div(every);
        if passes(TRIM_EVERY) {
            let every = trim_every(self.log.length());
            if passes(every) {
                let at_most = usize::try_from(every.saturating_mul(2)).unwrap_or(WALK_AT_MOST);
                self.log.remove_oldest(self.stale_until(), at_most);
            }
        }
    }

    /// Checks that what a refund of `units` would take back can be read.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if some of it is not ours.
    pub fn check_refund(&self, units: i64) -> Result<(), OtherData> {
        if self.pulled || units >= self.used() {
            return Ok(());
        }
        let mut rest = units;
        self.log.walk_after(self.stale_until(), |entry| {
            // One more is looked at: it becomes the oldest.
            let goes_on = rest > 0;
            rest = rest.saturating_sub(entry.units);
            goes_on
        })
    }

    /// Gives back the oldest units in the window: what stays is then never younger in truth than in the log.
    fn take_back(&mut self, units: i64) {
        let Some(within) = self.in_window.filter(|_| units < self.used()) else {
            if self.newest.is_some() {
                self.restart(None);
            }
            return;
        };
        let mut rest = units;
        let mut gone = Vec::new();
        let mut shortened = None;
        let mut oldest = within.newest;
        // All that this reads was read by `check_refund`.
        let _ = self.log.walk_after(self.stale_until(), |entry| {
            if rest == 0 {
                oldest = entry;
                return false;
            }
            gone.push(entry);
            if entry.units > rest {
                let left = Entry { units: entry.units.saturating_sub(rest), ..entry };
                shortened = Some(left);
                oldest = left;
                return false;
            }
            rest = rest.saturating_sub(entry.units);
            true
        });
        if shortened.is_none() && gone.last().is_some_and(|last| last.at == within.newest.at) {
            // Not so many were left as the totals told: somebody has removed entries by hand.
            self.restart(None);
            return;
        }
        if let Some(left) = &shortened {
            self.log.add(left);
            if left.at == within.newest.at {
                self.newest = Some(*left);
            }
        }
        self.log.remove(&gone);
        // Totals now have a gap where these were. An older entry that a step of the clock, or a longer window,
        // brought back would count across it; of very many some may stay, and then count too much, not too little.
        self.log.remove_oldest(self.stale_until(), WALK_AT_MOST);
        let newest = self.newest.unwrap_or(oldest);
        self.in_window = Some(InWindow::new(oldest, newest));
    }

    /// The first entry in the window after which at most `level` units were charged.
    fn last_to_leave(&self, within: &InWindow, level: i64) -> Entry {
        let InWindow { oldest, newest, .. } = *within;
        let suffices = |entry: &Entry| newest.since(entry) <= level;
        if suffices(&oldest) || self.pulled {
            return oldest;
        }
        if level == 0 {
            return newest;
        }
        let mut found = None;
        let mut insufficient = oldest.at;
        let mut left = WALK_AT_MOST;
        let _ = self.log.walk_after(oldest.at, |entry| {
            left = left.saturating_sub(1);
            if suffices(&entry) {
                found = Some(entry);
            } else {
                insufficient = entry.at;
            }
            found.is_none() && left > 0
        });
        found.unwrap_or_else(|| self.bisect(insufficient, newest, suffices))
    }

    /// Searches between an instant whose entry is not enough and an entry that is.
    fn bisect(&self, mut low: Time, enough: Entry, suffices: impl Fn(&Entry) -> bool) -> Entry {
        // `found` is the first entry after `high`.
        let mut found = enough;
        let mut high = enough.at.before(Span::from_us(1));
        while low < high {
            let half = Span::from_us(high.since(low).us() / 2);
            let middle = low.after(half);
            match self.log.first_after(middle) {
                Ok(Some(entry)) if suffices(&entry) => {
                    found = entry;
                    high = middle;
                }
                Ok(Some(entry)) => low = entry.at,
                // Unreadable: the newest is late enough for any caller.
                _ => return enough,
            }
        }
        found
    }
}

impl<L: Log> Limiter for SlidingLog<L> {
    fn used(&self) -> i64 {
        self.in_window.map_or(0, |within| within.used)
    }

    fn until_at_most(&self, level: i64) -> Span {
        match &self.in_window {
            Some(within) if within.used > level => {
                self.last_to_leave(within, level).at.after(self.window).since(self.now)
            }
            _ => Span::ZERO,
        }
    }

    fn charge(&mut self, units: i64) {
        if self.pulled {
            self.settle();
        }
        if units > 0 {
            self.add(units);
        } else {
            self.take_back(units.saturating_neg());
        }
    }
}

//! The sliding log: every call is remembered until it is a window old.
//!
//! An entry carries the running total of units up to it, so what is used is a difference of two totals: two look-ups,
//! whatever the cost and however many stale entries still lie in the log.

use std::cell::Cell;

use super::decision::{Change, Charge, Extent, Outcome, Undecided, settle};
use super::limiter::Limiter;
use super::log::{Dropped, Edit, Entry, Log, OtherData, difference, sum};
use super::quota::{MAX_USED, Quota};
use super::time::{Span, Time};

/// Stale entries are looked for at least each time this many entries were added to a small log.
const TRIM_EVERY: i64 = 4;

/// After how many entries stale ones are looked for in a log of this length; twice as many may go then, so that they get
/// fewer.
///
/// Each look costs about as much however many entries go, and each that stays makes a small log's calls slower (it is
/// walked from its end) but not a large one's. So it is a small part of the log, and few enough that no call stalls;
/// a multiple of [`TRIM_EVERY`].
fn trim_every(length: usize) -> i64 {
    match length {
        0..128 => TRIM_EVERY,
        128..256 => 8,
        _ => 24,
    }
}

/// The oldest entry is looked at each time this many entries were added: a multiple of all that [`trim_every`] answers. What is not an entry is not trimmed: it would
/// keep all after it in the log, for good.
const LOOK_EVERY: i64 = 48;

/// Entries looked through one by one, where there may be any number.
const WALK_AT_MOST: usize = 128;

/// The entries in the window at an instant: the oldest and the newest, which is all that most answers need.
#[derive(Clone, Copy, Debug)]
struct InWindow {
    oldest: Entry,
    newest: Entry,
    /// Units charged by these and all between them.
    used: i64,
}

impl InWindow {
    #[inline]
    fn new(oldest: Entry, newest: Entry) -> Self {
        Self { oldest, newest, used: difference(newest.total, oldest.total_before()) }
    }
}

/// What a log comes to at an instant.
#[derive(Clone, Copy, Debug)]
struct Found {
    now: Time,
    window: Span,
    /// The newest entry of all, in the window or not.
    newest: Option<Entry>,
    in_window: Option<InWindow>,
    /// The log lay in the future; `in_window` is the one entry that replaces it.
    pulled: bool,
}

impl Found {
    /// Entries up to this instant no longer count. Where the newest lies ahead of the clock, time stands still.
    fn stale_until(&self) -> Time {
        self.newest.map_or(self.now, |newest| newest.at.max(self.now)).before(self.window)
    }
}

/// A sliding log at an instant.
#[derive(Debug)]
pub struct SlidingLog<L> {
    log: L,
    found: Found,
}

impl<L: Log> SlidingLog<L> {
    /// The log at `now`.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if `log` holds something that is not ours.
    #[inline(always)]
    pub fn open(log: L, quota: &Quota, now: Time) -> Result<Self, OtherData> {
        let newest = log.newest()?;
        let mut found = Found { now, window: quota.window, newest, in_window: None, pulled: false };
        let Some(newest) = newest else {
            // Scores that are no numbers are in no order, and then no member is the newest.
            return if log.length() == 0 { Ok(Self { log, found }) } else { Err(OtherData) };
        };
        let stale_until = found.stale_until();
        if newest.at > stale_until {
            let oldest = log.first(Some(stale_until))?.ok_or(OtherData)?;
            let mut in_window = InWindow::new(oldest, newest);
            if !(1..=MAX_USED).contains(&in_window.used) {
                return Err(OtherData);
            }
            found.pulled = newest.at.is_ahead_of(now);
            if found.pulled {
                let entry = Entry { at: now, total: in_window.used, units: in_window.used };
                in_window = InWindow::new(entry, entry);
            }
            found.in_window = Some(in_window);
        }
        Ok(Self { log, found })
    }

    /// What `charge` comes to; nothing is stored yet: `outcome` tells what is to be.
    ///
    /// Looks at a bounded number of entries, whatever the log holds.
    ///
    /// # Errors
    ///
    /// An entry that was looked at is none of ours, or a forced cost would pass what can be counted.
    #[inline(always)]
    pub fn decide(
        &self,
        quota: &Quota,
        charge: &Charge,
        extent: Extent,
        outcome: &mut Outcome,
    ) -> Result<(), Undecided> {
        let mut draft = Draft {
            log: &self.log,
            found: self.found,
            edit: Edit::default(),
            met_other_data: Cell::new(false),
        };
        let changes = settle(&mut draft, quota, charge, extent, outcome)?;
        if changes && draft.found.pulled {
            draft.restart(draft.found.in_window.map(|all| all.newest));
        }
        if draft.met_other_data.get() {
            return Err(Undecided::BadState);
        }
        outcome.change = if changes { Change::Log(draft.edit) } else { Change::None };
        Ok(())
    }
}

/// A log as a call would leave it: what is stored, and an edit of it.
struct Draft<'l, L> {
    log: &'l L,
    found: Found,
    edit: Edit,
    /// Whether something was met that is not an entry. Then there is nothing to decide.
    met_other_data: Cell<bool>,
}

impl<L: Log> Draft<'_, L> {
    /// As [`Log::walk`]; remembers what cannot be read.
    fn walk(&self, after: Option<Time>, visit: impl FnMut(Entry) -> bool) {
        if self.log.walk(after, visit).is_err() {
            self.met_other_data.set(true);
        }
    }

    /// The first stored entry after an instant.
    fn first(&self, after: Option<Time>) -> Option<Entry> {
        self.log.first(after).unwrap_or_else(|OtherData| {
            self.met_other_data.set(true);
            None
        })
    }

    /// Adds an entry to the edit. There are never more than two: what replaces the whole log, and what this call adds.
    #[inline(always)]
    fn put(&mut self, entry: Entry) {
        if self.edit.added.try_push(entry).is_err() {
            self.met_other_data.set(true);
        }
    }

    /// Replaces the whole log by one entry, or by nothing.
    #[cold]
    fn restart(&mut self, entry: Option<Entry>) {
        self.check_bottom();
        // A set of other people's is small more often than not.
        let mut left = WALK_AT_MOST;
        self.walk(None, |_| {
            left = left.saturating_sub(1);
            left > 0
        });
        self.edit = Edit { clear: true, added: entry.into_iter().collect(), ..Edit::default() };
        self.found.newest = entry;
        self.found.in_window = entry.map(|entry| InWindow::new(entry, entry));
        self.found.pulled = false;
    }

    #[inline(always)]
    fn add(&mut self, units: i64) {
        let Some((last, within)) = self.found.newest.zip(self.found.in_window) else {
            // Nothing counts: what may still lie there goes as a whole, and totals start anew.
            let entry = Entry { at: self.found.now, total: units, units };
            if self.found.newest.is_some() {
                self.restart(Some(entry));
            } else {
                self.put(entry);
                self.found.newest = Some(entry);
                self.found.in_window = Some(InWindow::new(entry, entry));
            }
            return;
        };
        let total = sum(last.total, units);
        let entry = Entry { at: self.found.now.max(last.at.after(Span::from_us(1))), total, units };
        self.put(entry);
        self.found.newest = Some(entry);
        // The new entry may have moved the log's time on, and the oldest out of the window.
        self.found.in_window = Some(if within.oldest.at > self.found.stale_until() {
            InWindow { newest: entry, used: within.used.saturating_add(units), ..within }
        } else {
            InWindow::new(self.first(Some(self.found.stale_until())).unwrap_or(entry), entry)
        });
        // An entry has one unit or more, so no sequence of costs adds more entries than that without passing a multiple.
        let passes = |every: i64| last.total.checked_div(every) != total.checked_div(every);
        if passes(TRIM_EVERY) && !self.edit.clear {
            let every = trim_every(self.log.length());
            if passes(every) {
                self.trim(usize::try_from(every.saturating_mul(2)).unwrap_or(WALK_AT_MOST));
                if passes(LOOK_EVERY) {
                    self.first(None);
                }
            }
        }
    }

    /// Drops up to `at_most` stale entries.
    fn trim(&mut self, at_most: usize) {
        self.check_bottom();
        self.edit.dropped = Dropped::Oldest(at_most, self.found.stale_until());
    }

    /// Looks below all entries before some are removed. The newest was looked at: so what lies between is in time, at
    /// least.
    fn check_bottom(&self) {
        if self.log.has_more_below() {
            self.met_other_data.set(true);
        }
    }

    /// Gives back the oldest units in the window: what stays is then never younger in truth than in the log.
    fn take_back(&mut self, units: i64) -> bool {
        let Some(within) = self.found.in_window.filter(|within| units < within.used) else {
            let changes = self.found.newest.is_some();
            if changes {
                self.restart(None);
            }
            return changes;
        };
        let stays = |entry: &Entry| {
            let left = difference(entry.total, within.oldest.total_before()).saturating_sub(units);
            Entry { units: left.min(entry.units), ..*entry }
        };
        if self.edit.clear {
            self.restart(Some(stays(&within.newest)));
            return true;
        }
        let some_stays = |entry: &Entry| difference(entry.total, within.oldest.total_before()) > units;
        let first = self.first_that(&within, some_stays);
        let oldest = stays(&first);
        if oldest != first {
            self.put(oldest);
            self.edit.replaced = Some(first);
            if first == within.newest {
                self.found.newest = Some(oldest);
            }
        }
        self.edit.dropped = self.all_before(first.at);
        self.found.in_window = Some(InWindow::new(oldest, self.found.newest.unwrap_or(oldest)));
        true
    }

    /// The entries before an instant. Stale ones go with those taken back: totals have a gap from now on, and an entry
    /// that a longer window or a step of the clock brought back would count across it.
    fn all_before(&self, at: Time) -> Dropped {
        self.check_bottom();
        let mut count: usize = 0;
        let mut all = true;
        self.walk(None, |entry| {
            all = entry.at >= at;
            count = count.saturating_add(usize::from(!all));
            !all && count <= WALK_AT_MOST
        });
        match count {
            0 => Dropped::None,
            _ if all => Dropped::Oldest(count, at.before(Span::from_us(1))),
            _ => Dropped::Before(at),
        }
    }

    /// The first entry in the window after which at most `level` units were charged.
    #[inline(always)]
    fn last_to_leave(&self, within: &InWindow, level: i64) -> Entry {
        let suffices = |entry: &Entry| within.newest.since(entry) <= level;
        if suffices(&within.oldest) {
            within.oldest
        } else if level == 0 || self.edit.clear || self.found.pulled {
            within.newest
        } else {
            self.first_that(within, suffices)
        }
    }

    /// The first entry in the window that `suffices`, which the newest does, and all after the first. Walks a little, then
    /// bisects by time.
    fn first_that(&self, within: &InWindow, suffices: impl Fn(&Entry) -> bool) -> Entry {
        let InWindow { oldest, newest, .. } = *within;
        if suffices(&oldest) {
            return oldest;
        }
        let mut found = None;
        let mut insufficient = oldest.at;
        let mut left = WALK_AT_MOST;
        self.walk(Some(oldest.at), |entry| {
            left = left.saturating_sub(1);
            if suffices(&entry) {
                found = Some(entry);
            } else {
                insufficient = entry.at;
            }
            found.is_none() && left > 0
        });
        match found {
            Some(entry) => entry,
            // All that is stored was seen: there is left what this call adds.
            None if left > 0 => newest,
            None => self.bisect(insufficient, newest, suffices),
        }
    }

    /// Searches between an instant whose entry is not enough and an entry that is: the first that `suffices`.
    ///
    /// Each step halves what is left of at most 2^53 µs.
    fn bisect(&self, insufficient: Time, enough: Entry, suffices: impl Fn(&Entry) -> bool) -> Entry {
        let mut found = enough;
        // The entry sought lies after `low`, and is `found` or lies at `high` or before.
        let (mut low, mut high) = (insufficient, enough.at.before(Span::from_us(1)));
        while low < high {
            let middle = low.after(Span::from_us(high.since(low).us() / 2));
            match self.first(Some(middle)) {
                Some(entry) if entry.at < found.at && !suffices(&entry) => {
                    low = entry.at.max(middle.after(Span::from_us(1)));
                }
                Some(entry) if entry.at < found.at => (found, high) = (entry, middle),
                // Nothing between `middle` and what was found; or it cannot be read, and the search is in vain.
                _ => high = middle,
            }
        }
        found
    }
}

impl<L: Log> Limiter for Draft<'_, L> {
    fn used(&self) -> i64 {
        self.found.in_window.map_or(0, |within| within.used)
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        match &self.found.in_window {
            Some(within) if within.used > level => {
                self.last_to_leave(within, level).at.after(self.found.window).since(self.found.now)
            }
            _ => Span::ZERO,
        }
    }

    fn charge(&mut self, units: i64) -> bool {
        if self.found.pulled {
            self.restart(self.found.in_window.map(|all| all.newest));
        }
        if units > 0 {
            self.add(units);
            true
        } else {
            self.take_back(units.saturating_neg())
        }
    }

    fn was_pulled(&self) -> bool {
        self.found.pulled
    }
}

//! Leases: at most so many holders at a time, each for a while.
//!
//! A lease counts until its end, unless its holder renews it or gives it back. What is counted is ends after now; so a
//! holder that dies is one less when its lease ends, and nobody has to clean up after it.

use super::decision::{Change, Charge, Decision, Extent, Mode, Outcome, Undecided, Verdict};
use super::leases::{LeaseEdit, Leases};
use super::log::{LATEST, OtherData};
use super::quota::Quota;
use super::time::Time;

/// So many ended leases are looked at, one by one, before the server is asked to count; as many go with a call that adds
/// one. More than one, so that they get fewer.
const ENDED_AT_MOST: usize = 3;

/// Leases looked through before all of them, which have ended, are thrown away: a set of other people's is small more often
/// than not.
const LOOK_AT_MOST: usize = 128;

/// The leases on a key at an instant.
#[derive(Debug)]
pub struct LeaseSet<L> {
    leases: L,
    now: Time,
    /// How many there are, ended or not.
    length: usize,
    /// How many have not ended.
    live: usize,
    /// When the caller's ends, if it has not.
    own: Option<Time>,
    /// The ended ones that are not the caller's.
    ended: Ended,
    /// The first two ends of those that have not ended.
    first: Option<Time>,
    second: Option<Time>,
    /// The last end of all.
    last: Time,
}

/// Leases that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// So few, each looked at.
    Few(usize),
    /// More than were looked at.
    Many,
}

impl<L> LeaseSet<L> {
    /// Where they are kept.
    pub fn leases(&self) -> &L {
        &self.leases
    }
}

impl<L: Leases> LeaseSet<L> {
    /// The leases at `now`. Looks at a bounded number of them, however many have ended.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if `leases` holds something that is not ours.
    #[inline(never)]
    pub fn open(leases: L, now: Time) -> Result<Self, OtherData> {
        let length = leases.length();
        let mut set = Self {
            leases,
            now,
            length,
            live: 0,
            own: None,
            ended: Ended::Few(0),
            first: None,
            second: None,
            last: now,
        };
        if length > 0 {
            set.look()?;
        }
        Ok(set)
    }

    fn look(&mut self) -> Result<(), OtherData> {
        let now = self.now;
        let own = self.leases.own()?;
        self.own = own.filter(|end| *end > now);
        // Scores that are no numbers are in no order, and then there is no last.
        self.last = self.leases.last()?.ok_or(OtherData)?;
        let (mut ended, mut first, mut second) = (0_usize, None, None);
        self.leases.walk(None, |end| {
            if first.is_some() {
                second = Some(end);
                return false;
            }
            if end > now {
                first = Some(end);
                // The one after it is first without the caller's.
                return Some(end) == self.own;
            }
            ended = ended.saturating_add(1);
            ended <= ENDED_AT_MOST
        })?;
        (self.first, self.second) = (first, second);
        if ended <= ENDED_AT_MOST {
            self.live = self.length.saturating_sub(ended);
            let of_others = ended.saturating_sub(usize::from(own.is_some() && self.own.is_none()));
            self.ended = Ended::Few(of_others);
            // All of them were looked at, or one that is live.
            return if first.is_some() || self.live == 0 { Ok(()) } else { Err(OtherData) };
        }
        self.ended = Ended::Many;
        if self.last > now { self.count() } else { Ok(()) }
    }

    /// Counts the live ones, of which there are some, behind many that have ended.
    #[cold]
    fn count(&mut self) -> Result<(), OtherData> {
        self.live = self.leases.count_after(self.now)?;
        let (mut first, mut second) = (None, None);
        self.leases.walk(Some(self.now), |end| {
            if first.is_none() {
                first = Some(end);
                return Some(end) == self.own;
            }
            second = Some(end);
            false
        })?;
        (self.first, self.second) = (first, second);
        if self.live > 0 && self.live <= self.length && first.is_some() { Ok(()) } else { Err(OtherData) }
    }

    /// What it comes to that the caller takes a lease for `quota.window`, or renews its own; nothing is stored yet:
    /// `outcome` tells what is to be. Only renewing is asked for with [`Mode::Renew`].
    ///
    /// # Errors
    ///
    /// Something that was looked at is not a lease.
    #[inline(never)]
    pub fn decide(
        &self,
        quota: &Quota,
        charge: &Charge,
        extent: Extent,
        outcome: &mut Outcome,
    ) -> Result<(), Undecided> {
        self.settle(quota, charge, extent, outcome).map_err(|OtherData| Undecided::BadState)
    }

    fn settle(
        &self,
        quota: &Quota,
        charge: &Charge,
        extent: Extent,
        outcome: &mut Outcome,
    ) -> Result<(), OtherData> {
        let limit = quota.limit;
        let live = i64::try_from(self.live).unwrap_or(i64::MAX);
        let renews_only = charge.mode == Mode::Renew;
        let allowed = self.own.is_some() || (!renews_only && live < limit);
        outcome.verdict = Verdict::of_one(allowed);
        outcome.change = Change::None;
        let retry_after_ms = match limit {
            _ if allowed => 0,
            // Waiting brings no lease back that has ended.
            0 => -1,
            _ if renews_only => -1,
            _ => self.until_fewer_than(limit, live)?.since(self.now).ceil_ms(),
        };
        let (mut used, mut first, mut last) = (live, self.first, self.last);
        if allowed && extent == Extent::All {
            // Later ends would not be read back as ours.
            let end = self.now.after(quota.window).min(LATEST);
            used = used.saturating_add(i64::from(self.own.is_none()));
            first = Some(self.first_of_others().map_or(end, |first| first.min(end)));
            last = self.last_of_others(end)?.max(end);
            outcome.change = Change::Lease(self.edit(end)?);
        }
        outcome.decision = Decision {
            allowed: i64::from(allowed),
            limit,
            remaining: limit.saturating_sub(used).max(0),
            retry_after_ms,
            reset_after_ms: last.since(self.now).ceil_ms(),
            next_after_ms: match first {
                _ if limit == 0 => -1,
                Some(first) => first.since(self.now).ceil_ms(),
                None => 0,
            },
            used,
            blocked: None,
        };
        Ok(())
    }

    /// When fewer than `limit`, which is above 0, of the `live` ones are left.
    fn until_fewer_than(&self, limit: i64, live: i64) -> Result<Time, OtherData> {
        match usize::try_from(live.saturating_sub(limit)) {
            Ok(0) => self.first.ok_or(OtherData),
            // The limit was lowered: more than one must end.
            Ok(more) => self.leases.at_rank(self.length.saturating_sub(self.live).saturating_add(more)),
            Err(_) => Ok(self.now),
        }
    }

    /// The first end of the live ones, without the caller's. Of two that end alike, it does not matter whose goes.
    fn first_of_others(&self) -> Option<Time> {
        if self.own.is_some() && self.own == self.first { self.second } else { self.first }
    }

    /// The last end of all without the caller's, as far as it is after `end`.
    fn last_of_others(&self, end: Time) -> Result<Time, OtherData> {
        match self.own {
            // The caller's is one of the last: without it, the last is the one before.
            Some(own) if own == self.last && end < own => Ok(self.leases.last_but_one()?.unwrap_or(end)),
            _ => Ok(self.last),
        }
    }

    /// Sees to it that the caller's lease ends at `end`, and that ended ones get fewer.
    fn edit(&self, end: Time) -> Result<LeaseEdit, OtherData> {
        let clear = self.live == 0 && self.ended != Ended::Few(0);
        let dropped = match self.ended {
            _ if clear => 0,
            Ended::Few(ended) => ended,
            Ended::Many => ENDED_AT_MOST,
        };
        if clear && self.ended == Ended::Many {
            let mut left = LOOK_AT_MOST;
            self.leases.walk(None, |_| {
                left = left.saturating_sub(1);
                left > 0
            })?;
        }
        Ok(LeaseEdit { clear, end, dropped })
    }
}

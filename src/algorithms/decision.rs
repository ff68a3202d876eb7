//! What a call comes to: the modes of charging and the seven integers, for any algorithm.

use super::leases::LeaseEdit;
use super::limiter::Limiter;
use super::log::Edit;
use super::quota::{MAX_USED, Quota};
use super::text::Text;
use super::time::Span;

/// What happens to a cost that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is charged.
    #[default]
    Whole,
    /// It is charged all the same (`FORCE`).
    Force,
    /// As much as fits is charged (`PARTIAL`).
    Partial,
    /// Leases only: nothing new is taken, what is held is renewed (`RENEW`).
    Renew,
}

/// What a caller asks of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Units to charge; to give back when negative; 0 only asks.
    pub cost: i64,
    /// Meant for costs above 0; others ignore it.
    pub mode: Mode,
}

impl Charge {
    /// As much of `extent` as is carried out while the limit is blocked: what is forced or given back passes.
    #[must_use]
    pub fn blocked_extent(&self, extent: Extent) -> Extent {
        match extent {
            Extent::All if self.cost >= 0 && self.mode != Mode::Force => Extent::Denied,
            extent => extent,
        }
    }
}

/// Why nothing can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The stored state is none of the algorithm's.
    BadState,
    /// A forced cost would take what is used above [`MAX_USED`].
    TooMuch,
    /// The new state is longer than any can be.
    TooLong,
}

/// What is to be done with a [`Charge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// 1 or 0; with [`Mode::Partial`], the units granted.
    pub allowed: i64,
    /// Units to charge, negative to give back; 0 leaves everything as it is.
    pub charge: i64,
    /// Units whose fitting the caller waits for when not allowed.
    awaited: i64,
}

impl Verdict {
    /// Whether the call is denied: not allowed, and nothing charged.
    #[must_use]
    pub fn denies(&self) -> bool {
        self.allowed == 0 && self.charge == 0
    }

    /// One unit, which is granted or not.
    #[must_use]
    pub fn of_one(allowed: bool) -> Self {
        let allowed = i64::from(allowed);
        Self { allowed, charge: allowed, awaited: 1 }
    }
}

/// What answers a call: seven integers, and an eighth where the limit has a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// 1 or 0; with [`Mode::Partial`], the units granted.
    pub allowed: i64,
    /// The limit or capacity in force.
    pub limit: i64,
    /// Units left.
    pub remaining: i64,
    /// Denied: milliseconds until the same call would be allowed, or -1 if it never can be.
    /// Allowed: 0, or a queue's delay.
    pub retry_after_ms: i64,
    /// Milliseconds until the limiter is as good as unused.
    pub reset_after_ms: i64,
    /// Milliseconds until `remaining` grows; 0 if nothing is used, -1 if the limit is 0.
    pub next_after_ms: i64,
    /// Units that count, rounded up.
    pub used: i64,
    /// Where the limit has a block: what that does.
    pub blocked: Option<Blocked>,
}

/// What a limit's block does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Nothing.
    No,
    /// It denies the call.
    Already,
    /// This call was denied by the limit, and so it begins.
    Now,
}

impl Blocked {
    /// The reply's eighth integer.
    #[must_use]
    pub fn integer(self) -> i64 {
        match self {
            Self::No => 0,
            Self::Already => 1,
            Self::Now => 2,
        }
    }
}

impl Decision {
    /// The seven integers, by position.
    #[must_use]
    #[inline(always)]
    pub fn integers(&self) -> [i64; 7] {
        [
            self.allowed,
            self.limit,
            self.remaining,
            self.retry_after_ms,
            self.reset_after_ms,
            self.next_after_ms,
            self.used,
        ]
    }
}

/// As much of a verdict as is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// Nothing is charged, since another limit denies the call; but state from the future is pulled to the present.
    Denied,
    /// Nothing at all: it was only a question.
    Nothing,
}

/// What a call comes to for one limit.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was found.
    pub verdict: Verdict,
    /// The reply.
    pub decision: Decision,
    /// What is to be stored.
    pub change: Change,
    /// The field's new text, where that is the change.
    pub text: Text,
}

/// What a call leaves to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// Nothing changes.
    #[default]
    None,
    /// Nothing is used any more: the field goes.
    Unused,
    /// The field becomes [`Outcome::text`].
    Text,
    /// The log is edited.
    Log(Edit),
    /// A lease is taken or renewed.
    Lease(LeaseEdit),
}

/// Judges `charge`, and carries out on `limiter` as much of the verdict as `extent` says.
///
/// Writes verdict and decision to `outcome`, and answers whether the state changed: also when it was pulled to the
/// present, unless the caller only asks.
///
/// # Errors
///
/// [`Undecided::TooMuch`] if a forced cost would pass what can be counted.
#[inline(always)]
pub fn settle<L: Limiter>(
    limiter: &mut L,
    quota: &Quota,
    charge: &Charge,
    extent: Extent,
    outcome: &mut Outcome,
) -> Result<bool, Undecided> {
    let verdict = judge(limiter.used(), quota.limit, charge)?;
    let units = if extent == Extent::All { verdict.charge } else { 0 };
    let mut delay = None;
    let mut charged = false;
    if units != 0 {
        delay = L::QUEUES.then(|| limiter.until_unused());
        charged = limiter.charge(units);
    }
    outcome.verdict = verdict;
    outcome.decision = decision(limiter, quota.limit, charge, &verdict, delay);
    Ok(charged || (extent != Extent::Nothing && charge.cost != 0 && limiter.was_pulled()))
}

/// Judges `charge`. A cost fits if what is used and it together are within the limit.
#[inline(always)]
fn judge(used: i64, limit: i64, charge: &Charge) -> Result<Verdict, Undecided> {
    let Charge { cost, mode } = *charge;
    let verdict = |allowed, charge, awaited| Verdict { allowed, charge, awaited };
    if cost < 0 {
        return Ok(verdict(1, cost, 0));
    }
    // Limits, costs and what is used are far below what 64 bits hold, here and below.
    let room = limit.wrapping_sub(used);
    let fits = cost <= room;
    if cost == 0 {
        return Ok(verdict(i64::from(fits), 0, 0));
    }
    Ok(match mode {
        Mode::Whole | Mode::Renew => verdict(i64::from(fits), if fits { cost } else { 0 }, cost),
        Mode::Force if used.saturating_add(cost) > MAX_USED => return Err(Undecided::TooMuch),
        Mode::Force => verdict(i64::from(fits), cost, cost),
        Mode::Partial => {
            let granted = cost.min(room).max(0);
            verdict(granted, granted, 1)
        }
    })
}

/// The seven integers, read off `limiter` as the call leaves it. `delay` is what a queue had before it, where that differs
/// from what it has now.
#[inline(always)]
fn decision<L: Limiter>(
    limiter: &L,
    limit: i64,
    charge: &Charge,
    verdict: &Verdict,
    delay: Option<Span>,
) -> Decision {
    let used = limiter.used();
    let until_at_most = |level| limiter.until_at_most(level).ceil_ms();
    let until_unused = limiter.until_unused();
    // Until `remaining` grows. For one more unit at the limit that is until the call fits, too.
    let one_less = used.min(limit).wrapping_sub(1);
    let next_after_ms = if used == 0 || limit == 0 { 0 } else { until_at_most(one_less) };
    let retry_after_ms = if verdict.allowed > 0 {
        if L::QUEUES && charge.cost >= 0 { delay.unwrap_or(until_unused).ceil_ms() } else { 0 }
    } else if verdict.awaited > limit {
        -1
    } else if limit.wrapping_sub(verdict.awaited) == one_less && used > 0 {
        next_after_ms
    } else {
        until_at_most(limit.wrapping_sub(verdict.awaited))
    };
    Decision {
        allowed: verdict.allowed,
        limit,
        remaining: limit.wrapping_sub(used).max(0),
        retry_after_ms,
        reset_after_ms: until_unused.ceil_ms(),
        next_after_ms: if limit == 0 { -1 } else { next_after_ms },
        used,
        blocked: None,
    }
}

/// How long a block goes on; without an end, for ever.
pub type BlockLeft = Option<Span>;

impl Outcome {
    /// Denies `charge`, which is not carried out unless it is forced, since the limit is blocked. What is given back passes.
    pub fn block(&mut self, charge: &Charge, left: BlockLeft) {
        if charge.cost < 0 {
            self.decision.blocked = Some(Blocked::No);
            return;
        }
        let own_wait_ms = if self.verdict.allowed > 0 { 0 } else { self.decision.retry_after_ms };
        let left_ms = left.map_or(-1, |left| left.ceil_ms().max(1));
        self.verdict.allowed = 0;
        if charge.mode != Mode::Force {
            self.verdict.charge = 0;
        }
        self.decision = Decision {
            allowed: 0,
            remaining: 0,
            retry_after_ms: longer(own_wait_ms, left_ms),
            next_after_ms: longer(self.decision.next_after_ms, left_ms),
            blocked: Some(Blocked::Already),
            ..self.decision
        };
    }

    /// Whether this denial of `charge` begins the limit's block: nobody is blocked for what could never pass.
    #[must_use]
    pub fn begins_block(&self, charge: &Charge) -> bool {
        self.decision.blocked != Some(Blocked::Already)
            && self.verdict.denies()
            && charge.mode == Mode::Whole
            && (1..=self.decision.limit).contains(&charge.cost)
    }

    /// Tells that the limit is blocked from now on, for so long.
    pub fn begin_block(&mut self, lasts: Span) {
        self.decision.retry_after_ms = longer(self.decision.retry_after_ms, lasts.ceil_ms());
        self.decision.blocked = Some(Blocked::Now);
    }
}

/// The longer of two waits, in milliseconds; -1 never ends.
fn longer(one_ms: i64, other_ms: i64) -> i64 {
    if one_ms < 0 || other_ms < 0 { -1 } else { one_ms.max(other_ms) }
}

//! What a call is answered: the modes of charging and the seven integers, for any algorithm.

use super::{Limiter, MAX_USED, Span};

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
}

/// What a caller asks of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The limit or capacity in force, in units.
    pub limit: i64,
    /// Units to charge; to give back when negative; 0 only asks.
    pub cost: i64,
    /// Meant for costs above 0; others ignore it.
    pub mode: Mode,
}

/// The cost would take what is used above [`MAX_USED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// What is to be done with an [`Ask`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// 1 or 0; with [`Mode::Partial`], the units granted.
    pub allowed: i64,
    /// Units to charge, negative to give back; 0 leaves everything as it is.
    pub charge: i64,
    /// Units whose fitting the caller waits for when not allowed.
    awaited: i64,
    /// What an allowed caller waits before proceeding.
    delay: Span,
}

impl Verdict {
    /// Whether the call is refused: not allowed, and nothing charged.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.allowed == 0 && self.charge == 0
    }
}

/// The seven integers that answer a call, in the order of the reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 1 or 0; with [`Mode::Partial`], the units granted.
    pub allowed: i64,
    /// The limit or capacity in force.
    pub limit: i64,
    /// Units left.
    pub remaining: i64,
    /// Refused: milliseconds until the same call would be allowed, or -1 if it never can.
    /// Allowed: 0, or a queue's delay.
    pub retry_after_ms: i64,
    /// Milliseconds until the limiter is as good as unused.
    pub reset_after_ms: i64,
    /// Milliseconds until `remaining` grows; 0 if nothing is used, -1 if the limit is 0.
    pub next_after_ms: i64,
    /// Units that count, rounded up.
    pub used: i64,
}

impl Answer {
    /// The reply, by position.
    #[must_use]
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

/// Judges `ask` without charging anything. A cost fits if what is used and it together are within the limit.
///
/// # Errors
///
/// [`TooMuch`] if a forced cost would pass what can be counted.
#[inline(always)]
pub fn judge(limiter: &impl Limiter, ask: &Ask) -> Result<Verdict, TooMuch> {
    let Ask { limit, cost, mode } = *ask;
    let used = limiter.used();
    let verdict = |allowed, charge, awaited| Verdict {
        allowed,
        charge,
        awaited,
        delay: if allowed > 0 && cost >= 0 { limiter.delay() } else { Span::ZERO },
    };
    if cost < 0 {
        return Ok(verdict(1, cost, 0));
    }
    let room = limit.saturating_sub(used);
    let fits = cost <= room;
    if cost == 0 {
        return Ok(verdict(i64::from(fits), 0, 0));
    }
    Ok(match mode {
        Mode::Whole => verdict(i64::from(fits), if fits { cost } else { 0 }, cost),
        Mode::Force if used.saturating_add(cost) > MAX_USED => return Err(TooMuch),
        Mode::Force => verdict(i64::from(fits), cost, cost),
        Mode::Partial => {
            let granted = cost.min(room).max(0);
            verdict(granted, granted, 1)
        }
    })
}

/// The answer to `ask`, read off `limiter` as the call leaves it.
#[must_use]
#[inline(always)]
pub fn answer(limiter: &impl Limiter, ask: &Ask, verdict: &Verdict) -> Answer {
    let limit = ask.limit;
    let used = limiter.used();
    let until_at_most = |level| limiter.until_at_most(level).ceil_ms();
    // Until `remaining` grows. For one more unit at the limit that is until the call fits, too.
    let one_less = used.min(limit).saturating_sub(1);
    let next_after_ms = if used == 0 || limit == 0 { 0 } else { until_at_most(one_less) };
    let retry_after_ms = if verdict.allowed > 0 {
        verdict.delay.ceil_ms()
    } else if verdict.awaited > limit {
        -1
    } else if limit.saturating_sub(verdict.awaited) == one_less && used > 0 {
        next_after_ms
    } else {
        until_at_most(limit.saturating_sub(verdict.awaited))
    };
    Answer {
        allowed: verdict.allowed,
        limit,
        remaining: limit.saturating_sub(used).max(0),
        retry_after_ms,
        reset_after_ms: limiter.until_unused().ceil_ms(),
        next_after_ms: if limit == 0 { -1 } else { next_after_ms },
        used,
    }
}

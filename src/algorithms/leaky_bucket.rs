//! The leaky bucket as a queue: what is let through waits its turn, so that work leaves at a constant rate.

use super::field::{FieldState, Tag};
use super::limiter::Limiter;
use super::quota::Quota;
use super::text::{Text, TooLong};
use super::time::{Span, Time};
use super::token_bucket::TokenBucket;

/// A queue at an instant: a [`TokenBucket`] whose used units are the work that still waits.
#[derive(Clone, Copy, Debug)]
pub struct LeakyBucket(TokenBucket);

impl Limiter for LeakyBucket {
    fn used(&self) -> i64 {
        self.0.used()
    }

    #[inline(always)]
    fn until_at_most(&self, level: i64) -> Span {
        self.0.until_at_most(level)
    }

    fn charge(&mut self, units: i64) -> bool {
        self.0.charge(units)
    }

    fn was_pulled(&self) -> bool {
        self.0.was_pulled()
    }

    const QUEUES: bool = true;
}

impl FieldState for LeakyBucket {
    const TAGS: &'static [Tag] = &[*b"lb"];

    fn tag(_: &Quota) -> Tag {
        *b"lb"
    }

    #[inline(always)]
    fn parse(quota: &Quota, stored: Option<&[u8]>, now: Time) -> Option<Self> {
        TokenBucket::parse(quota, stored, now).map(Self)
    }

    #[inline(always)]
    fn format(&self, text: &mut Text) -> Result<(), TooLong> {
        self.0.format(text)
    }
}

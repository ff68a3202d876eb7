//! `CL.THROTTLE`: redis-cell's command on a token bucket's state, and the keys that redis-cell left.

use super::error::{Error, MAX_DURATION_DAYS};
use super::execute::{self, Intent};
use super::grammar::{Limit, TOKEN_BUCKET, whole};
use crate::algorithms::decision::{Answer, Mode};
use crate::algorithms::{MAX_UNITS, Span, Terms, Time, TokenBucket, text};
use crate::server::{Call, Handler, Key, Word};

/// `CL.THROTTLE key max_burst count period_seconds [quantity]`
pub struct Throttle;

impl Handler for Throttle {
    fn run(call: &Call<'_>) {
        let answer = read(call.arguments())
            .and_then(|(key, limit)| execute::one(call, key, &limit, Intent::ChargeAdopting));
        match answer {
            Ok(answer) => call.reply_integers(&reply(&answer)),
            Err(error) => error.reply(call),
        }
    }
}

/// The longest period, in seconds: that of every other command.
const MAX_PERIOD_SECONDS: i64 = MAX_DURATION_DAYS * 86_400;

fn read<'w>(words: &'w [Word<'w>]) -> Result<(Word<'w>, Limit<'w>), Error> {
    let (key, numbers) = match words {
        [key, numbers @ ..] if (3..=4).contains(&numbers.len()) => (key, numbers),
        _ => return Err(Error::WrongArity),
    };
    let mut numbers = numbers.iter().map(|word| word.bytes());
    let mut number = |name, least, most| match numbers.next() {
        Some(word) => whole(name, word, least, most).map(Some),
        None => Ok(None),
    };
    let missing = Error::WrongArity;
    let max_burst = number("max_burst", 0, MAX_UNITS.saturating_sub(1))?.ok_or(missing.clone())?;
    let count = number("count", 1, MAX_UNITS)?.ok_or(missing.clone())?;
    let seconds = number("period_seconds", 1, MAX_PERIOD_SECONDS)?.ok_or(missing)?;
    let quantity = number("quantity", -MAX_UNITS, MAX_UNITS)?.unwrap_or(1);
    let limit = Limit {
        grammar: TOKEN_BUCKET,
        key: 0,
        terms: Terms {
            limit: max_burst.saturating_add(1),
            refill: count,
            window: Span::from_ms(seconds.saturating_mul(1000)),
            offset: None,
        },
        cost: quantity,
        mode: Mode::Whole,
        name: &[],
    };
    Ok((*key, limit))
}

/// redis-cell's five: limited, limit, remaining, and seconds, rounded up, until a retry and until the reset.
fn reply(answer: &Answer) -> [i64; 5] {
    let limited = answer.allowed == 0;
    let seconds = |ms: i64| ms.saturating_add(999) / 1000;
    let retry_after = if limited && answer.retry_after_ms >= 0 { seconds(answer.retry_after_ms) } else { -1 };
    [i64::from(limited), answer.limit, answer.remaining, retry_after, seconds(answer.reset_after_ms)]
}

/// The bucket that redis-cell left in a string: the theoretical arrival time of the generic cell rate
/// algorithm, in nanoseconds since the Unix epoch. None if that is not what the key holds.
pub fn adopt(key: &Key<'_>, terms: &Terms, now: Time) -> Option<TokenBucket> {
    key.expires_at_ms()?;
    let arrival = key.string()?;
    // Nineteen digits, one more than our own numbers have.
    let (head, last) = arrival.split_last_chunk::<1>()?;
    let arrival = text::number(head)?.checked_mul(10)?.checked_add(text::number(last)?)?;
    if !ARRIVALS.contains(&arrival) {
        return None;
    }
    let ahead_ns = arrival.saturating_sub(now.us().saturating_mul(1000)).max(0);
    Some(TokenBucket::draining_for(terms, ahead_ns, now))
}

/// The years 2001 to 2096, in nanoseconds.
const ARRIVALS: std::ops::RangeInclusive<i64> = 1_000_000_000_000_000_000..=4_000_000_000_000_000_000;

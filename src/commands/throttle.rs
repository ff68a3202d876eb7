//! `CL.THROTTLE`: redis-cell's command on a token bucket's state.

use super::error::{Error, MAX_DURATION_DAYS};
use super::execute::{Purpose, execute_one};
use super::grammar::{TokenBucket, Words as _};
use super::keys::{KeyUse, Role};
use super::parser::{Reader, Spec, whole};
use crate::algorithms::decision::{Decision, Outcome};
use crate::algorithms::{MAX_UNITS, Span};
use crate::server::{Call, Handler, Word};

/// `CL.THROTTLE key max_burst count period_seconds [quantity]`
pub struct Throttle;

impl Handler for Throttle {
    type Reply = [i64; 5];
    type Error = Error;

    fn run(call: &Call<'_>) -> Result<[i64; 5], Error> {
        let mut spec = Spec::new(TokenBucket::GRAMMAR, 0);
        let key = read(call.words(), &mut spec)?;
        let mut outcome = Outcome::default();
        execute_one(call, &key, &spec, Purpose::ChargeAdopting, &mut outcome)?;
        Ok(reply(&outcome.decision))
    }
}

/// The longest period, in seconds: that of every other command.
const MAX_PERIOD_SECONDS: i64 = MAX_DURATION_DAYS * 86_400;

fn read<'w>(words: &'w [Word<'w>], spec: &mut Spec<'_>) -> Result<KeyUse<Word<'w>>, Error> {
    let mut reader = Reader::new(words);
    let Some(key) = reader.take_whole() else { return Err(Error::WrongArity) };
    let max_burst = whole("max_burst", reader.take(), 0, MAX_UNITS.saturating_sub(1))?;
    let count = whole("count", reader.take(), 1, MAX_UNITS)?;
    let seconds = whole("period_seconds", reader.take(), 1, MAX_PERIOD_SECONDS)?;
    let quantity = match reader.take() {
        None => 1,
        quantity => whole("quantity", quantity, -MAX_UNITS, MAX_UNITS)?,
    };
    if reader.take().is_some() {
        return Err(Error::WrongArity);
    }
    spec.quota.limit = max_burst.saturating_add(1);
    spec.quota.refill = count;
    spec.quota.window = Span::from_ms(seconds.saturating_mul(1000));
    spec.charge.cost = quantity;
    Ok(KeyUse { name: *key, position: 1, role: Role::Fields })
}

/// redis-cell's five: limited, limit, remaining, and seconds, rounded up, until a retry and until the reset.
fn reply(decision: &Decision) -> [i64; 5] {
    let limited = decision.allowed == 0;
    let seconds = |ms: i64| ms.saturating_add(999) / 1000;
    let retry_after =
        if limited && decision.retry_after_ms >= 0 { seconds(decision.retry_after_ms) } else { -1 };
    [i64::from(limited), decision.limit, decision.remaining, retry_after, seconds(decision.reset_after_ms)]
}

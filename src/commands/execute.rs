//! One call from request to effects: load every limiter, judge all, then charge all or none.

use smallvec::SmallVec;

use super::error::Error;
use super::grammar::{Limit, Storage, is_field};
use super::redis_cell;
use super::request::Request;
use super::store::StoredLog;
use crate::algorithms::decision::{self, Answer, TooMuch, Verdict};
use crate::algorithms::{Algorithm, FieldLimiter, Limiter, OtherData, SlidingLog, Time};
use crate::server::{Call, Key, Kind, Mode, OwnedString, Word};

/// What is done with what fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It is charged.
    Charge,
    /// As [`Charge`](Self::Charge); and keys that redis-cell left are taken over.
    ChargeAdopting,
    /// Nothing is changed.
    Peek,
}

/// What a call is answered.
pub struct Outcome {
    /// Each limit's answer, in order.
    pub answers: SmallVec<[Answer; 1]>,
    /// Whether no limit refuses.
    pub allowed: bool,
    /// Refused: the longest that a refusing limit asks to wait, -1 if one never lets this call through.
    /// Allowed: the longest that a caller is to wait before proceeding.
    pub retry_after_ms: i64,
}

/// One limit with its state.
struct Item<'call> {
    limit: Limit<'call>,
    held: Held<'call>,
    verdict: Verdict,
    /// Whether the call changes the state.
    changes: bool,
}

/// A limiter as its key holds it.
enum Held<'call> {
    Field { name: OwnedString, limiter: FieldLimiter, origin: Origin },
    Log(SlidingLog<StoredLog<'call>>),
}

/// Where a field's state came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Nothing,
    Field,
    /// A string that redis-cell left, which gives way to the field.
    RedisCell,
}

/// Decides `request`, and charges it if `intent` says so and no limit refuses.
///
/// # Errors
///
/// What the keys hold instead of limiters, or a forced cost beyond counting; nothing is changed then.
pub fn execute<'call>(
    call: &Call<'call>,
    request: &Request<'call, Word<'call>>,
    intent: Intent,
) -> Result<Outcome, Error> {
    let now = Time::from_us(call.now_us());
    let mode = if intent == Intent::Peek { Mode::Read } else { Mode::Write };
    let mut keys: SmallVec<[Option<Key<'call>>; 1]> =
        request.keys.iter().map(|name| Some(Key::open(call, *name, mode))).collect();

    let mut items: SmallVec<[Item<'call>; 1]> = SmallVec::new();
    for limit in &request.limits {
        items.push(Item::load(limit, &mut keys, now, intent)?);
    }
    let allowed = !items.iter().any(|item| item.verdict.refuses());

    if intent != Intent::Peek {
        for item in &mut items {
            item.apply(allowed);
        }
    }
    let answers: SmallVec<[Answer; 1]> = items.iter().map(Item::answer).collect();
    let retry_after_ms = retry_after(&items, &answers, allowed);
    for index in 0..keys.len() {
        write_back(&mut keys, index, &mut items, &answers, now);
    }
    Ok(Outcome { answers, allowed, retry_after_ms })
}

/// What the whole call is told to wait.
fn retry_after(items: &[Item<'_>], answers: &[Answer], allowed: bool) -> i64 {
    let waits = || {
        let deciding =
            |item: &Item<'_>| if allowed { item.verdict.allowed > 0 } else { item.verdict.refuses() };
        items
            .iter()
            .zip(answers)
            .filter(move |(item, _)| deciding(item))
            .map(|(_, answer)| answer.retry_after_ms)
    };
    if waits().any(|wait| wait < 0) { -1 } else { waits().max().unwrap_or(0) }
}

impl<'call> Item<'call> {
    /// Reads the state of `limit` and judges what is asked of it.
    fn load(
        limit: &Limit<'call>,
        keys: &mut [Option<Key<'call>>],
        now: Time,
        intent: Intent,
    ) -> Result<Self, Error> {
        let key = keys.get_mut(limit.key).ok_or(Error::OtherData)?;
        let held = match limit.grammar.storage {
            Storage::Field(algorithm) => {
                let key = key.as_ref().ok_or(Error::LogNotAlone)?;
                Held::load_field(algorithm, limit, key, now, intent)?
            }
            Storage::Log => {
                let key = key.take().ok_or(Error::LogNotAlone)?;
                if !matches!(key.kind(), Kind::Empty | Kind::SortedSet) {
                    return Err(Error::WrongType);
                }
                Held::Log(SlidingLog::open(StoredLog { key }, &limit.terms, now)?)
            }
        };
        let verdict = match &held {
            Held::Field { limiter, .. } => decision::judge(limiter, &limit.ask()),
            Held::Log(log) => decision::judge(log, &limit.ask()),
        }?;
        Ok(Self { limit: *limit, held, verdict, changes: false })
    }

    /// Charges what was found right, if the whole call is `allowed`; else writes back what was pulled.
    fn apply(&mut self, allowed: bool) {
        let charge = if allowed { self.verdict.charge } else { 0 };
        let pulled = match &self.held {
            Held::Field { limiter, .. } => limiter.was_pulled(),
            Held::Log(log) => log.was_pulled(),
        };
        // A cost of 0 only asks.
        self.changes = charge != 0 || (pulled && self.limit.cost != 0);
        match &mut self.held {
            Held::Field { limiter, .. } if charge != 0 => limiter.charge(charge),
            Held::Log(log) if charge != 0 => log.charge(charge),
            Held::Log(log) if self.changes => log.settle(),
            _ => {}
        }
    }

    fn answer(&self) -> Answer {
        match &self.held {
            Held::Field { limiter, .. } => decision::answer(limiter, &self.limit.ask(), &self.verdict),
            Held::Log(log) => decision::answer(log, &self.limit.ask(), &self.verdict),
        }
    }
}

impl Held<'_> {
    fn load_field(
        algorithm: Algorithm,
        limit: &Limit<'_>,
        key: &Key<'_>,
        now: Time,
        intent: Intent,
    ) -> Result<Self, Error> {
        let name = OwnedString::new(limit.field().as_bytes());
        let (stored, origin) = match key.kind() {
            Kind::Empty => (None, Origin::Nothing),
            Kind::Hash => match key.field(&name) {
                Some(stored) => (Some(stored), Origin::Field),
                None if key.any_field(is_field) == Some(false) => return Err(Error::OtherData),
                None => (None, Origin::Nothing),
            },
            Kind::String if intent == Intent::ChargeAdopting => {
                let limiter = redis_cell::adopt(key, &limit.terms, now).ok_or(Error::WrongType)?;
                return Ok(Self::Field { name, limiter, origin: Origin::RedisCell });
            }
            _ => return Err(Error::WrongType),
        };
        let limiter = algorithm
            .resume(&limit.terms, stored.as_ref().map(OwnedString::bytes), now)
            .ok_or_else(|| Error::BadState(name.bytes().to_vec()))?;
        Ok(Self::Field { name, limiter, origin })
    }
}

/// Writes the changed limiters of one key, and lets the key expire when all it holds is as good as unused.
fn write_back<'call>(
    keys: &mut [Option<Key<'call>>],
    index: usize,
    items: &mut [Item<'call>],
    answers: &[Answer],
    now: Time,
) {
    let of_key = |item: &Item<'_>| item.limit.key == index;
    if !items.iter().any(|item| of_key(item) && item.changes) {
        return;
    }
    let unused_after_ms = items
        .iter()
        .zip(answers)
        .filter(|(item, _)| of_key(item))
        .map(|(_, answer)| answer.reset_after_ms)
        .max()
        .unwrap_or(0);

    if let Some(key) = keys.get_mut(index).and_then(Option::as_mut) {
        let mut set: SmallVec<[(&OwnedString, OwnedString); 1]> = SmallVec::new();
        let mut deleted: SmallVec<[&OwnedString; 1]> = SmallVec::new();
        for item in items.iter().filter(|item| of_key(item) && item.changes) {
            let Held::Field { name, limiter, origin } = &item.held else {
                continue;
            };
            match limiter.state() {
                Some(state) => set.push((name, OwnedString::new(state.as_bytes()))),
                None if *origin == Origin::Field => deleted.push(name),
                None => {}
            }
            if *origin == Origin::RedisCell {
                key.unlink();
            }
        }
        // Setting first, so that a hash which keeps a field does not go, and its expiry with it.
        key.set_fields(&set);
        key.delete_fields(&deleted);
        if !(set.is_empty() && deleted.is_empty()) {
            expire(key, unused_after_ms, now);
        }
        return;
    }
    for item in items.iter_mut().filter(|item| of_key(item)) {
        if let Held::Log(log) = &mut item.held {
            expire(&mut log.storage_mut().key, unused_after_ms, now);
        }
    }
}

/// Lets `key` live until its limiters are as good as unused. An expiry that will do is left alone, and a new
/// one has some time to spare, so that most calls need not touch it.
fn expire(key: &mut Key<'_>, unused_after_ms: i64, now: Time) {
    let needed = now.floor_ms().saturating_add(unused_after_ms);
    if key.kind() != Kind::Empty && key.expires_at_ms().is_none_or(|at| at < needed) {
        key.expire_at_ms(needed.saturating_add(unused_after_ms / 8).saturating_add(SPARE_MS));
    }
}

/// The least time to spare, in milliseconds.
const SPARE_MS: i64 = 1000;

impl From<OtherData> for Error {
    fn from(_: OtherData) -> Self {
        Self::OtherData
    }
}

impl From<TooMuch> for Error {
    fn from(_: TooMuch) -> Self {
        Self::TooMuch
    }
}

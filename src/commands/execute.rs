//! One call from request to effects: load every limiter, judge all, then charge all or none.

use std::rc::Rc;

use smallvec::SmallVec;

use super::error::Error;
use super::field_names::field_name;
use super::grammar::{Limit, Storage, is_field};
use super::redis_cell;
use super::request::Several;
use super::store::StoredLog;
use crate::algorithms::decision::{self, Answer, Ask, TooMuch, Verdict};
use crate::algorithms::{Algorithm, FieldLimiter, Limiter as _, OtherData, SlidingLog, Time};
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

/// What a call with several limits is answered.
pub struct Outcome<'items> {
    /// Whether no limit refuses.
    pub allowed: bool,
    /// Refused: the longest that a refusing limit asks to wait, -1 if one never lets this call through.
    /// Allowed: the longest that a caller is to wait before proceeding.
    pub retry_after_ms: i64,
    items: &'items [Item<'items, 'items>],
}

impl Outcome<'_> {
    /// Each limit's answer, in order.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = &Answer> {
        self.items.iter().map(|item| &item.answer)
    }
}

/// A limiter that a hash's field holds.
struct Field {
    name: Rc<OwnedString>,
    limiter: FieldLimiter,
    origin: Origin,
}

/// Where a field's state came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Nothing,
    Field,
    /// A string that redis-cell left, which gives way to the field.
    RedisCell,
}

/// A sliding log with the sorted set that holds it.
type StoredSlidingLog<'call> = SlidingLog<StoredLog<'call>>;

/// Decides one limit on the key called `name`, and charges it if it fits.
///
/// [`all`] does the same for any number; this is the straight way for one.
///
/// # Errors
///
/// What the key holds instead of a limiter, or a forced cost beyond counting; nothing is changed then.
#[inline]
pub fn one<'call>(
    call: &Call<'call>,
    name: Word<'call>,
    limit: &Limit<'call>,
    intent: Intent,
) -> Result<Answer, Error> {
    let now = Time::from_us(call.now_us());
    let ask = limit.ask();
    let mut key = Key::open(call, name, intent.mode());
    match limit.grammar.storage {
        Storage::Field(algorithm) => {
            let mut field = Field::load(algorithm, limit, &key, now, intent)?;
            let verdict = field.limiter.judge(&ask)?;
            let changes = field.apply(verdict.charge, &ask);
            let answer = field.limiter.answer(&ask, &verdict);
            if changes {
                field.write(&mut key, answer.reset_after_ms, now);
            }
            Ok(answer)
        }
        Storage::Log => {
            let mut log = load_log(limit, key, now)?;
            let verdict = decision::judge(&log, &ask)?;
            let changes = apply_log(&mut log, verdict.charge, &ask);
            let answer = decision::answer(&log, &ask, &verdict);
            if changes {
                expire(&mut log.storage_mut().key, answer.reset_after_ms, now);
            }
            Ok(answer)
        }
    }
}

/// One of several limits, with its state.
struct Item<'call, 'limit> {
    limit: &'limit Limit<'call>,
    held: Held<'call>,
    verdict: Verdict,
    /// Whether the call changes the state.
    changes: bool,
    answer: Answer,
}

/// A limiter as its key holds it.
enum Held<'call> {
    Field(Field),
    /// Boxed, since it is three times as large.
    Log(Box<StoredSlidingLog<'call>>),
}

/// Decides several limits at one instant, charges all of them if none refuses, and hands the outcome to `reply`.
///
/// # Errors
///
/// What a key holds instead of limiters, or a forced cost beyond counting; nothing is changed then.
pub fn all<'call>(
    call: &Call<'call>,
    request: &Several<'call, Word<'call>>,
    intent: Intent,
    reply: impl FnOnce(&Outcome<'_>),
) -> Result<(), Error> {
    let now = Time::from_us(call.now_us());
    let mut keys: SmallVec<[_; 2]> = SmallVec::new();
    for name in &request.keys {
        keys.push(Some(Key::open(call, *name, intent.mode())));
    }
    let mut items: SmallVec<[_; 4]> = SmallVec::new();
    for limit in &request.limits {
        items.push(Item::load(limit, &mut keys, now, intent)?);
    }
    let allowed = !items.iter().any(Item::refuses);
    let mut changes = false;
    for item in &mut items {
        if intent != Intent::Peek {
            item.apply(allowed);
            changes |= item.changes;
        }
        item.answer();
    }
    if changes {
        for (index, key) in keys.iter_mut().enumerate() {
            write_back(key.as_mut(), index, &mut items, now);
        }
    }

    let (mut longest, mut never) = (0, false);
    for item in &items {
        if if allowed { item.verdict.allowed > 0 } else { item.refuses() } {
            longest = item.answer.retry_after_ms.max(longest);
            never |= item.answer.retry_after_ms < 0;
        }
    }
    reply(&Outcome { allowed, retry_after_ms: if never { -1 } else { longest }, items: &items });
    Ok(())
}

impl Intent {
    fn mode(self) -> Mode {
        if self == Self::Peek { Mode::Read } else { Mode::Write }
    }
}

impl<'call, 'limit> Item<'call, 'limit> {
    /// Reads the state of `limit` and judges what is asked of it.
    fn load(
        limit: &'limit Limit<'call>,
        keys: &mut [Option<Key<'call>>],
        now: Time,
        intent: Intent,
    ) -> Result<Self, Error> {
        // A log takes its key. That no other limit needs it then was seen when the words were read.
        let key = keys.get_mut(limit.key).ok_or(Error::LogNotAlone)?;
        let (held, verdict) = match limit.grammar.storage {
            Storage::Field(algorithm) => {
                let key = key.as_ref().ok_or(Error::LogNotAlone)?;
                let field = Field::load(algorithm, limit, key, now, intent)?;
                let verdict = field.limiter.judge(&limit.ask())?;
                (Held::Field(field), verdict)
            }
            Storage::Log => {
                let log = load_log(limit, key.take().ok_or(Error::LogNotAlone)?, now)?;
                let verdict = decision::judge(&log, &limit.ask())?;
                (Held::Log(Box::new(log)), verdict)
            }
        };
        Ok(Self { limit, held, verdict, changes: false, answer: Answer::default() })
    }

    /// Whether this limit stops the whole call; one that is forced never does.
    fn refuses(&self) -> bool {
        self.verdict.refuses() && self.limit.mode != decision::Mode::Force
    }

    /// Charges what was found right, if the whole call is `allowed`.
    fn apply(&mut self, allowed: bool) {
        let charge = if allowed { self.verdict.charge } else { 0 };
        self.changes = match &mut self.held {
            Held::Field(field) => field.apply(charge, &self.limit.ask()),
            Held::Log(log) => apply_log(log, charge, &self.limit.ask()),
        };
    }

    fn answer(&mut self) {
        self.answer = match &self.held {
            Held::Field(field) => field.limiter.answer(&self.limit.ask(), &self.verdict),
            Held::Log(log) => decision::answer(&**log, &self.limit.ask(), &self.verdict),
        };
    }
}

impl Field {
    /// The limiter that a field of `key` holds.
    #[inline]
    fn load(
        algorithm: Algorithm,
        limit: &Limit<'_>,
        key: &Key<'_>,
        now: Time,
        intent: Intent,
    ) -> Result<Self, Error> {
        let name = field_name(limit);
        let (stored, origin) = match key.kind() {
            Kind::Hash => match key.field(&name) {
                Some(stored) => (Some(stored), Origin::Field),
                None if key.any_field().is_some_and(|field| !is_field(&field)) => {
                    return Err(Error::OtherData);
                }
                None => (None, Origin::Nothing),
            },
            Kind::Empty => (None, Origin::Nothing),
            Kind::String if intent == Intent::ChargeAdopting => {
                let limiter = redis_cell::adopt(key, &limit.terms, now).ok_or(Error::WrongType)?;
                return Ok(Self { name, limiter, origin: Origin::RedisCell });
            }
            _ => return Err(Error::WrongType),
        };
        let limiter = algorithm
            .resume(&limit.terms, stored.as_ref().map(OwnedString::bytes), now)
            .ok_or_else(|| Error::BadState(name.bytes().to_vec()))?;
        Ok(Self { name, limiter, origin })
    }

    /// Writes the limiter, if it is the only one of its key that changed; as [`write_fields`].
    #[inline]
    fn write(&self, key: &mut Key<'_>, unused_after_ms: i64, now: Time) {
        match self.limiter.state() {
            Some(state) if self.origin != Origin::RedisCell => {
                key.set_fields(&[(&self.name, OwnedString::new(state.as_bytes()))]);
                expire(key, unused_after_ms, now);
            }
            _ => write_fields(key, std::iter::once(self), unused_after_ms, now),
        }
    }

    /// Charges `charge` units, if any. Whether the state is to be written: also when it was pulled to the
    /// present, unless the caller only asks.
    #[inline]
    fn apply(&mut self, charge: i64, ask: &Ask) -> bool {
        if charge != 0 {
            self.limiter.charge(charge);
        }
        charge != 0 || (ask.cost != 0 && self.limiter.was_pulled())
    }
}

/// The sliding log that `key` holds.
fn load_log<'call>(limit: &Limit<'_>, key: Key<'call>, now: Time) -> Result<StoredSlidingLog<'call>, Error> {
    match key.kind() {
        Kind::Empty | Kind::SortedSet => {}
        _ => return Err(Error::WrongType),
    }
    let log = SlidingLog::open(StoredLog { key }, &limit.terms, now)?;
    if limit.cost < 0 {
        log.check_refund(limit.cost.saturating_neg())?;
    }
    Ok(log)
}

/// As [`Field::apply`]; a log is written at once.
fn apply_log(log: &mut StoredSlidingLog<'_>, charge: i64, ask: &Ask) -> bool {
    let changes = charge != 0 || (ask.cost != 0 && log.was_pulled());
    if charge != 0 {
        log.charge(charge);
    } else if changes {
        log.settle();
    }
    changes
}

/// Writes the changed limiters of the key of that index. `key` is None where a log has it.
fn write_back<'call>(key: Option<&mut Key<'call>>, index: usize, items: &mut [Item<'call, '_>], now: Time) {
    let of_key = |item: &&Item<'_, '_>| item.limit.key == index;
    let unused_after_ms = items.iter().filter(of_key).map(|item| item.answer.reset_after_ms).max();
    let unused_after_ms = unused_after_ms.unwrap_or(0);
    if let Some(key) = key {
        let changed = items.iter().filter(|item| of_key(item) && item.changes);
        let fields = changed.filter_map(|item| match &item.held {
            Held::Field(field) => Some(field),
            Held::Log(_) => None,
        });
        write_fields(key, fields, unused_after_ms, now);
        return;
    }
    for item in items.iter_mut().filter(|item| of_key(&&**item) && item.changes) {
        if let Held::Log(log) = &mut item.held {
            expire(&mut log.storage_mut().key, unused_after_ms, now);
        }
    }
}

/// Writes `fields` of one key, and lets it expire when all it holds is as good as unused.
#[inline]
fn write_fields<'field>(
    key: &mut Key<'_>,
    fields: impl Iterator<Item = &'field Field>,
    unused_after_ms: i64,
    now: Time,
) {
    let mut set: SmallVec<[(&OwnedString, OwnedString); 4]> = SmallVec::new();
    let mut deleted: SmallVec<[&OwnedString; 4]> = SmallVec::new();
    let mut replaces = false;
    for Field { name, limiter, origin } in fields {
        match limiter.state() {
            Some(state) => set.push((name, OwnedString::new(state.as_bytes()))),
            None if *origin == Origin::Field => deleted.push(name),
            None => {}
        }
        replaces |= *origin == Origin::RedisCell;
    }
    if replaces {
        key.unlink();
    }
    // Setting first, so that a hash which keeps a field does not go, and its expiry with it.
    key.set_fields(&set);
    key.delete_fields(&deleted);
    // Where only fields went, and nothing is known of the others, their expiry stays.
    if unused_after_ms > 0 && !(set.is_empty() && deleted.is_empty()) {
        expire(key, unused_after_ms, now);
    }
}

/// Lets `key` live until its limiters are as good as unused. An expiry that will do is left alone, and a new
/// one has some time to spare, so that most calls need not touch it.
fn expire(key: &mut Key<'_>, unused_after_ms: i64, now: Time) {
    let needed = now.floor_ms().saturating_add(unused_after_ms);
    if key.expires_at_ms().is_none_or(|at| at < needed) {
        // Does nothing where no key is left.
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

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
    /// Each limit's answer, in order.
    pub answers: &'items [Answer],
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
#[inline(always)]
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
            let charge = intent.charge(&verdict);
            let answer = field.limiter.settle(charge, &ask, &verdict);
            if intent != Intent::Peek && field.changes(charge, &ask) {
                field.write(&mut key, answer.reset_after_ms, now);
            }
            Ok(answer)
        }
        Storage::Log => {
            let mut log = load_log(limit, key, now)?;
            let verdict = decision::judge(&log, &ask)?;
            if intent == Intent::Peek {
                return Ok(decision::answer(&log, &ask, &verdict));
            }
            let (changes, answer) = settle_log(&mut log, verdict.charge, &ask, &verdict);
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
}

/// A limiter as its key holds it.
enum Held<'call> {
    Field(Field),
    /// Boxed, since it is three times as large.
    Log(Box<StoredSlidingLog<'call>>),
}

/// Decides several limits at one instant, charges all of them if none refuses, and hands the outcome to `reply`.
/// Where there is one only, that goes the straight way.
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
    if let ([name], [limit]) = (request.keys.as_slice(), request.limits.as_slice()) {
        let answer = one(call, *name, limit, intent)?;
        let fits = answer.allowed > 0;
        let allowed = fits || limit.mode == decision::Mode::Force;
        let retry_after_ms = if allowed && !fits { 0 } else { answer.retry_after_ms };
        reply(&Outcome { allowed, retry_after_ms, answers: &[answer] });
        return Ok(());
    }
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
    let mut answers: SmallVec<[_; 4]> = SmallVec::new();
    for item in &mut items {
        answers.push(item.settle(allowed, intent));
    }
    if items.iter().any(|item| item.changes) {
        for (index, key) in keys.iter_mut().enumerate() {
            write_back(key.as_mut(), index, &mut items, &answers, now);
        }
    }

    let (mut longest, mut never) = (0, false);
    for (item, answer) in items.iter().zip(&answers) {
        if if allowed { item.verdict.allowed > 0 } else { item.refuses() } {
            longest = answer.retry_after_ms.max(longest);
            never |= answer.retry_after_ms < 0;
        }
    }
    reply(&Outcome { allowed, retry_after_ms: if never { -1 } else { longest }, answers: &answers });
    Ok(())
}

impl Intent {
    fn mode(self) -> Mode {
        if self == Self::Peek { Mode::Read } else { Mode::Write }
    }

    /// What of a limit's own verdict is charged.
    fn charge(self, verdict: &Verdict) -> i64 {
        if self == Self::Peek { 0 } else { verdict.charge }
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
        Ok(Self { limit, held, verdict, changes: false })
    }

    /// Whether this limit stops the whole call; one that is forced never does.
    fn refuses(&self) -> bool {
        self.verdict.refuses() && self.limit.mode != decision::Mode::Force
    }

    /// Charges what was found right, if the whole call is `allowed` and not only a question.
    #[inline(always)]
    fn settle(&mut self, allowed: bool, intent: Intent) -> Answer {
        let (ask, verdict) = (self.limit.ask(), &self.verdict);
        let charge = if allowed { intent.charge(verdict) } else { 0 };
        match &mut self.held {
            Held::Field(field) => {
                self.changes = intent != Intent::Peek && field.changes(charge, &ask);
                field.limiter.settle(charge, &ask, verdict)
            }
            Held::Log(log) if intent == Intent::Peek => decision::answer(&**log, &ask, verdict),
            Held::Log(log) => {
                let (changes, answer) = settle_log(log, charge, &ask, verdict);
                self.changes = changes;
                answer
            }
        }
    }
}

impl Field {
    /// The limiter that a field of `key` holds.
    #[inline(always)]
    fn load(
        algorithm: Algorithm,
        limit: &Limit<'_>,
        key: &Key<'_>,
        now: Time,
        intent: Intent,
    ) -> Result<Self, Error> {
        let name = field_name(algorithm.tag(&limit.terms), limit);
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
    #[inline(always)]
    fn write(&self, key: &mut Key<'_>, unused_after_ms: i64, now: Time) {
        match self.limiter.state() {
            Some(state) if self.origin != Origin::RedisCell => {
                key.set_fields(&[(&self.name, OwnedString::new(state.as_bytes()))]);
                expire(key, unused_after_ms, now);
            }
            _ => {
                // A copy, so that the usual way need not keep its own in memory.
                let Self { name, limiter, origin } = self;
                let copy = Self { name: Rc::clone(name), limiter: *limiter, origin: *origin };
                write_fields(key, std::iter::once(&copy), unused_after_ms, now);
            }
        }
    }

    /// Whether the state is to be written when `charge` is charged: also when it was pulled to the present,
    /// unless the caller only asks.
    #[inline(always)]
    fn changes(&self, charge: i64, ask: &Ask) -> bool {
        charge != 0 || (ask.cost != 0 && self.limiter.was_pulled())
    }
}

/// The sliding log that `key` holds.
#[inline(always)]
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

/// Charges `charge` units, if any, which writes them at once; answers whether it did, as [`Field::changes`].
#[inline(always)]
fn settle_log(log: &mut StoredSlidingLog<'_>, charge: i64, ask: &Ask, verdict: &Verdict) -> (bool, Answer) {
    let changes = charge != 0 || (ask.cost != 0 && log.was_pulled());
    if charge != 0 {
        log.charge(charge);
    } else if changes {
        log.settle();
    }
    (changes, decision::answer(log, ask, verdict))
}

/// Writes the changed limiters of the key of that index. `key` is None where a log has it.
fn write_back<'call>(
    key: Option<&mut Key<'call>>,
    index: usize,
    items: &mut [Item<'call, '_>],
    answers: &[Answer],
    now: Time,
) {
    let of_key = || answers.iter().zip(items.iter()).filter(|(_, item)| item.limit.key == index);
    let unused_after_ms = of_key().map(|(answer, _)| answer.reset_after_ms).max().unwrap_or(0);
    if let Some(key) = key {
        let fields = of_key().filter_map(|(_, item)| match &item.held {
            Held::Field(field) if item.changes => Some(field),
            _ => None,
        });
        write_fields(key, fields, unused_after_ms, now);
        return;
    }
    for item in items.iter_mut().filter(|item| item.limit.key == index && item.changes) {
        if let Held::Log(log) = &mut item.held {
            expire(&mut log.storage_mut().key, unused_after_ms, now);
        }
    }
}

/// Writes `fields` of one key, and lets it expire when all it holds is as good as unused.
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

//! One call from request to effects: read and decide every limit, then write all, or none where one refuses.

use std::rc::Rc;

use smallvec::SmallVec;

use super::error::Error;
use super::field_names::field_name;
use super::grammar::{Limit, Storage, is_field};
use super::redis_cell;
use super::request::Several;
use super::store::StoredLog;
use crate::algorithms::decision::{self, Answer, Ask, TooMuch, Verdict};
use crate::algorithms::{
    Algorithm, Decision, Extent, FieldState as _, Limiter as _, NewState, OtherData, SlidingLog, Time,
    TokenBucket, Undecided,
};
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
pub struct Outcome<'items, 'call, 'limit> {
    /// Whether no limit refuses.
    pub allowed: bool,
    /// Refused: the longest that a refusing limit asks to wait, -1 if one never lets this call through.
    /// Allowed: the longest that a caller is to wait before proceeding.
    pub retry_after_ms: i64,
    items: &'items [Item<'call, 'limit>],
}

impl Outcome<'_, '_, '_> {
    /// Each limit's answer, in order.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = &Answer> {
        self.items.iter().map(|item| &item.decision.answer)
    }
}

/// A hash's field that is a limiter's.
struct Field {
    name: Rc<OwnedString>,
    found: Found,
}

/// Where a limiter's state comes from.
enum Found {
    /// There is none.
    Nothing,
    /// The field's value.
    State(OwnedString),
    /// A string that redis-cell left, which gives way to the field.
    RedisCell(TokenBucket),
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
    let mut key = Key::open(call, name, intent.mode());
    match limit.grammar.storage {
        Storage::Field(algorithm) => {
            let field = Field::find(call, algorithm, limit, &key, now, intent)?;
            let mut decision = Decision::default();
            field.decide(algorithm, limit, now, intent.extent(), &mut decision)?;
            field.write(&mut key, &decision, now);
            Ok(decision.answer)
        }
        Storage::Log => {
            let ask = limit.ask();
            let mut log = load_log(limit, key, now)?;
            let verdict = decision::judge(&log, &ask)?;
            let (changes, answer) = settle_log(&mut log, &ask, &verdict, intent.extent());
            if changes {
                expire(&mut log.storage_mut().key, answer.reset_after_ms, now);
            }
            Ok(answer)
        }
    }
}

/// Whether a call of [`one`] limit is allowed, where a forced limit never refuses, and how long the caller is to wait: what
/// [`Outcome`] tells of several.
#[inline(always)]
pub fn outcome_of_one(limit: &Limit<'_>, answer: &Answer) -> (bool, i64) {
    let fits = answer.allowed > 0;
    let allowed = fits || limit.mode == decision::Mode::Force;
    (allowed, if allowed && !fits { 0 } else { answer.retry_after_ms })
}

/// One of several limits, and what comes of it.
struct Item<'call, 'limit> {
    limit: &'limit Limit<'call>,
    decision: Decision,
    /// Where its state is, once that was read: in a field …
    field: Option<Field>,
    /// … or in a log, which is boxed, since it is large.
    log: Option<Box<StoredSlidingLog<'call>>>,
    /// Whether the log has been changed.
    log_changed: bool,
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
    reply: impl FnOnce(&Outcome<'_, '_, '_>),
) -> Result<(), Error> {
    let now = Time::from_us(call.now_us());
    let mut keys: SmallVec<[_; 2]> = SmallVec::new();
    for name in &request.keys {
        keys.push(Some(Key::open(call, *name, intent.mode())));
    }
    let mut items: SmallVec<[Item<'_, '_>; 4]> = SmallVec::new();
    items.extend(request.limits.iter().map(Item::new));
    // Fields are decided as if all limits allowed the call, until one refuses: nothing is written yet.
    let mut extent = intent.extent();
    for item in &mut items {
        item.decide(call, &mut keys, now, intent, extent)?;
        if item.refuses() {
            extent = extent.refused();
        }
    }
    let allowed = !items.iter().any(Item::refuses);
    if extent != intent.extent() {
        // What came before the one that refused is decided anew.
        for item in items.iter_mut().take_while(|item| !item.refuses()) {
            item.decide_again(now, extent)?;
        }
    }
    // Logs are changed as they are charged, so they wait until all is known.
    for item in &mut items {
        item.settle_log(extent);
    }
    for (index, key) in keys.iter_mut().enumerate() {
        write_back(key.as_mut(), index, &mut items, now);
    }

    let (mut longest, mut never) = (0, false);
    for item in &items {
        let Decision { verdict, answer, .. } = &item.decision;
        if if allowed { verdict.allowed > 0 } else { item.refuses() } {
            longest = answer.retry_after_ms.max(longest);
            never |= answer.retry_after_ms < 0;
        }
    }
    reply(&Outcome { allowed, retry_after_ms: if never { -1 } else { longest }, items: &items });
    Ok(())
}

impl Intent {
    fn mode(self) -> Mode {
        if self == Self::Peek { Mode::Read } else { Mode::Write }
    }

    /// What is carried out of a verdict, as long as no other limit refuses.
    fn extent(self) -> Extent {
        if self == Self::Peek { Extent::Nothing } else { Extent::All }
    }
}

impl<'call, 'limit> Item<'call, 'limit> {
    fn new(limit: &'limit Limit<'call>) -> Self {
        Self { limit, decision: Decision::default(), field: None, log: None, log_changed: false }
    }

    /// Reads the limit's state, and judges what is asked of it; a field is decided, too.
    #[inline(always)]
    fn decide(
        &mut self,
        call: &Call<'call>,
        keys: &mut [Option<Key<'call>>],
        now: Time,
        intent: Intent,
        extent: Extent,
    ) -> Result<(), Error> {
        let limit = self.limit;
        // A log takes its key. That no other limit needs it then was seen when the words were read.
        let key = keys.get_mut(limit.key).ok_or(Error::LogNotAlone)?;
        match limit.grammar.storage {
            Storage::Field(algorithm) => {
                let key = key.as_ref().ok_or(Error::LogNotAlone)?;
                let field = self.field.insert(Field::find(call, algorithm, limit, key, now, intent)?);
                field.decide(algorithm, limit, now, extent, &mut self.decision)
            }
            Storage::Log => {
                let log = load_log(limit, key.take().ok_or(Error::LogNotAlone)?, now)?;
                self.decision.verdict = decision::judge(&log, &limit.ask())?;
                self.log = Some(Box::new(log));
                Ok(())
            }
        }
    }

    /// Whether this limit stops the whole call; one that is forced never does.
    fn refuses(&self) -> bool {
        self.decision.verdict.refuses() && self.limit.mode != decision::Mode::Force
    }

    /// Decides a field to another extent.
    fn decide_again(&mut self, now: Time, extent: Extent) -> Result<(), Error> {
        if let (Storage::Field(algorithm), Some(field)) = (self.limit.grammar.storage, &self.field) {
            field.decide(algorithm, self.limit, now, extent, &mut self.decision)?;
        }
        Ok(())
    }

    /// Carries out what was found of a log, and answers.
    fn settle_log(&mut self, extent: Extent) {
        if let Some(log) = &mut self.log {
            let Decision { verdict, answer, .. } = &mut self.decision;
            (self.log_changed, *answer) = settle_log(log, &self.limit.ask(), verdict, extent);
        }
    }
}

impl Field {
    /// The field of `key` that is `limit`'s.
    #[inline(always)]
    fn find(
        call: &Call<'_>,
        algorithm: Algorithm,
        limit: &Limit<'_>,
        key: &Key<'_>,
        now: Time,
        intent: Intent,
    ) -> Result<Self, Error> {
        let name = field_name(call, algorithm.tag(&limit.terms), limit.terms.window, limit.name);
        let found = match key.kind() {
            Kind::Hash => match key.field(&name) {
                Some(state) => Found::State(state),
                None if key.any_field().is_some_and(|field| !is_field(&field)) => {
                    return Err(Error::OtherData);
                }
                None => Found::Nothing,
            },
            Kind::Empty => Found::Nothing,
            Kind::String if intent == Intent::ChargeAdopting => {
                Found::RedisCell(redis_cell::adopt(key, &limit.terms, now).ok_or(Error::WrongType)?)
            }
            _ => return Err(Error::WrongType),
        };
        Ok(Self { name, found })
    }

    /// Works out what comes of `limit` at `now`; as [`FieldState::decide`](crate::algorithms::FieldState::decide).
    #[inline(always)]
    fn decide(
        &self,
        algorithm: Algorithm,
        limit: &Limit<'_>,
        now: Time,
        extent: Extent,
        decision: &mut Decision,
    ) -> Result<(), Error> {
        let (terms, ask) = (&limit.terms, limit.ask());
        let stored = match &self.found {
            Found::Nothing => None,
            Found::State(state) => Some(state.bytes()),
            Found::RedisCell(bucket) => return Ok(bucket.decide(&ask, extent, decision)?),
        };
        match algorithm.decide(terms, stored, now, &ask, extent, decision) {
            Ok(()) => Ok(()),
            Err(Undecided::BadState) => Err(Error::BadState(self.name.bytes().to_vec())),
            Err(Undecided::TooMuch) => Err(Error::TooMuch),
        }
    }

    /// Writes what was decided, as the only change to `key`; as [`write_fields`].
    #[inline(always)]
    fn write(&self, key: &mut Key<'_>, decision: &Decision, now: Time) {
        let unused_after_ms = decision.answer.reset_after_ms;
        match (decision.state, &self.found) {
            (NewState::Same, _) => {}
            (NewState::Text, Found::Nothing | Found::State(_)) => {
                key.set_fields(&[(&self.name, OwnedString::new(decision.text.as_bytes()))]);
                expire(key, unused_after_ms, now);
            }
            _ => write_fields(key, std::iter::once((self, decision)), unused_after_ms, now),
        }
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

/// Carries out as much of `verdict` as `extent` says, which writes it at once; answers whether it did.
#[inline(always)]
fn settle_log(
    log: &mut StoredSlidingLog<'_>,
    ask: &Ask,
    verdict: &Verdict,
    extent: Extent,
) -> (bool, Answer) {
    let charge = extent.charge(verdict);
    let changes = extent.changes(charge, ask, log.was_pulled());
    if charge != 0 {
        log.charge(charge);
    } else if changes {
        log.settle();
    }
    (changes, decision::answer(log, ask, verdict))
}

/// Writes what changed of the key of that index. `key` is None where a log has it.
fn write_back<'call>(key: Option<&mut Key<'call>>, index: usize, items: &mut [Item<'call, '_>], now: Time) {
    let mut unused_after_ms = 0;
    for item in items.iter_mut().filter(|item| item.limit.key == index) {
        unused_after_ms = item.decision.answer.reset_after_ms.max(unused_after_ms);
        if let Some(log) = item.log.as_mut().filter(|_| item.log_changed) {
            expire(&mut log.storage_mut().key, unused_after_ms, now);
        }
    }
    let Some(key) = key else { return };
    let of_key = items.iter().filter(|item| item.limit.key == index);
    let fields = of_key.filter_map(|item| Some((item.field.as_ref()?, &item.decision)));
    write_fields(key, fields, unused_after_ms, now);
}

/// Writes fields of one key, and lets it expire when all it holds is as good as unused.
fn write_fields<'field>(
    key: &mut Key<'_>,
    fields: impl Iterator<Item = (&'field Field, &'field Decision)>,
    unused_after_ms: i64,
    now: Time,
) {
    let mut set: SmallVec<[(&OwnedString, OwnedString); 4]> = SmallVec::new();
    let mut deleted: SmallVec<[&OwnedString; 4]> = SmallVec::new();
    let mut replaces = false;
    for (Field { name, found }, decision) in fields {
        match (decision.state, found) {
            (NewState::Same, _) => continue,
            (NewState::Text, _) => set.push((name, OwnedString::new(decision.text.as_bytes()))),
            (NewState::None, Found::State(_)) => deleted.push(name),
            (NewState::None, _) => {}
        }
        replaces |= matches!(found, Found::RedisCell(_));
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

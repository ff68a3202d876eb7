//! The way of a call, one for 1 to 64 limits: keys, each opened once → quotas → state → decide all → commit.

use smallvec::SmallVec;

use super::error::Error;
use super::grammar::is_tag;
use super::parser::Spec;
use super::request::{KeyUse, Request};
use crate::algorithms::decision::{Change, Decision, Extent, Mode, Outcome};
use crate::algorithms::{Quota, Time};
use crate::server::{Access, Call, Key, Word, check_keys, now_us};
use crate::state::{Identity, StateError, Storage, Stored, check_hash, commit};

/// What is done with what fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is charged.
    Charge,
    /// It is charged, and keys that redis-cell left are taken over.
    ChargeAdopting,
    /// Nothing is changed.
    Peek,
}

impl Purpose {
    /// What keys are opened for.
    #[must_use]
    pub fn access(self) -> Access {
        if self == Self::Peek { Access::Read } else { Access::Write }
    }

    /// What is carried out of a verdict, as long as no other limit denies the call.
    fn extent(self) -> Extent {
        if self == Self::Peek { Extent::Nothing } else { Extent::All }
    }
}

/// What a call comes to.
pub struct Answer {
    /// Whether no limit denies it.
    pub allowed: bool,
    /// Denied: the longest that a denying limit asks to wait, -1 if one never lets this call through.
    /// Allowed: the longest that a caller is to wait before proceeding.
    pub retry_after_ms: i64,
    /// What each limit comes to, in order.
    pub decisions: SmallVec<[Decision; 3]>,
}

/// One limit of a call, on its open key.
struct Limit<'r, 'k, 'call> {
    spec: &'r Spec<'call>,
    /// The quota in force.
    quota: Quota,
    stored: Stored<'k, 'call>,
}

/// Decides all limits of a call at one instant, and charges them if none denies it.
///
/// # Errors
///
/// What a key holds instead of limiters, a forced cost beyond counting, or keys that the call must not touch; nothing is
/// changed then.
pub fn execute<'call>(
    call: &Call<'call>,
    request: &Request<'call, Word<'call>>,
    purpose: Purpose,
) -> Result<Answer, Error> {
    if let ([key], [spec]) = (request.keys.as_slice(), request.specs.as_slice()) {
        let decision = execute_one(call, key, spec, purpose)?;
        // A forced limit never denies.
        let denied = decision.allowed == 0 && spec.charge.mode != Mode::Force;
        let waits = denied || decision.allowed > 0;
        let retry_after_ms = if waits { decision.retry_after_ms } else { 0 };
        let mut decisions = SmallVec::new();
        decisions.push(decision);
        return Ok(Answer { allowed: !denied, retry_after_ms, decisions });
    }
    check_keys(call, request.keys.iter().map(|key| (key.name, purpose.access())))?;
    let now = Time::from_us(now_us(call));
    let keys: SmallVec<[Key<'_>; 2]> =
        request.keys.iter().map(|key| Key::open(call, key.name, purpose.access())).collect();
    let mut limits: SmallVec<[Limit<'_, '_, '_>; 3]> = SmallVec::new();
    for (spec, key) in request.specs.iter().filter_map(|spec| Some((spec, keys.get(spec.key)?))) {
        let stored = read(call, spec, key, purpose, now);
        let stored = stored.map_err(|error| of_limit(error, spec, Some(limits.len())))?;
        limits.push(Limit { spec, quota: spec.quota, stored });
    }
    let mut outcomes: SmallVec<[Outcome; 3]> = SmallVec::new();
    outcomes.resize_with(limits.len(), Outcome::default);
    let denied = conclude(call, &keys, &limits, &mut outcomes, purpose, now)?;
    Ok(answer(&limits, &outcomes, denied))
}

/// The same for one limit, which is most calls: with arrays of one in place of lists, the steps become straight code.
#[inline(always)]
pub fn execute_one<'call>(
    call: &Call<'call>,
    key: &KeyUse<Word<'call>>,
    spec: &Spec<'call>,
    purpose: Purpose,
) -> Result<Decision, Error> {
    let now = Time::from_us(now_us(call));
    let keys = [Key::open(call, key.name, purpose.access())];
    let [key] = &keys;
    let stored = read(call, spec, key, purpose, now).map_err(|error| of_limit(error, spec, None))?;
    let limits = [Limit { spec, quota: spec.quota, stored }];
    let mut outcomes = [Outcome::default()];
    conclude(call, &keys, &limits, &mut outcomes, purpose, now)?;
    let [outcome] = &outcomes;
    Ok(outcome.decision)
}

/// Decides all limits, and stores what they come to; answers whether one denies the call.
#[inline(always)]
fn conclude<'call>(
    call: &Call<'call>,
    keys: &[Key<'call>],
    limits: &[Limit<'_, '_, 'call>],
    outcomes: &mut [Outcome],
    purpose: Purpose,
    now: Time,
) -> Result<bool, Error> {
    for (index, key) in keys.iter().enumerate() {
        let mut on_key = limits.iter().filter(|limit| limit.spec.key == index);
        if !on_key.any(|limit| limit.stored.is_found()) {
            check_hash(key, is_tag).map_err(|error| of_key(error, index, limits))?;
        }
    }
    decide(limits, outcomes, now, purpose.extent())?;
    let denied = denials(limits, outcomes).any(|denies| denies);
    if denied && limits.len() > 1 && purpose != Purpose::Peek {
        // Decisions store nothing, so those that were made as if all limits allowed the call are made anew.
        decide(limits, outcomes, now, Extent::Denied)?;
    }
    if outcomes.iter().any(|outcome| !matches!(outcome.change, Change::None)) {
        for (index, key) in keys.iter().enumerate() {
            let both = limits.iter().zip(outcomes.iter()).filter(|(limit, _)| limit.spec.key == index);
            commit(call, key, both.map(|(limit, outcome)| (&limit.stored, outcome)), now)
                .map_err(|error| of_key(error, index, limits))?;
        }
    }
    Ok(denied)
}

/// Decides each limit, as far as `extent` says.
#[inline(always)]
fn decide(
    limits: &[Limit<'_, '_, '_>],
    outcomes: &mut [Outcome],
    now: Time,
    extent: Extent,
) -> Result<(), Error> {
    for (index, (Limit { spec, quota, stored }, outcome)) in limits.iter().zip(outcomes).enumerate() {
        stored
            .decide(quota, &spec.charge, now, extent, outcome)
            .map_err(|error| of_limit(error, spec, (limits.len() > 1).then_some(index)))?;
    }
    Ok(())
}

/// Whether each limit denies the whole call; one that is forced never does.
#[inline(always)]
fn denials<'l>(limits: &'l [Limit<'_, '_, '_>], outcomes: &'l [Outcome]) -> impl Iterator<Item = bool> + 'l {
    limits
        .iter()
        .zip(outcomes)
        .map(|(limit, outcome)| outcome.verdict.denies() && limit.spec.charge.mode != Mode::Force)
}

fn answer(limits: &[Limit<'_, '_, '_>], outcomes: &[Outcome], denied: bool) -> Answer {
    let (mut longest, mut never) = (0, false);
    for (denies, Outcome { verdict, decision, .. }) in denials(limits, outcomes).zip(outcomes) {
        if if denied { denies } else { verdict.allowed > 0 } {
            longest = decision.retry_after_ms.max(longest);
            never |= decision.retry_after_ms < 0;
        }
    }
    Answer {
        allowed: !denied,
        retry_after_ms: if never { -1 } else { longest },
        decisions: outcomes.iter().map(|outcome| outcome.decision).collect(),
    }
}

/// Reads the state of the limiter that `spec` names.
#[inline(always)]
fn read<'k, 'call>(
    call: &Call<'call>,
    spec: &Spec<'call>,
    key: &'k Key<'call>,
    purpose: Purpose,
    now: Time,
) -> Result<Stored<'k, 'call>, StateError> {
    let adopts = purpose == Purpose::ChargeAdopting;
    let identity = Identity { storage: &spec.grammar.storage, name: spec.name, adopts };
    Stored::read(call, key, &identity, &spec.quota, now)
}

/// An error of a limit, which is named by its index if there are several.
#[cold]
fn of_limit(error: StateError, spec: &Spec<'_>, index: Option<usize>) -> Error {
    let error = Error::State(error, matches!(spec.grammar.storage, Storage::Log));
    match index {
        Some(index) => error.in_limit(index, spec.grammar.word),
        None => error,
    }
}

/// An error of the key of that index: of the first limit on it.
#[cold]
fn of_key(error: StateError, key: usize, limits: &[Limit<'_, '_, '_>]) -> Error {
    let first = limits.iter().enumerate().find(|(_, limit)| limit.spec.key == key);
    match first {
        Some((index, limit)) => of_limit(error, limit.spec, (limits.len() > 1).then_some(index)),
        None => Error::State(error, false),
    }
}

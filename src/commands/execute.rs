//! The way of a call, one for 1 to 64 limits: keys, each opened once → quotas → state → decide all → commit.

use std::slice::{from_mut, from_ref};

use smallvec::SmallVec;

use super::error::Error;
use super::grammar::is_tag;
use super::parser::Spec;
use super::request::{KeyUse, Request};
use crate::algorithms::Time;
use crate::algorithms::decision::{Change, Decision, Extent, Mode, Outcome};
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

/// The limits of a call, and for each of them what its open key holds.
#[derive(Clone, Copy)]
struct Limits<'r, 'k, 'call> {
    specs: &'r [Spec<'call>],
    states: &'r [Stored<'k, 'call>],
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
        let decision =
            execute_one(call, key, spec, purpose).map_err(|error| error.in_limit(0, spec.grammar.word))?;
        // A forced limit never denies.
        let denied = decision.allowed == 0 && spec.charge.mode != Mode::Force;
        let waits = denied || decision.allowed > 0;
        let retry_after_ms = if waits { decision.retry_after_ms } else { 0 };
        let mut decisions = SmallVec::new();
        decisions.push(decision);
        return Ok(Answer { allowed: !denied, retry_after_ms, decisions });
    }
    check_keys(call, request.keys.iter().map(|key| key.name))?;
    let now = Time::from_us(now_us(call));
    let keys: SmallVec<[Key<'_>; 2]> =
        request.keys.iter().map(|key| Key::open(call, key.name, purpose.access())).collect();
    let mut states: SmallVec<[Stored<'_, '_>; 3]> = SmallVec::new();
    for (index, spec) in request.specs.iter().enumerate() {
        let Some(key) = keys.get(spec.key) else { continue };
        let stored = state_of(call, spec, key, purpose, now);
        states.push(stored.map_err(|error| of_limit(error, spec, Some(index)))?);
    }
    let mut outcomes: SmallVec<[Outcome; 3]> = SmallVec::new();
    outcomes.resize_with(states.len(), Outcome::default);
    let limits = Limits { specs: &request.specs, states: &states };
    let denied = limits.conclude(call, &keys, &mut outcomes, purpose, now)?;
    Ok(limits.answer(&outcomes, denied))
}

/// The same for one limit, which is most calls: with slices of one in place of lists, the steps become straight code.
#[inline(always)]
pub fn execute_one<'call>(
    call: &Call<'call>,
    key: &KeyUse<Word<'call>>,
    spec: &Spec<'call>,
    purpose: Purpose,
) -> Result<Decision, Error> {
    let now = Time::from_us(now_us(call));
    let key = Key::open(call, key.name, purpose.access());
    let stored = state_of(call, spec, &key, purpose, now).map_err(|error| of_limit(error, spec, None))?;
    let mut outcome = Outcome::default();
    let limits = Limits { specs: from_ref(spec), states: from_ref(&stored) };
    limits.conclude(call, from_ref(&key), from_mut(&mut outcome), purpose, now)?;
    Ok(outcome.decision)
}

/// Reads the state of the limiter that `spec` names.
#[inline(always)]
fn state_of<'k, 'call>(
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

impl Limits<'_, '_, '_> {
    /// Decides all limits, and stores what they come to; answers whether one denies the call.
    #[inline(always)]
    fn conclude(
        self,
        call: &Call<'_>,
        keys: &[Key<'_>],
        outcomes: &mut [Outcome],
        purpose: Purpose,
        now: Time,
    ) -> Result<bool, Error> {
        for (index, key) in keys.iter().enumerate() {
            let mut on_key = self.iter().filter(|(spec, _)| spec.key == index);
            if !on_key.any(|(_, stored)| stored.is_found()) {
                check_hash(key, is_tag).map_err(|error| self.error_of_key(error, index))?;
            }
        }
        self.decide_all(outcomes, now, purpose.extent())?;
        let denied = self.denials(outcomes).any(|denies| denies);
        if denied && self.specs.len() > 1 && purpose != Purpose::Peek {
            // Decisions store nothing, so those that were made as if all limits allowed the call are made anew.
            self.decide_all(outcomes, now, Extent::Denied)?;
        }
        if outcomes.iter().any(|outcome| !matches!(outcome.change, Change::None)) {
            for (index, key) in keys.iter().enumerate() {
                let on_key = self.iter().zip(outcomes.iter()).filter(|((spec, _), _)| spec.key == index);
                commit(call, key, on_key.map(|((_, stored), outcome)| (stored, outcome)), now)
                    .map_err(|error| self.error_of_key(error, index))?;
            }
        }
        Ok(denied)
    }

    /// Each limit, with its state.
    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = (&Spec<'_>, &Stored<'_, '_>)> + Clone {
        self.specs.iter().zip(self.states)
    }

    /// Decides each limit, as far as `extent` says.
    #[inline(always)]
    fn decide_all(self, outcomes: &mut [Outcome], now: Time, extent: Extent) -> Result<(), Error> {
        for (index, ((spec, stored), outcome)) in self.iter().zip(outcomes).enumerate() {
            stored
                .decide(&spec.quota, &spec.charge, now, extent, outcome)
                .map_err(|error| of_limit(error, spec, self.several(index)))?;
        }
        Ok(())
    }

    /// Whether each limit denies the whole call; one that is forced never does.
    #[inline(always)]
    fn denials(&self, outcomes: &[Outcome]) -> impl Iterator<Item = bool> {
        self.specs
            .iter()
            .zip(outcomes)
            .map(|(spec, outcome)| outcome.verdict.denies() && spec.charge.mode != Mode::Force)
    }

    fn answer(self, outcomes: &[Outcome], denied: bool) -> Answer {
        let (mut longest, mut never) = (0, false);
        for (denies, Outcome { verdict, decision, .. }) in self.denials(outcomes).zip(outcomes) {
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

    /// The index of a limit, if there are several.
    fn several(self, index: usize) -> Option<usize> {
        (self.specs.len() > 1).then_some(index)
    }

    /// An error of the key of that index: of the first limit on it.
    #[cold]
    fn error_of_key(self, error: StateError, key: usize) -> Error {
        match self.specs.iter().enumerate().find(|(_, spec)| spec.key == key) {
            Some((index, spec)) => of_limit(error, spec, self.several(index)),
            None => Error::State(error, None),
        }
    }
}

/// An error of a limit, which is named by its index if there are several.
#[cold]
fn of_limit(error: StateError, spec: &Spec<'_>, index: Option<usize>) -> Error {
    let is_alone = !matches!(spec.grammar.storage, Storage::Field(_));
    let error = Error::State(error, is_alone.then_some(spec.grammar.word));
    match index {
        Some(index) => error.in_limit(index, spec.grammar.word),
        None => error,
    }
}

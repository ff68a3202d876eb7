//! The way of a call, one for 1 to 64 limits: keys, each opened once → quotas → blocked? → state → decide all → commit.

use std::slice::{from_mut, from_ref};

use arrayvec::ArrayVec;
use smallvec::SmallVec;

use super::error::{Error, Shown};
use super::grammar::is_tag;
use super::keys::KeyUse;
use super::parser::{Block, Spec};
use super::request::Request;
use crate::algorithms::decision::{BlockLeft, Blocked, Change, Decision, Extent, Mode, Outcome};
use crate::algorithms::{LONGEST_OVERRIDE, Time};
use crate::server::{Access, Call, Key, Kind, NotDone, Word, check_keys, now_us};
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

/// The limits of a call, for each of them what its open key holds, and the open keys. `GUARDED` where some have blocks or
/// overrides: the others pay nothing for those.
#[derive(Clone, Copy)]
struct Limits<'r, 'k, 'call, const GUARDED: bool> {
    specs: &'r [Spec<'call>],
    states: &'r [Stored<'k, 'call>],
    uses: &'r [KeyUse<Word<'call>>],
    keys: &'k [Key<'call>],
}

/// Decides all limits of a call at one instant, and charges them if none denies it.
///
/// # Errors
///
/// What a key holds instead of what it should, a forced cost beyond counting, or keys that the call must not touch; nothing
/// is changed then.
pub fn execute<'call>(
    call: &Call<'call>,
    request: &mut Request<'call, Word<'call>>,
    purpose: Purpose,
) -> Result<Answer, Error> {
    let uses = request.keys.uses();
    if uses.len() > 1 {
        check_keys(call, uses.iter().map(|key| (key.name, key.role.access(purpose.access()))))?;
    }
    if let [spec] = request.specs.as_mut_slice() {
        let mut outcome = Outcome::default();
        match uses {
            [key] => execute_one(call, key, spec, purpose, &mut outcome),
            _ => execute_guarded(call, uses, spec, purpose, &mut outcome),
        }
        .map_err(|error| error.in_limit(0, spec.grammar.word))?;
        let decision = outcome.decision;
        // A forced limit never denies.
        let denied = decision.allowed == 0 && spec.charge.mode != Mode::Force;
        let waits = denied || decision.allowed > 0;
        let retry_after_ms = if waits { decision.retry_after_ms } else { 0 };
        let mut decisions = SmallVec::new();
        decisions.push(decision);
        return Ok(Answer { allowed: !denied, retry_after_ms, decisions });
    }
    let now = Time::from_us(now_us(call));
    let keys: SmallVec<[Key<'_>; 2]> =
        uses.iter().map(|key| Key::open(call, key.name, purpose.access())).collect();
    let is_guarded = request.keys.has_others();
    if is_guarded {
        for (index, spec) in request.specs.iter_mut().enumerate() {
            override_quota(spec, uses, &keys).map_err(|error| error.in_limit(index, spec.grammar.word))?;
        }
    }
    let mut states: SmallVec<[Stored<'_, '_>; 3]> = SmallVec::new();
    for (index, spec) in request.specs.iter().enumerate() {
        let Some(key) = keys.get(spec.key) else { continue };
        let stored = state_of(call, spec, key, purpose, now);
        states.push(stored.map_err(|error| of_limit(error, spec, Some(index)))?);
    }
    let mut outcomes: SmallVec<[Outcome; 3]> = SmallVec::new();
    outcomes.resize_with(states.len(), Outcome::default);
    if is_guarded {
        let limits = Limits::<true> { specs: &request.specs, states: &states, uses, keys: &keys };
        limits.execute(call, &mut outcomes, purpose, now)
    } else {
        let limits = Limits::<false> { specs: &request.specs, states: &states, uses, keys: &keys };
        limits.execute(call, &mut outcomes, purpose, now)
    }
}

/// The same for one limit, which is most calls: with slices of one in place of lists, the steps become straight code.
#[inline(always)]
pub fn execute_one<'call>(
    call: &Call<'call>,
    key: &KeyUse<Word<'call>>,
    spec: &Spec<'call>,
    purpose: Purpose,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let open = Key::open(call, key.name, purpose.access());
    conclude_one::<false>(call, from_ref(key), from_ref(&open), spec, purpose, outcome)
}

/// The same for one limit that has a block or an override.
pub fn execute_guarded<'call>(
    call: &Call<'call>,
    uses: &[KeyUse<Word<'call>>],
    spec: &mut Spec<'call>,
    purpose: Purpose,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let keys: ArrayVec<Key<'_>, 3> =
        uses.iter().take(3).map(|key| Key::open(call, key.name, purpose.access())).collect();
    override_quota(spec, uses, &keys)?;
    conclude_one::<true>(call, uses, &keys, spec, purpose, outcome)
}

/// Decides and stores one limit, on the first of `keys`.
#[inline(always)]
fn conclude_one<'call, const GUARDED: bool>(
    call: &Call<'call>,
    uses: &[KeyUse<Word<'call>>],
    keys: &[Key<'call>],
    spec: &Spec<'call>,
    purpose: Purpose,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let now = Time::from_us(now_us(call));
    let Some(key) = keys.first() else { return Err(Error::NoKey) };
    let stored = state_of(call, spec, key, purpose, now).map_err(|error| of_limit(error, spec, None))?;
    let limits = Limits::<GUARDED> { specs: from_ref(spec), states: from_ref(&stored), uses, keys };
    limits.conclude(call, from_mut(outcome), purpose, now).map(|_| ())
}

/// Puts the numbers that the override's key holds, if it is there, in the place of those given.
#[cold]
fn override_quota(spec: &mut Spec<'_>, uses: &[KeyUse<Word<'_>>], keys: &[Key<'_>]) -> Result<(), Error> {
    let named = spec.overridden_by.and_then(|at| Some((uses.get(at.get())?, keys.get(at.get())?)));
    let Some((KeyUse { name, .. }, key)) = named else { return Ok(()) };
    if key.kind() == Kind::Empty {
        return Ok(());
    }
    let is_refill = spec.grammar.refill.is_some();
    let quota = key.with_string(|text| {
        let quota =
            if text.len() <= LONGEST_OVERRIDE { spec.quota.overridden(text, is_refill) } else { None };
        quota.ok_or_else(|| Some(Shown::of(text)))
    });
    spec.quota = quota.unwrap_or(Err(None)).map_err(|got| {
        Error::BadOverride(Shown::of(name.bytes()), spec.grammar.limit.name, is_refill, got)
    })?;
    Ok(())
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

impl<'k, 'call, const GUARDED: bool> Limits<'_, 'k, 'call, GUARDED> {
    /// Concludes several limits, and answers what they come to.
    fn execute(
        self,
        call: &Call<'_>,
        outcomes: &mut [Outcome],
        purpose: Purpose,
        now: Time,
    ) -> Result<Answer, Error> {
        let denied = self.conclude(call, outcomes, purpose, now)?;
        Ok(self.answer(outcomes, denied))
    }

    /// Decides all limits, and stores what they come to; answers whether one denies the call.
    #[inline(always)]
    fn conclude(
        self,
        call: &Call<'_>,
        outcomes: &mut [Outcome],
        purpose: Purpose,
        now: Time,
    ) -> Result<bool, Error> {
        for (index, key) in self.limiters_keys() {
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
            for (index, key) in self.limiters_keys() {
                let on_key = self.iter().zip(outcomes.iter()).filter(|((spec, _), _)| spec.key == index);
                commit(call, key, on_key.map(|((_, stored), outcome)| (stored, outcome)), now)
                    .map_err(|error| self.error_of_key(error, index))?;
            }
        }
        if GUARDED
            && denied
            && purpose != Purpose::Peek
            && self.specs.iter().zip(outcomes.iter()).any(|(spec, outcome)| begun(spec, outcome).is_some())
        {
            self.begin_blocks(call, outcomes, now)?;
        }
        Ok(denied)
    }

    /// The keys that limiters are on, with their indices.
    #[inline(always)]
    fn limiters_keys(self) -> impl Iterator<Item = (usize, &'k Key<'call>)> {
        let is_limiters =
            move |(_, (key, _)): &(usize, (&KeyUse<_>, &Key<'_>))| !GUARDED || key.role.is_limiters();
        self.uses.iter().zip(self.keys).enumerate().filter(is_limiters).map(|(index, (_, key))| (index, key))
    }

    /// Begins the blocks of the limits that deny the call: one that several name lasts until the latest end.
    #[cold]
    fn begin_blocks(self, call: &Call<'_>, outcomes: &mut [Outcome], now: Time) -> Result<(), Error> {
        for (index, key) in self.keys.iter().enumerate() {
            let on_key =
                self.specs.iter().zip(outcomes.iter()).filter_map(|(spec, outcome)| begun(spec, outcome));
            let Some(lasts) = on_key.filter(|block| block.key.get() == index).map(|block| block.lasts).max()
            else {
                continue;
            };
            // The server keeps a key to the end of the millisecond in which it expires.
            let until_ms = now.floor_ms().saturating_add(lasts.floor_ms()).saturating_sub(1);
            key.set_string(&call.string(b"1"), until_ms).map_err(|NotDone| Error::NoBlock)?;
            for (spec, outcome) in self.specs.iter().zip(outcomes.iter_mut()) {
                if begun(spec, outcome).is_some_and(|block| block.key.get() == index) {
                    outcome.begin_block(lasts);
                }
            }
        }
        Ok(())
    }

    /// How long the block of `spec` goes on, if there is one now.
    fn blocked(self, spec: &Spec<'_>, now: Time) -> Option<BlockLeft> {
        let key = self.keys.get(spec.block?.key.get())?;
        if key.kind() == Kind::Empty {
            return None;
        }
        // It is still there in the millisecond in which it expires.
        Some(key.expires_at_ms().map(|at| Time::from_ms(at.saturating_add(1)).since(now)))
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
            let blocked = if GUARDED { self.blocked(spec, now) } else { None };
            let extent = match blocked {
                Some(_) => spec.charge.blocked_extent(extent),
                None => extent,
            };
            stored
                .decide(&spec.quota, &spec.charge, now, extent, outcome)
                .map_err(|error| of_limit(error, spec, self.several(index)))?;
            if GUARDED {
                match blocked {
                    Some(left) => outcome.block(&spec.charge, left),
                    None => outcome.decision.blocked = spec.block.map(|_| Blocked::No),
                }
            }
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

/// The block that begins with this denial of a limit.
fn begun(spec: &Spec<'_>, outcome: &Outcome) -> Option<Block> {
    spec.block.filter(|_| outcome.begins_block(&spec.charge))
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

//! A limiter as a key holds it, whatever its algorithm.

use super::error::StateError;
use super::expiry::expire;
use super::field::{self, Field};
use super::field_name::field_name;
use super::lease::{self, SortedSetLeases};
use super::log::{self, SortedSetLog};
use super::other_data::{no_leases, no_log};
use crate::algorithms::decision::{Change, Charge, Extent, Outcome, Undecided};
use crate::algorithms::{FieldAlgorithm, LeaseSet, Quota, SlidingLog, Time};
use crate::server::{Call, Key, Kind};

/// Where an algorithm keeps its state.
#[derive(Clone, Copy, Debug)]
pub enum Storage {
    /// In a field of a hash, which limiters may share.
    Field(FieldAlgorithm),
    /// In a sorted set of its own: the sliding log.
    Log,
    /// In a sorted set of their own: leases, each named by its holder's id.
    Leases,
}

/// What tells a limiter from the others on its key, besides its quota.
#[derive(Clone, Copy)]
pub struct Identity<'w> {
    /// Where its state is.
    pub storage: &'static Storage,
    /// Its name; may be empty.
    pub name: &'w [u8],
    /// Whether a key that redis-cell left is taken over.
    pub adopts: bool,
}

/// A limiter that was found on an open key, or found not to be there yet.
pub enum Stored<'k, 'call> {
    /// In a field.
    Field(&'static FieldAlgorithm, Field),
    /// In a log.
    Log(SlidingLog<SortedSetLog<'k, 'call>>),
    /// Leases.
    Leases(Box<LeaseSet<SortedSetLeases<'k, 'call>>>),
}

impl<'k, 'call> Stored<'k, 'call> {
    /// Reads the limiter that `key` holds.
    ///
    /// # Errors
    ///
    /// What the key holds instead.
    #[inline(always)]
    pub fn read(
        call: &Call<'call>,
        key: &'k Key<'call>,
        identity: &Identity<'_>,
        quota: &Quota,
        now: Time,
    ) -> Result<Self, StateError> {
        match identity.storage {
            Storage::Field(algorithm) => {
                let name = field_name(call, algorithm.tag(quota), quota.window, identity.name);
                let adopts = identity.adopts.then_some((quota, now));
                Ok(Self::Field(algorithm, Field::find(key, name, adopts)?))
            }
            Storage::Log => match key.kind() {
                Kind::Empty | Kind::SortedSet => {
                    let log = SlidingLog::open(SortedSetLog(key), quota, now);
                    Ok(Self::Log(log.map_err(|_| no_log(key))?))
                }
                kind => Err(StateError::WrongType(kind)),
            },
            Storage::Leases => Ok(Self::Leases(read_leases(call, key, identity.name, now)?)),
        }
    }

    /// Whether the key holds it: then the key is limiters'.
    #[must_use]
    pub fn is_found(&self) -> bool {
        match self {
            Self::Field(_, field) => field.is_found(),
            Self::Log(_) | Self::Leases(_) => true,
        }
    }

    /// What `charge` comes to; nothing is stored yet.
    ///
    /// # Errors
    ///
    /// What the key holds instead of a limiter, or a forced cost beyond counting.
    #[inline(always)]
    pub fn decide(
        &self,
        quota: &Quota,
        charge: &Charge,
        now: Time,
        extent: Extent,
        outcome: &mut Outcome,
    ) -> Result<(), StateError> {
        let decided = match self {
            Self::Field(algorithm, field) => {
                algorithm.decide(quota, field.stored(), now, charge, extent, outcome)
            }
            Self::Log(log) => log.decide(quota, charge, extent, outcome),
            Self::Leases(leases) => leases.decide(quota, charge, extent, outcome),
        };
        decided.map_err(|undecided| match (undecided, self) {
            (Undecided::TooMuch, _) => StateError::TooMuch,
            (Undecided::TooLong, _) => StateError::NotDone,
            (Undecided::BadState, Self::Field(_, field)) => StateError::BadField(field.name().to_vec()),
            (Undecided::BadState, Self::Log(_) | Self::Leases(_)) => StateError::OtherData,
        })
    }
}

/// Reads the leases that `key` holds, of which `id` names the caller's. Apart, and in a box, so that other limiters' states
/// stay in registers.
#[inline(never)]
fn read_leases<'k, 'call>(
    call: &Call<'call>,
    key: &'k Key<'call>,
    id: &[u8],
    now: Time,
) -> Result<Box<LeaseSet<SortedSetLeases<'k, 'call>>>, StateError> {
    match key.kind() {
        Kind::Empty | Kind::SortedSet => {
            let leases = LeaseSet::open(SortedSetLeases::new(call, key, id), now);
            leases.map(Box::new).map_err(|_| no_leases(key))
        }
        kind => Err(StateError::WrongType(kind)),
    }
}

/// Stores what was decided of all limiters of a call on one key, and lets the key expire when they are as good as unused.
///
/// # Errors
///
/// The server did not do all of it.
#[inline(always)]
pub fn commit<'l>(
    call: &Call<'_>,
    key: &Key<'_>,
    limiters: impl Iterator<Item = (&'l Stored<'l, 'l>, &'l Outcome)> + Clone,
    now: Time,
) -> Result<(), StateError> {
    let mut changed = false;
    for (limiter, outcome) in limiters.clone() {
        match (limiter, &outcome.change) {
            (Stored::Log(_), Change::Log(edit)) => {
                log::commit(call, key, edit)?;
                changed = true;
            }
            (Stored::Leases(leases), Change::Lease(edit)) => {
                lease::commit(key, leases.leases(), edit, now)?;
                changed = true;
            }
            _ => {}
        }
    }
    let fields = limiters.clone().filter_map(|(limiter, outcome)| match limiter {
        Stored::Field(_, field) => Some((field, outcome)),
        Stored::Log(_) | Stored::Leases(_) => None,
    });
    changed |= field::commit(call, key, fields.clone())?;
    let unused_after_ms =
        limiters.map(|(_, outcome)| outcome.decision.reset_after_ms).max().unwrap_or_default();
    // Where only fields went, and nothing is known of the others, their expiry stays.
    if changed && unused_after_ms > 0 {
        let is_shared = || {
            let ours = fields.filter(|(field, outcome)| field.is_there_after(&outcome.change)).count();
            key.kind() == Kind::Hash && key.length() > ours
        };
        expire(key, unused_after_ms, now, is_shared)?;
    }
    Ok(())
}

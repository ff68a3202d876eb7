//! Giving leases back.

use super::error::StateError;
use super::lease::{end, is_lease, lease, member};
use super::other_data::no_leases;
use crate::algorithms::Time;
use crate::server::{Call, Key, Kind};

/// Ends the leases of the holders called `ids`, and answers how many of them had not ended. With the last that has not,
/// the key goes.
///
/// # Errors
///
/// What the key holds instead of leases; or the server did not remove one.
pub fn release<'w>(
    call: &Call<'_>,
    key: &Key<'_>,
    ids: impl Iterator<Item = &'w [u8]>,
    now: Time,
) -> Result<i64, StateError> {
    match key.kind() {
        Kind::Empty => return Ok(0),
        Kind::SortedSet => {}
        kind => return Err(StateError::WrongType(kind)),
    }
    // What is at either end tells whose set it is, if it is not leases'.
    check(key, 1)?;
    if !key.last_member().is_some_and(|last| is_lease(&last)) {
        return Err(no_leases(key));
    }
    let mut held = Vec::new();
    for id in ids {
        let member = member(call, id);
        if let Some(score) = key.score_of(&member) {
            let end = end(score).ok_or(StateError::OtherData)?;
            held.push((member, end));
        }
    }
    // Each only once: the same one lies beside itself.
    held.sort_unstable_by(|(one, _), (other, _)| one.bytes().cmp(other.bytes()));
    held.dedup_by(|(one, _), (other, _)| one.bytes() == other.bytes());
    let live = held.iter().filter(|(_, end)| *end > now).count();
    let members: Vec<_> = held.into_iter().map(|(member, _)| member).collect();
    if members.is_empty() {
        return Ok(0);
    }
    key.remove_members(&members)?;
    // Where all that stay have ended, none counts any more.
    let none_counts = key.last_member().and_then(|last| lease(&last)).is_some_and(|end| end <= now);
    if none_counts && check(key, LOOK_AT_MOST).is_ok() {
        key.unlink()?;
    }
    Ok(i64::try_from(live).unwrap_or(i64::MAX))
}

/// Leases looked at before a set is thrown away: one of other people's is small more often than not.
const LOOK_AT_MOST: usize = 128;

/// Whether the lowest members, so many, are leases.
fn check(key: &Key<'_>, count: usize) -> Result<(), StateError> {
    let (mut seen, mut all_ours) = (0_usize, true);
    key.walk_members(None, f64::INFINITY, |member| {
        seen = seen.saturating_add(1);
        all_ours = is_lease(&member);
        all_ours && seen < count
    });
    if all_ours && seen > 0 { Ok(()) } else { Err(no_leases(key)) }
}

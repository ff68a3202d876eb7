//! Leases in a sorted set: a lease's score is its end in microseconds, its member `L:` and the id of its holder.

use arrayvec::ArrayVec;

use super::score::{instant, score, with_score};
use crate::algorithms::{EARLIEST, LATEST, LeaseEdit, Leases, MAX_ID, OtherData, Time};
use crate::server::{Call, Key, Member, NotDone, OwnedString};

/// What members begin with: no entry of a log does.
const PREFIX: &[u8] = b"L:";

/// The leases that a sorted set holds, and the member that stands for the caller's.
pub struct SortedSetLeases<'k, 'call> {
    key: &'k Key<'call>,
    own: OwnedString,
}

impl<'k, 'call> SortedSetLeases<'k, 'call> {
    /// The leases of `key`, and among them the one of the holder called `id`.
    pub fn new(call: &Call<'_>, key: &'k Key<'call>, id: &[u8]) -> Self {
        Self { key, own: member(call, id) }
    }
}

impl Leases for SortedSetLeases<'_, '_> {
    fn own(&self) -> Result<Option<Time>, OtherData> {
        self.key.score_of(&self.own).map(|score| end(score).ok_or(OtherData)).transpose()
    }

    fn walk(&self, after: Option<Time>, mut visit: impl FnMut(Time) -> bool) -> Result<(), OtherData> {
        let mut all_ours = true;
        self.key.walk_members(after.map(score), f64::INFINITY, |member| match lease(&member) {
            Some(end) => visit(end),
            None => {
                all_ours = false;
                false
            }
        });
        if all_ours { Ok(()) } else { Err(OtherData) }
    }

    fn last(&self) -> Result<Option<Time>, OtherData> {
        self.key.last_member().map(|member| lease(&member).ok_or(OtherData)).transpose()
    }

    fn last_but_one(&self) -> Result<Option<Time>, OtherData> {
        self.key.last_member_but_one().map(|member| lease(&member).ok_or(OtherData)).transpose()
    }

    fn count_after(&self, at: Time) -> Result<usize, OtherData> {
        with_score(at, |score| self.key.count_above(score)).ok_or(OtherData)
    }

    fn at_rank(&self, rank: usize) -> Result<Time, OtherData> {
        self.key.member_at(rank).and_then(|member| lease(&member)).ok_or(OtherData)
    }

    fn length(&self) -> usize {
        self.key.length()
    }
}

/// Takes or renews the caller's lease.
#[inline(never)]
pub fn commit(
    key: &Key<'_>,
    leases: &SortedSetLeases<'_, '_>,
    edit: &LeaseEdit,
    now: Time,
) -> Result<(), NotDone> {
    if edit.clear {
        key.unlink()?;
    }
    with_score(edit.end, |score| key.add_member(score, &leases.own))?;
    if edit.dropped > 0 {
        key.remove_lowest(edit.dropped, score(now), is_lease)?;
    }
    Ok(())
}

/// The member that stands for the lease of the holder called `id`.
pub fn member(call: &Call<'_>, id: &[u8]) -> OwnedString {
    let mut text: ArrayVec<u8, { MAX_ID + PREFIX.len() }> = ArrayVec::new();
    match text.try_extend_from_slice(PREFIX).and_then(|()| text.try_extend_from_slice(id)) {
        Ok(()) => call.string(&text),
        // No id is longer.
        Err(_) => call.string(&[PREFIX, id].concat()),
    }
}

/// When the lease that a member is ends; None if it is none of ours.
pub fn lease(of: &Member) -> Option<Time> {
    let id = of.text.bytes().strip_prefix(PREFIX)?;
    if (1..=MAX_ID).contains(&id.len()) { end(of.score) } else { None }
}

/// Whether a member is a lease.
pub fn is_lease(member: &Member) -> bool {
    lease(member).is_some()
}

/// The end that a score stands for; None if no lease of ours has it.
pub fn end(score: f64) -> Option<Time> {
    instant(score).filter(|end| (EARLIEST..=LATEST).contains(end))
}

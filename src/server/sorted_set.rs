//! Sorted sets: reading and changing members.

use std::os::raw::{c_char, c_int};
use std::ptr::null_mut;

use smallvec::SmallVec;

use super::api::api;
use super::key::{Key, Kind, NotDone, done};
use super::string::OwnedString;

/// A member of a sorted set, with its score.
#[derive(Debug)]
pub struct Member {
    /// The member's text.
    pub text: OwnedString,
    /// Its score.
    pub score: f64,
}

/// A score, and the text that stands for it in effects.
pub struct Score<'t> {
    /// The number.
    pub value: f64,
    /// The same in decimal.
    pub text: &'t [u8],
}

/// Removing a member costs about a quarter of adding one again.
const REMOVALS_PER_ADDITION: usize = 4;

impl Key<'_> {
    /// The member with the highest score.
    #[must_use]
    pub fn last_member(&self) -> Option<Member> {
        if self.kind() != Kind::SortedSet {
            return None;
        }
        // SAFETY: the handle is open on a sorted set; the iterator is stopped before any change.
        unsafe {
            api!(RedisModule_ZsetLastInScoreRange)(self.handle(), f64::NEG_INFINITY, f64::INFINITY, 0, 0);
            let member = self.current_member();
            api!(RedisModule_ZsetRangeStop)(self.handle());
            member
        }
    }

    /// The member before the one with the highest score.
    #[must_use]
    pub fn last_member_but_one(&self) -> Option<Member> {
        if self.kind() != Kind::SortedSet {
            return None;
        }
        // SAFETY: the handle is open on a sorted set; the iterator is stopped before any change.
        unsafe {
            api!(RedisModule_ZsetLastInScoreRange)(self.handle(), f64::NEG_INFINITY, f64::INFINITY, 0, 0);
            let has_one = api!(RedisModule_ZsetRangeEndReached)(self.handle()) == 0
                && api!(RedisModule_ZsetRangePrev)(self.handle()) != 0;
            let member = if has_one { self.current_member() } else { None };
            api!(RedisModule_ZsetRangeStop)(self.handle());
            member
        }
    }

    /// The score of a member of a sorted set; None where there is no such member or set.
    #[must_use]
    pub fn score_of(&self, member: &OwnedString) -> Option<f64> {
        if self.kind() != Kind::SortedSet {
            return None;
        }
        let mut score = 0.0;
        // SAFETY: the handle is open on a sorted set, and the string is live.
        done(unsafe { api!(RedisModule_ZsetScore)(self.handle(), member.as_ptr(), &raw mut score) })
            .ok()
            .map(|()| score)
    }

    /// How many members have a score above one; None if the server does not count. A range over them has ended.
    #[must_use]
    pub fn count_above(&self, score: &Score<'_>) -> Option<usize> {
        let above = [b"(", score.text].concat();
        usize::try_from(self.call(c"ZCOUNT", &[&above, b"+inf"])?.integer()?).ok()
    }

    /// The member that so many come before. A range over them has ended.
    #[must_use]
    pub fn member_at(&self, rank: usize) -> Option<Member> {
        if self.kind() != Kind::SortedSet {
            return None;
        }
        let mut buffer = itoa::Buffer::new();
        let rank = buffer.format(rank).as_bytes();
        // Its name alone: how a score is written differs between servers and protocols.
        let reply = self.call(c"ZRANGE", &[rank, rank])?;
        // SAFETY: there is an open key, so the module has loaded.
        let text = unsafe { OwnedString::new(reply.string_at(0)?) };
        let score = self.score_of(&text)?;
        Some(Member { text, score })
    }

    /// Whether a member has a score below this one.
    #[must_use]
    pub fn has_members_below(&self, score: f64) -> bool {
        if self.kind() != Kind::SortedSet {
            return false;
        }
        // SAFETY: the handle is open on a sorted set; the iterator is stopped at once.
        unsafe {
            api!(RedisModule_ZsetFirstInScoreRange)(self.handle(), f64::NEG_INFINITY, score, 0, 1);
            let none = api!(RedisModule_ZsetRangeEndReached)(self.handle()) != 0;
            api!(RedisModule_ZsetRangeStop)(self.handle());
            !none
        }
    }

    /// Visits members, lowest score first, until `visit` answers false: from the lowest or from above a score on, up to
    /// the score `most`.
    pub fn walk_members(&self, above: Option<f64>, most: f64, mut visit: impl FnMut(Member) -> bool) {
        if self.kind() != Kind::SortedSet {
            return;
        }
        // SAFETY: the handle is open on a sorted set; the iterator is stopped before any change.
        unsafe {
            api!(RedisModule_ZsetFirstInScoreRange)(
                self.handle(),
                above.unwrap_or(f64::NEG_INFINITY),
                most,
                c_int::from(above.is_some()),
                0,
            );
            while let Some(member) = self.current_member() {
                if !visit(member) {
                    break;
                }
                api!(RedisModule_ZsetRangeNext)(self.handle());
            }
            api!(RedisModule_ZsetRangeStop)(self.handle());
        }
    }

    /// # Safety
    ///
    /// A range over the sorted set has been begun.
    unsafe fn current_member(&self) -> Option<Member> {
        let mut score = 0.0;
        // SAFETY: the caller began a range; the string that comes back is ours.
        unsafe {
            if api!(RedisModule_ZsetRangeEndReached)(self.handle()) != 0 {
                return None;
            }
            let text = api!(RedisModule_ZsetRangeCurrentElement)(self.handle(), &raw mut score);
            OwnedString::from_server(text).map(|text| Member { text, score })
        }
    }

    /// Adds a member to a sorted set, which is created if there is none.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server refuses.
    pub fn add_member(&self, score: &Score<'_>, member: &OwnedString) -> Result<(), NotDone> {
        self.add_here(score.value, member)?;
        // SAFETY: format and arguments agree, and the server copies the text.
        unsafe {
            api!(RedisModule_Replicate)(
                self.ctx(),
                c"ZADD".as_ptr(),
                c"sbs".as_ptr(),
                self.name().as_ptr(),
                score.text.as_ptr().cast::<c_char>(),
                score.text.len(),
                member.as_ptr(),
            );
        }
        if self.kind() != Kind::SortedSet {
            self.look();
        }
        Ok(())
    }

    /// Adds a member and replicates nothing.
    #[inline(always)]
    fn add_here(&self, score: f64, member: &OwnedString) -> Result<(), NotDone> {
        if !self.is_writable() {
            return Err(NotDone);
        }
        self.mark_changed();
        // SAFETY: the handle is open for writing, and no range is under way.
        done(unsafe { api!(RedisModule_ZsetAdd)(self.handle(), score, member.as_ptr(), null_mut()) })
    }

    /// Removes the lowest members of a sorted set, as long as they pass `test`: `at_most` of them, and none with a score
    /// above `most`. The set goes with its last.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server does not remove some of them.
    pub fn remove_lowest(
        &self,
        at_most: usize,
        most: f64,
        test: impl Fn(&Member) -> bool,
    ) -> Result<(), NotDone> {
        let mut lowest: SmallVec<[OwnedString; 8]> = SmallVec::new();
        self.walk_members(None, most, |member| {
            let goes = test(&member);
            if goes {
                lowest.push(member.text);
            }
            goes && lowest.len() < at_most
        });
        let removed = self.remove_here(&lowest);
        if removed.len() < lowest.len() {
            self.replicate_removed(removed);
            return Err(NotDone);
        }
        let last_rank = i64::try_from(lowest.len()).unwrap_or(0).saturating_sub(1);
        if last_rank >= 0 {
            // SAFETY: format and arguments agree.
            unsafe {
                api!(RedisModule_Replicate)(
                    self.ctx(),
                    c"ZREMRANGEBYRANK".as_ptr(),
                    c"scl".as_ptr(),
                    self.name().as_ptr(),
                    c"0".as_ptr(),
                    last_rank,
                );
            }
        }
        Ok(())
    }

    /// Removes a member of a sorted set; it goes with its last.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if it is not there.
    pub fn remove_member(&self, member: &OwnedString) -> Result<(), NotDone> {
        self.remove_members(std::slice::from_ref(member))
    }

    /// Removes members of a sorted set; it goes with its last.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if one of them is not there; the others are removed.
    pub fn remove_members(&self, members: &[OwnedString]) -> Result<(), NotDone> {
        let removed = self.remove_here(members);
        let all = if removed.len() == members.len() { Ok(()) } else { Err(NotDone) };
        self.replicate_removed(removed);
        all
    }

    /// Removes members and replicates nothing; answers those that were there.
    fn remove_here<'m>(&self, members: &'m [OwnedString]) -> SmallVec<[&'m OwnedString; 8]> {
        if self.kind() != Kind::SortedSet || !self.is_writable() {
            return SmallVec::new();
        }
        let was_removed = |member: &&OwnedString| {
            let mut removed = 0;
            // SAFETY: the handle is open for writing, and no range is under way.
            unsafe {
                api!(RedisModule_ZsetRem)(self.handle(), member.as_ptr(), &raw mut removed);
            }
            removed != 0
        };
        let removed: SmallVec<_> = members.iter().filter(was_removed).collect();
        if !removed.is_empty() {
            self.mark_changed();
            self.look();
        }
        removed
    }

    fn replicate_removed(&self, members: SmallVec<[&OwnedString; 8]>) {
        if !members.is_empty() {
            self.replicate_list(c"ZREM", members.into_iter().map(OwnedString::as_ptr).collect());
        }
    }

    /// Removes all members of a sorted set with a score below one, any number of them, as one range; some stay.
    ///
    /// Where few stay, they are put into a new set, and the old one is freed in the background.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server refuses; part of it may be done then.
    pub fn remove_below(&self, score: &Score<'_>) -> Result<(), NotDone> {
        if self.kind() != Kind::SortedSet || !self.is_writable() {
            return Err(NotDone);
        }
        let below = [b"(", score.text].concat();
        let total = self.length();
        let gone = self
            .call(c"ZCOUNT", &[b"-inf", &below])
            .and_then(|reply| usize::try_from(reply.integer()?).ok())
            .ok_or(NotDone)?;
        let stays = total.saturating_sub(gone);
        if stays > 0 && stays.saturating_mul(REMOVALS_PER_ADDITION) < gone {
            self.renew(score.value, stays)?;
        } else {
            let reply = self.call(c"ZREMRANGEBYSCORE", &[b"-inf", &below]);
            reply.and_then(|reply| reply.integer()).ok_or(NotDone)?;
            self.mark_changed();
        }
        // SAFETY: format and arguments agree, and the server copies the text.
        unsafe {
            api!(RedisModule_Replicate)(
                self.ctx(),
                c"ZREMRANGEBYSCORE".as_ptr(),
                c"scb".as_ptr(),
                self.name().as_ptr(),
                c"-inf".as_ptr(),
                below.as_ptr().cast::<c_char>(),
                below.len(),
            );
        }
        Ok(())
    }

    /// Puts the members from a score on, so many, into a new set in place of the old one; replicates nothing.
    fn renew(&self, from: f64, count: usize) -> Result<(), NotDone> {
        let mut stay = Vec::with_capacity(count);
        self.walk_members(Some(from.next_down()), f64::INFINITY, |member| {
            stay.push(member);
            true
        });
        let expiry = self.expires_at_ms();
        self.unlink_here()?;
        for Member { text, score } in &stay {
            self.add_here(*score, text)?;
        }
        self.look();
        match expiry {
            Some(at) => self.set_expiry(at),
            None => Ok(()),
        }
    }
}

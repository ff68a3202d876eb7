//! A sliding log in a sorted set: an entry's score is its instant in microseconds, its member the running total, and
//! `:units` after it unless that is one.

use super::score::{instant, score, with_score};
use crate::algorithms::text;
use crate::algorithms::{Dropped, EARLIEST, Edit, Entry, Log, OtherData, Time};
use crate::server::{Call, Key, Member, NotDone, OwnedString};

/// The log that a sorted set holds.
#[derive(Clone, Copy)]
pub struct SortedSetLog<'k, 'call>(pub &'k Key<'call>);

impl Log for SortedSetLog<'_, '_> {
    fn newest(&self) -> Result<Option<Entry>, OtherData> {
        self.0.last_member().map(|member| entry(&member).ok_or(OtherData)).transpose()
    }

    fn walk(&self, after: Option<Time>, mut visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData> {
        let mut all_ours = true;
        self.0.walk_members(after.map(score), f64::INFINITY, |member| match entry(&member) {
            Some(entry) => visit(entry),
            None => {
                all_ours = false;
                false
            }
        });
        if all_ours { Ok(()) } else { Err(OtherData) }
    }

    fn has_more_below(&self) -> bool {
        self.0.has_members_below(score(EARLIEST))
    }

    fn length(&self) -> usize {
        self.0.length()
    }
}

/// Makes an edit of the log that `key` holds.
pub fn commit(call: &Call<'_>, key: &Key<'_>, edit: &Edit) -> Result<(), NotDone> {
    if edit.clear {
        key.unlink()?;
    }
    for entry in &edit.added {
        with_score(entry.at, |score| key.add_member(score, &member(call, entry)))?;
    }
    if let Some(entry) = &edit.replaced {
        key.remove_member(&member(call, entry))?;
    }
    match &edit.dropped {
        Dropped::None => Ok(()),
        Dropped::Oldest(at_most, until) => {
            key.remove_lowest(*at_most, score(*until), |member| entry(member).is_some())
        }
        Dropped::Before(at) => with_score(*at, |score| key.remove_below(score)),
    }
}

/// The member that stands for an entry.
fn member(call: &Call<'_>, entry: &Entry) -> OwnedString {
    let mut total = itoa::Buffer::new();
    let total = total.format(entry.total).as_bytes();
    if entry.units == 1 {
        return call.string(total);
    }
    call.string(&[total, b":", itoa::Buffer::new().format(entry.units).as_bytes()].concat())
}

/// Whether a member is an entry.
pub fn is_entry(member: &Member) -> bool {
    entry(member).is_some()
}

/// The entry that a member is; None if it is none of ours, whose score is a whole number and whose text is as [`member`]
/// writes it.
#[inline(always)]
fn entry(of: &Member) -> Option<Entry> {
    let at = instant(of.score)?;
    let bytes = of.text.bytes();
    // No number begins with 0 but 0 itself.
    if let [b'0', b'0'..=b'9', ..] = bytes {
        return None;
    }
    if let Some(total) = text::number(bytes) {
        return Entry::checked(at, total, 1);
    }
    let (total, rest) = text::leading_number(bytes)?;
    match rest {
        [b':', b'1'..=b'9', ..] => {
            let units = text::number(rest.get(1..)?).filter(|units| *units != 1)?;
            Entry::checked(at, total, units)
        }
        _ => None,
    }
}

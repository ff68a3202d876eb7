//! Where limiters live: a hash's fields, or a sorted set of their own.

use crate::algorithms::text::{self, Text};
use crate::algorithms::{Entry, Log, OtherData, Time};
use crate::server::{Key, Member, OwnedString};

/// A sliding log kept in a sorted set: an entry's score is its instant in microseconds, its member the
/// running total, and `:units` after it unless that is one.
pub struct StoredLog<'call> {
    /// The sorted set.
    pub key: Key<'call>,
}

impl Log for StoredLog<'_> {
    fn newest(&self) -> Result<Option<Entry>, OtherData> {
        self.key.last_member().map(|member| entry(&member).ok_or(OtherData)).transpose()
    }

    fn walk_after(&self, after: Time, mut visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData> {
        let mut readable = true;
        self.key.members_above(score(after), |member| match entry(&member) {
            Some(entry) => visit(entry),
            None => {
                readable = false;
                false
            }
        });
        if readable { Ok(()) } else { Err(OtherData) }
    }

    fn length(&self) -> usize {
        self.key.length()
    }

    #[inline(always)]
    fn add(&mut self, entry: &Entry) {
        let mut score_text = Text::default();
        score_text.number(entry.at.us());
        self.key.add_member(score(entry.at), score_text.as_bytes(), &member(entry));
    }

    fn remove(&mut self, entries: &[Entry]) {
        let members: Vec<_> = entries.iter().map(member).collect();
        self.key.remove_members(&members);
    }

    fn remove_oldest(&mut self, until: Time, at_most: usize) {
        self.key.remove_lowest(score(until), at_most);
    }

    fn clear(&mut self) {
        self.key.unlink();
    }
}

/// Exact until the year 2255.
#[allow(clippy::cast_precision_loss)]
fn score(time: Time) -> f64 {
    time.us() as f64
}

fn member(entry: &Entry) -> OwnedString {
    let mut text = Text::default();
    text.number(entry.total);
    if entry.units != 1 {
        text.byte(b':').number(entry.units);
    }
    OwnedString::new(text.as_bytes())
}

#[inline]
fn entry(member: &Member) -> Option<Entry> {
    let bytes = member.text.bytes();
    let (total, rest) = text::leading_number(bytes)?;
    let units = match rest {
        [] => 1,
        [b':', units @ ..] => text::number(units)?,
        _ => return None,
    };
    // Saturates where a score was never a time; `checked` then refuses it.
    #[allow(clippy::cast_possible_truncation)]
    let at = Time::from_us(member.score as i64);
    Entry::checked(at, total, units)
}

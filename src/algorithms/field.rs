//! Algorithms whose state is one line of text, so that it can live in a hash's field.

use super::decision::{Change, Charge, Extent, Outcome, Undecided, settle};
use super::limiter::Limiter;
use super::quota::Quota;
use super::text::{Text, TooLong};
use super::time::Time;

/// What the name of a field that holds a limiter's state begins with.
pub type Tag = [u8; 2];

/// State that is one line of text.
pub trait FieldState: Limiter + Sized {
    /// The prefixes of fields that may hold the state.
    const TAGS: &'static [Tag];

    /// Which of [`TAGS`](Self::TAGS) holds it under `quota`.
    fn tag(quota: &Quota) -> Tag;

    /// The limiter as `stored` left it, at `now`; unused without. None if `stored` does not parse.
    fn parse(quota: &Quota, stored: Option<&[u8]>, now: Time) -> Option<Self>;

    /// Writes the state to store; only asked of a limiter that is in use.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if `text` has no room for it: an empty one has.
    fn format(&self, text: &mut Text) -> Result<(), TooLong>;
}

/// An algorithm as a value: a [`FieldState`] whose type is forgotten.
#[derive(Clone, Copy, Debug)]
pub struct FieldAlgorithm {
    tags: &'static [Tag],
    tag: fn(&Quota) -> Tag,
    decide: Decide,
}

/// From stored text to the text to store, for one algorithm; the compiler makes a straight way of each.
type Decide = fn(&Quota, Option<&[u8]>, Time, &Charge, Extent, &mut Outcome) -> Result<(), Undecided>;

impl FieldAlgorithm {
    /// The algorithm of `A`.
    #[must_use]
    pub const fn of<A: FieldState>() -> Self {
        Self { tags: A::TAGS, tag: A::tag, decide: decide_as::<A> }
    }

    /// Whether `tag` is the prefix of a field that may hold the state.
    #[must_use]
    pub fn has(&self, tag: Tag) -> bool {
        self.tags.contains(&tag)
    }

    /// The prefix of the field that holds the state under `quota`.
    #[must_use]
    pub fn tag(&self, quota: &Quota) -> Tag {
        (self.tag)(quota)
    }

    /// What `charge` comes to at `now`, with the limiter as `stored` left it, unused without.
    ///
    /// Nothing is stored yet: `outcome` tells what is to be.
    ///
    /// # Errors
    ///
    /// `stored` does not parse, or a forced cost would pass what can be counted.
    #[inline(always)]
    pub fn decide(
        &self,
        quota: &Quota,
        stored: Option<&[u8]>,
        now: Time,
        charge: &Charge,
        extent: Extent,
        outcome: &mut Outcome,
    ) -> Result<(), Undecided> {
        (self.decide)(quota, stored, now, charge, extent, outcome)
    }
}

#[inline(always)]
fn decide_as<A: FieldState>(
    quota: &Quota,
    stored: Option<&[u8]>,
    now: Time,
    charge: &Charge,
    extent: Extent,
    outcome: &mut Outcome,
) -> Result<(), Undecided> {
    let mut limiter = A::parse(quota, stored, now).ok_or(Undecided::BadState)?;
    outcome.change = if !settle(&mut limiter, quota, charge, extent, outcome)? {
        Change::None
    } else if limiter.used() == 0 {
        Change::Unused
    } else {
        outcome.text.clear();
        limiter.format(&mut outcome.text).map_err(|TooLong| Undecided::TooLong)?;
        Change::Text
    };
    Ok(())
}

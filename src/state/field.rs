//! Limiters in a hash's fields.

use std::rc::Rc;

use smallvec::SmallVec;

use super::error::StateError;
use super::field_name::tag_of;
use super::redis_cell;
use crate::algorithms::decision::{Change, Outcome};
use crate::algorithms::text::Text;
use crate::algorithms::{Quota, Tag, Time};
use crate::server::{Call, Key, Kind, NotDone, OwnedString};

/// A hash's field that is a limiter's.
pub struct Field {
    name: Rc<OwnedString>,
    found: Found,
}

/// Where a limiter's state comes from.
enum Found {
    /// There is none.
    Nothing,
    /// The field's value.
    Value(OwnedString),
    /// A string that redis-cell left, which gives way to the field: what the field would hold.
    RedisCell(Box<Text>),
}

impl Field {
    /// The field of `key` called `name`. With `adopts`, a string of redis-cell's is read as if it were the field.
    ///
    /// Where the field is missing, the hash may be other people's: [`check_hash`] tells.
    #[inline(always)]
    pub fn find(
        key: &Key<'_>,
        name: Rc<OwnedString>,
        adopts: Option<(&Quota, Time)>,
    ) -> Result<Self, StateError> {
        let found = match (key.kind(), adopts) {
            (Kind::Empty, _) => Found::Nothing,
            (Kind::Hash, _) => match key.field(&name) {
                Some(value) => Found::Value(value),
                None => Found::Nothing,
            },
            (Kind::String, Some((quota, now))) => {
                let state = redis_cell::as_field(key, quota, now);
                Found::RedisCell(Box::new(state.ok_or(StateError::WrongType(Kind::String))?))
            }
            (kind, _) => return Err(StateError::WrongType(kind)),
        };
        Ok(Self { name, found })
    }

    /// The state's text.
    pub fn stored(&self) -> Option<&[u8]> {
        match &self.found {
            Found::Nothing => None,
            Found::Value(value) => Some(value.bytes()),
            Found::RedisCell(text) => Some(text.as_bytes()),
        }
    }

    /// Whether the field is there.
    pub fn is_found(&self) -> bool {
        matches!(self.found, Found::Value(_))
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        self.name.bytes()
    }

    /// Whether the hash has the field once `change` is made.
    pub fn is_there_after(&self, change: &Change) -> bool {
        match change {
            Change::None => self.is_found(),
            change => *change == Change::Text,
        }
    }
}

/// Checks that a hash in which no field of the call's was found is limiters', by the name of any one field. `is_tag` knows
/// the tags of limiters' fields.
pub fn check_hash(key: &Key<'_>, is_tag: fn(Tag) -> bool) -> Result<(), StateError> {
    let is_limiters = key.any_field_passes(|field| tag_of(field).is_some_and(is_tag));
    match is_limiters.map_err(|NotDone| StateError::NotTold)? {
        Some(false) => Err(StateError::OtherData),
        _ => Ok(()),
    }
}

/// Stores what was decided of fields of one key; answers whether anything changed.
#[inline(always)]
pub fn commit<'f>(
    call: &Call<'_>,
    key: &Key<'_>,
    fields: impl Iterator<Item = (&'f Field, &'f Outcome)>,
) -> Result<bool, NotDone> {
    let mut set: SmallVec<[(&OwnedString, OwnedString); 4]> = SmallVec::new();
    let mut deleted: SmallVec<[&OwnedString; 4]> = SmallVec::new();
    let mut replaces = false;
    for (Field { name, found }, outcome) in fields {
        match (&outcome.change, found) {
            (Change::Text, _) => set.push((name, call.string(outcome.text.as_bytes()))),
            (Change::Unused, Found::Value(_)) => deleted.push(name),
            (Change::Unused, Found::RedisCell(_)) => {}
            _ => continue,
        }
        replaces |= matches!(found, Found::RedisCell(_));
    }
    if replaces {
        key.unlink()?;
    }
    // Setting first, so that a hash which keeps a field does not go, and its expiry with it.
    if !set.is_empty() {
        key.set_fields(&set)?;
    }
    if !deleted.is_empty() {
        key.delete_fields(&deleted);
    }
    Ok(!(set.is_empty() && deleted.is_empty()))
}

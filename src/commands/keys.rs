//! The keys that a call names, each once and in one role.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use arrayvec::ArrayVec;
use smallvec::SmallVec;

use super::error::{Error, Shown};
use super::grammar::Grammar;
use crate::server::Access;
use crate::state::Storage;

/// What a call uses a key for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Limiters are in the fields of its hash.
    Fields,
    /// It is a sliding log's, which has it alone.
    Log,
    /// It is leases', which have it alone.
    Leases,
    /// While it exists, limits that name it are blocked.
    Block,
    /// What it holds takes the place of a limit's numbers.
    Override,
}

impl Role {
    /// What limits of `grammar` use their key for.
    #[must_use]
    pub fn of(grammar: &Grammar) -> Self {
        match grammar.storage {
            Storage::Field(_) => Self::Fields,
            Storage::Log => Self::Log,
            Storage::Leases => Self::Leases,
        }
    }

    /// Whether limiters are on the key.
    #[must_use]
    #[inline(always)]
    pub fn is_limiters(self) -> bool {
        matches!(self, Self::Fields | Self::Log | Self::Leases)
    }

    /// What a call that opens its limiters' keys for `access` does with a key in this role.
    #[must_use]
    pub fn access(self, access: Access) -> Access {
        if self == Self::Override { Access::Read } else { access }
    }
}

/// A key that a call names.
#[derive(Clone, Copy)]
pub struct KeyUse<W> {
    /// Its name.
    pub name: W,
    /// Where it stands first among the words.
    pub position: usize,
    /// What it is used for.
    pub role: Role,
}

/// Collects the keys that come among the words of limits.
pub trait Keys<'w> {
    /// The index of the key whose `name` stands at `position`, and which is used as `role`.
    ///
    /// # Errors
    ///
    /// The same name came in another role.
    fn add(&mut self, position: usize, name: &'w [u8], role: Role) -> Result<usize, Error>;

    /// The index of a key that is not a limiter's: it is never the first.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    fn add_other(&mut self, position: usize, name: &'w [u8], role: Role) -> Result<NonZeroUsize, Error> {
        NonZeroUsize::new(self.add(position, name, role)?).ok_or(Error::NoKey)
    }
}

/// The keys of any number of limits.
pub struct KeyList<'w, W> {
    words: &'w [W],
    uses: SmallVec<[KeyUse<W>; 2]>,
    /// Whether some of them are not limiters'.
    has_others: bool,
    /// Where names are among `uses`, once they are many.
    indices: Option<HashMap<&'w [u8], usize>>,
}

/// Beyond so many keys, equal ones are found by a table: comparing each with each takes too long if they are long.
const COMPARED: usize = 8;

impl<'w, W: AsRef<[u8]> + Copy> KeyList<'w, W> {
    /// No keys yet, of a call of these words.
    #[must_use]
    pub fn new(words: &'w [W]) -> Self {
        Self { words, uses: SmallVec::new(), has_others: false, indices: None }
    }

    /// All words of the call.
    #[must_use]
    pub fn words(&self) -> &'w [W] {
        self.words
    }

    /// The keys so far.
    #[must_use]
    pub fn uses(&self) -> &[KeyUse<W>] {
        &self.uses
    }

    /// Whether some of them are of blocks or overrides.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.has_others
    }

    /// The key of that index is used once more, as `role`; answers its index.
    ///
    /// # Errors
    ///
    /// It came in another role.
    pub fn again(&self, index: usize, role: Role) -> Result<usize, Error> {
        match self.uses.get(index) {
            Some(key) if key.role != role => check_roles(key.role, role, key.name.as_ref()).map(|()| index),
            _ => Ok(index),
        }
    }

    /// The index of the key called `name`, if it came before.
    #[inline(never)]
    fn find(&mut self, name: &'w [u8]) -> Option<usize> {
        if self.uses.len() <= COMPARED {
            return self.uses.iter().position(|key| key.name.as_ref() == name);
        }
        let table = self.indices.get_or_insert_default();
        for (index, key) in self.uses.iter().enumerate().skip(table.len()) {
            table.insert(self.words.get(key.position)?.as_ref(), index);
        }
        table.get(name).copied()
    }
}

impl<'w, W: AsRef<[u8]> + Copy> Keys<'w> for KeyList<'w, W> {
    #[inline(always)]
    fn add(&mut self, position: usize, name: &'w [u8], role: Role) -> Result<usize, Error> {
        if !self.uses.is_empty()
            && let Some(index) = self.find(name)
        {
            return self.again(index, role);
        }
        let Some(word) = self.words.get(position) else { return Err(Error::NoKey) };
        self.has_others |= !role.is_limiters();
        self.uses.push(KeyUse { name: *word, position, role });
        Ok(self.uses.len().saturating_sub(1))
    }
}

/// Checks that a key called `name` may be used in both roles.
fn check_roles(one: Role, other: Role, name: &[u8]) -> Result<(), Error> {
    match (one, other) {
        (one, other) if one == other => Ok(()),
        (Role::Block | Role::Override, _) | (_, Role::Block | Role::Override) => {
            Err(Error::TwoRoles(Shown::of(name)))
        }
        _ => Err(not_alone(one, other)),
    }
}

/// Two limits on one key, of which one must have it alone.
#[cold]
#[must_use]
pub fn not_alone(one: Role, other: Role) -> Error {
    if one == Role::Leases || other == Role::Leases { Error::LeaseNotAlone } else { Error::LogNotAlone }
}

/// The keys of one limit: its own, which is the first argument, and those of its block and override.
pub struct KeysOfOne<'w, W> {
    words: &'w [W],
    /// The limit's own.
    pub own: KeyUse<W>,
    /// The others.
    pub others: ArrayVec<KeyUse<W>, 2>,
}

impl<'w, W: Copy> KeysOfOne<'w, W> {
    /// The first argument of a call of these words, in that role.
    ///
    /// # Errors
    ///
    /// There is none.
    #[inline(always)]
    pub fn new(words: &'w [W], role: Role) -> Result<Self, Error> {
        let Some(name) = words.get(1) else { return Err(Error::WrongArity) };
        Ok(Self { words, own: KeyUse { name: *name, position: 1, role }, others: ArrayVec::new() })
    }

    /// All words of the call.
    #[must_use]
    pub fn words(&self) -> &'w [W] {
        self.words
    }

    /// All of them, its own first.
    #[must_use]
    pub fn uses(&self) -> ArrayVec<KeyUse<W>, 3> {
        std::iter::once(&self.own).chain(&self.others).copied().take(3).collect()
    }
}

impl<'w, W: AsRef<[u8]> + Copy> Keys<'w> for KeysOfOne<'w, W> {
    fn add(&mut self, position: usize, name: &'w [u8], role: Role) -> Result<usize, Error> {
        let Some(word) = self.words.get(position) else { return Err(Error::NoKey) };
        for before in std::iter::once(&self.own).chain(&self.others) {
            if before.name.as_ref() == name {
                check_roles(before.role, role, name)?;
            }
        }
        // No limit names more than two.
        self.others.try_push(KeyUse { name: *word, position, role }).map_err(|_| Error::NoKey)?;
        Ok(self.others.len())
    }
}

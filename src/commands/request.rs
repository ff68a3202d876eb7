//! What a caller wants: keys, each in one role, and limits on them.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::error::{Error, MAX_LIMITS, Shown};
use super::grammar::{GRAMMARS, Grammar, all_algorithms};
use super::parser::{Reader, Spec, is};
use crate::algorithms::decision::Mode;
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

/// Reads one limit on one key, of all words of a command: its name, the key, then the words of a limit of `grammar`, and
/// nothing else.
///
/// # Errors
///
/// The first word that is missing or wrong.
#[inline(always)]
pub fn read_one<'w, W: AsRef<[u8]> + Copy>(
    grammar: &'static Grammar,
    words: &'w [W],
) -> Result<(KeyUse<W>, Spec<'w>), Error> {
    let mut reader = Reader::new(words);
    let Some(key) = reader.take_whole() else { return Err(Error::WrongArity) };
    let spec = Spec::read(grammar, 0, &mut reader)?;
    match reader.take() {
        None => Ok((KeyUse { name: *key, position: 1, role: role(grammar) }, spec)),
        Some(word) => Err(Error::near(word)),
    }
}

/// Several limits, on one key or more. A few of them need no allocation.
pub struct Request<'w, W> {
    /// The keys, each once.
    pub keys: SmallVec<[KeyUse<W>; 2]>,
    /// The limits, in the order of the words; one or more.
    pub specs: SmallVec<[Spec<'w>; 3]>,
}

/// Beyond so many keys, equal ones are found by a table: comparing each with each takes too long if they are long.
const COMPARED: usize = 8;

/// The word that names a further key.
const KEY: &str = "KEY";

impl<W> Default for Request<'_, W> {
    fn default() -> Self {
        Self { keys: SmallVec::new(), specs: SmallVec::new() }
    }
}

impl<'w, W: AsRef<[u8]> + Copy> Request<'w, W> {
    /// Adds limits, of all words of a command: its name, then `key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`.
    /// None may be of a mode in `without`, which `command` does not have.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong, or two limits that cannot go together.
    pub fn read(
        &mut self,
        command: &'static str,
        without: &[(Mode, &'static str)],
        words: &'w [W],
    ) -> Result<(), Error> {
        let mut reader = Reader::new(words);
        let mut indices = Indices::default();
        let mut place = Place { position: reader.position(), index: None };
        if reader.take().is_none() {
            return Err(Error::WrongArity);
        }
        let mut is_new = true;
        while let Some(word) = reader.take() {
            if let Some(grammar) = GRAMMARS.iter().find(|grammar| is(word, grammar.word)) {
                let number = self.specs.len();
                if number == MAX_LIMITS {
                    return Err(Error::TooManyLimits.in_limit(number, grammar.word));
                }
                match Spec::read(grammar, 0, &mut reader) {
                    Ok(spec) => self.specs.push(spec),
                    Err(error) => return Err(error.in_limit(number, grammar.word)),
                }
                self.place_last(without, command, words, &mut place)
                    .map_err(|error| error.in_limit(number, grammar.word))?;
                is_new = false;
            } else if is(word, KEY) && !is_new {
                let position = reader.position();
                let Some(name) = reader.take() else { return Err(Error::NoKey) };
                place = Place { position, index: indices.of(name, &self.keys, words) };
                is_new = true;
            } else {
                return Err(self.unexpected(word, is_new));
            }
        }
        if is_new { Err(Error::NoAlgorithm(all_algorithms())) } else { Ok(()) }
    }

    /// A word that is neither a limit's nor KEY; `is_new` where a limit must follow.
    #[cold]
    fn unexpected(&self, word: &[u8], is_new: bool) -> Error {
        let (got, all) = (Shown::of(word), all_algorithms());
        match self.specs.last() {
            Some(spec) if !is_new => {
                let algorithm = spec.grammar.word;
                Error::Stray(got, algorithm, all).in_limit(self.specs.len().saturating_sub(1), algorithm)
            }
            _ => Error::UnknownAlgorithm(got, all),
        }
    }

    /// Puts the last limit on the key at `place`, which is added unless it came before.
    fn place_last(
        &mut self,
        without: &[(Mode, &'static str)],
        command: &'static str,
        words: &'w [W],
        place: &mut Place,
    ) -> Result<(), Error> {
        let Some((spec, others)) = self.specs.split_last_mut() else { return Ok(()) };
        if spec.charge.mode != Mode::Whole
            && let Some((_, word)) = without.iter().find(|(mode, _)| *mode == spec.charge.mode)
        {
            return Err(Error::ModeNotHere(word, command));
        }
        let role = role(spec.grammar);
        spec.key = match place.index {
            None => {
                let Some(name) = words.get(place.position) else { return Err(Error::NoKey) };
                self.keys.push(KeyUse { name: *name, position: place.position, role });
                self.keys.len().saturating_sub(1)
            }
            // The same name in two roles, or the second log or lease on one key.
            Some(index)
                if role != Role::Fields || self.keys.get(index).is_some_and(|key| key.role != role) =>
            {
                let one = self.keys.get(index).map(|key| key.role);
                return Err(not_alone(role == Role::Leases || one == Some(Role::Leases)));
            }
            Some(index) => {
                if others.iter().any(|other| other.key == index && spec.has_state_of(other)) {
                    return Err(Error::SameLimitTwice(spec.grammar.word));
                }
                index
            }
        };
        place.index = Some(spec.key);
        Ok(())
    }
}

/// Where a key stands among the words, and among the keys, if it came before.
struct Place {
    position: usize,
    index: Option<usize>,
}

/// Finds keys that came before.
#[derive(Default)]
struct Indices<'w>(Option<HashMap<&'w [u8], usize>>);

impl<'w> Indices<'w> {
    /// The index of the key called `name` among `keys`, if it came before.
    fn of<W: AsRef<[u8]>>(&mut self, name: &'w [u8], keys: &[KeyUse<W>], words: &'w [W]) -> Option<usize> {
        if keys.len() <= COMPARED {
            return keys.iter().position(|key| key.name.as_ref() == name);
        }
        let table = self.0.get_or_insert_default();
        for (index, key) in keys.iter().enumerate().skip(table.len()) {
            table.insert(words.get(key.position)?.as_ref(), index);
        }
        table.get(name).copied()
    }
}

/// Two limits on one key of which one must have it alone.
#[cold]
fn not_alone(is_lease: bool) -> Error {
    if is_lease { Error::LeaseNotAlone } else { Error::LogNotAlone }
}

/// What a limit of `grammar` uses its key for.
fn role(grammar: &Grammar) -> Role {
    match grammar.storage {
        Storage::Field(_) => Role::Fields,
        Storage::Log => Role::Log,
        Storage::Leases => Role::Leases,
    }
}

/// Tells the position of each key among all words of a command of several limits, which need not be right: the first
/// argument, and what follows the word KEY where a limit could begin or end.
pub fn scan_key_positions<W: AsRef<[u8]>>(words: &[W], key_at: &mut dyn FnMut(usize)) {
    key_at(1);
    let mut positions = words.iter().enumerate().skip(2);
    while let Some((position, word)) = positions.next() {
        if is(word.as_ref(), KEY) && positions.next().is_some() {
            key_at(position.saturating_add(1));
        }
    }
}

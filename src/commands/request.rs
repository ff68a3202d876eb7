//! What a caller wants: limits, and the keys that they are on.

use smallvec::SmallVec;

use super::error::{Error, MAX_LIMITS, Shown};
use super::grammar::{GRAMMARS, Grammar, all_algorithms};
use super::keys::{KeyList, Keys as _, KeysOfOne, Role, not_alone};
use super::parser::{BLOCK, KEY, OVERRIDE, Reader, Spec, is};
use crate::algorithms::decision::Mode;

/// Reads one limit on one key, of all words of a command: its name, the key, then the words of the limit, and nothing else.
/// Further keys are added to `keys`.
///
/// # Errors
///
/// The first word that is missing or wrong.
#[inline(always)]
pub fn read_one<'w, W: AsRef<[u8]> + Copy>(
    spec: &mut Spec<'w>,
    keys: &mut KeysOfOne<'w, W>,
) -> Result<(), Error> {
    let mut reader = Reader::new(keys.words());
    reader.take();
    spec.read(&mut reader, keys)?;
    match reader.take() {
        None => Ok(()),
        Some(word) => Err(Error::near(word)),
    }
}

/// Several limits, on one key or more. A few of them need no allocation.
pub struct Request<'w, W> {
    /// The keys, each once.
    pub keys: KeyList<'w, W>,
    /// The limits, in the order of the words; one or more.
    pub specs: SmallVec<[Spec<'w>; 3]>,
}

/// The key that limits are on: where its name stands among the words, and its index, once one of them was read.
struct Place<'w> {
    position: usize,
    name: &'w [u8],
    key: Option<usize>,
}

/// What a command of several limits does not take.
pub struct Without {
    /// The command's name.
    pub command: &'static str,
    /// The modes that it does not have.
    pub modes: &'static [(Mode, &'static str)],
}

impl<'w, W: AsRef<[u8]> + Copy> Request<'w, W> {
    /// No limits yet, of a call of these words.
    #[must_use]
    pub fn new(words: &'w [W]) -> Self {
        Self { keys: KeyList::new(words), specs: SmallVec::new() }
    }

    /// Adds the limits, of all words of a command: its name, then `key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong, or two limits that cannot go together.
    pub fn read(&mut self, without: &Without) -> Result<(), Error> {
        let mut reader = Reader::new(self.keys.words());
        let position = reader.position();
        let Some(name) = reader.take() else { return Err(Error::WrongArity) };
        let mut place = Place { position, name, key: None };
        let mut is_new = true;
        while let Some(word) = reader.take() {
            if let Some(grammar) = GRAMMARS.iter().find(|grammar| is(word, grammar.word)) {
                let number = self.specs.len();
                self.read_limit(grammar, &mut place, &mut reader, without)
                    .map_err(|error| error.in_limit(number, grammar.word))?;
                is_new = false;
            } else if is(word, KEY) && !is_new {
                let position = reader.position();
                let Some(name) = reader.take() else { return Err(Error::NoKey) };
                place = Place { position, name, key: None };
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

    /// Reads a limit of `grammar` on the key at `place`.
    fn read_limit(
        &mut self,
        grammar: &'static Grammar,
        place: &mut Place<'w>,
        reader: &mut Reader<'w, W>,
        without: &Without,
    ) -> Result<(), Error> {
        if self.specs.len() == MAX_LIMITS {
            return Err(Error::TooManyLimits);
        }
        let role = Role::of(grammar);
        let keys_before = self.keys.uses().len();
        let key = match place.key {
            None => self.keys.add(place.position, place.name, role)?,
            Some(key) => self.keys.again(key, role)?,
        };
        place.key = Some(key);
        let is_new = self.keys.uses().len() > keys_before;
        self.specs.push(Spec::new(grammar, key));
        let Some((spec, others)) = self.specs.split_last_mut() else { return Ok(()) };
        spec.read(reader, &mut self.keys)?;
        if spec.charge.mode != Mode::Whole
            && let Some((_, word)) = without.modes.iter().find(|(mode, _)| *mode == spec.charge.mode)
        {
            return Err(Error::ModeNotHere(word, without.command));
        }
        if !is_new {
            if role != Role::Fields {
                return Err(not_alone(role, role));
            }
            if others.iter().any(|other| other.key == key && spec.has_state_of(other)) {
                return Err(Error::SameLimitTwice(grammar.word));
            }
        }
        Ok(())
    }
}

/// Tells the position of each key among all words of a command, which need not be right: the first argument, and what
/// follows a word that a key may follow.
pub fn scan_key_positions<W: AsRef<[u8]>>(words: &[W], key_at: &mut dyn FnMut(usize)) {
    key_at(1);
    let mut positions = words.iter().enumerate().skip(2);
    while let Some((position, word)) = positions.next() {
        let precedes_key = [KEY, BLOCK, OVERRIDE].iter().any(|expected| is(word.as_ref(), expected));
        if precedes_key && positions.next().is_some() {
            key_at(position.saturating_add(1));
        }
    }
}

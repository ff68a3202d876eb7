//! What a caller wants: keys, and limits on them.

use smallvec::SmallVec;

use super::error::{Error, MAX_LIMITS};
use super::grammar::{Grammar, LIMITS, Limit, Reader, Storage};
use crate::algorithms::decision::Mode;

/// Keys, and the limits on them. One of each needs no allocation.
pub struct Request<'w, W> {
    /// The keys, each once.
    pub keys: SmallVec<[W; 1]>,
    /// The limits, in the order of the words.
    pub limits: SmallVec<[Limit<'w>; 1]>,
}

impl<'w, W: AsRef<[u8]> + Copy> Request<'w, W> {
    /// One limit on one key: `key`, then the words of `grammar`, and nothing else.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong.
    pub fn one(grammar: &'static Grammar, words: &'w [W]) -> Result<Self, Error> {
        let mut reader = Reader::new(words);
        let key = reader.take().ok_or(Error::WrongArity)?;
        let limit = grammar.read(&mut reader, 0)?;
        match reader.take() {
            Some(word) => Err(Error::near(word.as_ref())),
            None => Ok(Self { keys: SmallVec::from_buf([*key]), limits: SmallVec::from_buf([limit]) }),
        }
    }

    /// Several limits: `key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong, or two limits that cannot go together.
    pub fn several(words: &'w [W]) -> Result<Self, Error> {
        let mut reader = Reader::new(words);
        let mut this = Self { keys: SmallVec::new(), limits: SmallVec::new() };
        let mut key = this.key(*reader.take().ok_or(Error::WrongArity)?);
        let mut limits_of_key: usize = 0;
        while let Some(word) = reader.take() {
            if let Some(grammar) = LIMITS.iter().find(|grammar| is(word, grammar.word)) {
                if this.limits.len() == MAX_LIMITS {
                    return Err(Error::TooManyLimits);
                }
                this.limits.push(grammar.read(&mut reader, key)?);
                limits_of_key = limits_of_key.saturating_add(1);
            } else if is(word, KEY) && limits_of_key > 0 {
                key = this.key(*reader.take().ok_or_else(|| Error::near(word.as_ref()))?);
                limits_of_key = 0;
            } else {
                return Err(Error::near(word.as_ref()));
            }
        }
        if limits_of_key == 0 {
            return Err(Error::near(words.last().map_or(&[], AsRef::as_ref)));
        }
        this.check_together()?;
        Ok(this)
    }

    /// Which of the keys `key` is; a new one unless it came before.
    fn key(&mut self, key: W) -> usize {
        let known = self.keys.iter().position(|known| known.as_ref() == key.as_ref());
        known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len().saturating_sub(1)
        })
    }

    /// Refuses limits that would share state, or a key that only one of them can have.
    fn check_together(&self) -> Result<(), Error> {
        for (index, limit) in self.limits.iter().enumerate() {
            for earlier in self.limits.iter().take(index).filter(|earlier| earlier.key == limit.key) {
                let word = limit.grammar.word;
                match (limit.grammar.storage, earlier.grammar.storage) {
                    (Storage::Log, _) | (_, Storage::Log) => return Err(Error::LogNotAlone),
                    _ if limit.is_same_as(earlier) => return Err(Error::SameLimitTwice(word)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Refuses limits in one of `modes` in `command`.
    ///
    /// # Errors
    ///
    /// The mode that is not possible.
    pub fn without(self, modes: &[(Mode, &'static str)], command: &'static str) -> Result<Self, Error> {
        for limit in &self.limits {
            if let Some((_, word)) = modes.iter().find(|(mode, _)| *mode == limit.mode) {
                return Err(Error::ModeNotHere(word, command));
            }
        }
        Ok(self)
    }
}

/// The word that names a further key.
const KEY: &str = "KEY";

fn is(word: &impl AsRef<[u8]>, expected: &str) -> bool {
    word.as_ref().eq_ignore_ascii_case(expected.as_bytes())
}

/// Tells the position of each key in the words of [`Request::several`], which need not be right: the first
/// argument, and what follows the word KEY where a limit could begin or end.
pub fn key_positions<W: AsRef<[u8]>>(words: &[W], mut key_at: impl FnMut(usize)) {
    key_at(1);
    let mut positions = words.iter().enumerate().skip(2);
    while let Some((position, word)) = positions.next() {
        if is(word, KEY) {
            if positions.next().is_some() {
                key_at(position.saturating_add(1));
            }
        } else if is(word, "AS") {
            // The next word is a name, which may be "KEY".
            positions.next();
        }
    }
}

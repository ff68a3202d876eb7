//! What a caller wants: keys, and limits on them.

use smallvec::SmallVec;

use super::error::{Error, MAX_LIMITS};
use super::grammar::{Grammar, Limit, Reader, Storage, is, with_grammar_called};

/// Reads one limit on one key: the key, then the words of a limit of `grammar`, and nothing else.
///
/// # Errors
///
/// The first word that is missing or wrong.
#[inline(always)]
pub fn one<'w, W: AsRef<[u8]> + Copy>(
    grammar: &'static Grammar,
    words: &'w [W],
) -> Result<(W, Limit<'w>), Error> {
    let (key, words) = words.split_first().ok_or(Error::WrongArity)?;
    let mut reader = Reader::new(words);
    let limit = Limit::read(grammar, 0, &mut reader)?;
    if reader.is_empty() { Ok((*key, limit)) } else { Err(Error::near(reader.peek())) }
}

/// Several limits, on one key or more. A few of them need no allocation.
pub struct Several<'w, W> {
    /// The keys, each once.
    pub keys: SmallVec<[W; 2]>,
    /// The limits, in the order of the words.
    pub limits: SmallVec<[Limit<'w>; 4]>,
}

impl<'w, W: AsRef<[u8]> + Copy> Several<'w, W> {
    /// Reads what follows the first `limit`, which is on `key`: `[SPEC ...] [KEY key SPEC [SPEC ...] ...]`.
    ///
    /// # Errors
    ///
    /// The first word that is missing or wrong, or two limits that cannot go together.
    pub fn read(key: W, limit: Limit<'w>, mut reader: Reader<'w, W>) -> Result<Self, Error> {
        let mut this = Self { keys: SmallVec::new(), limits: SmallVec::new() };
        this.keys.push(key);
        this.limits.push(limit);
        let mut key = 0;
        let mut limits_of_key: usize = 1;
        while !reader.is_empty() {
            let word = reader.take();
            let limit = with_grammar_called!(word, |grammar| {
                this.check_room()?;
                Limit::read(grammar, key, &mut reader)?
            });
            if let Some(limit) = limit {
                this.limits.push(limit);
                limits_of_key = limits_of_key.saturating_add(1);
            } else if is(word, KEY) && limits_of_key > 0 {
                let name = reader.take_key().ok_or_else(|| Error::near(word))?;
                if reader.is_empty() {
                    return Err(Error::near(name.as_ref()));
                }
                key = this.key(*name);
                limits_of_key = 0;
            } else {
                return Err(Error::near(word));
            }
        }
        this.check_together()?;
        Ok(this)
    }

    /// Refuses more limits than one call takes.
    fn check_room(&self) -> Result<(), Error> {
        if self.limits.len() < MAX_LIMITS { Ok(()) } else { Err(Error::TooManyLimits) }
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
            let earlier = self.limits.get(..index).unwrap_or_default();
            for earlier in earlier.iter().filter(|earlier| earlier.key == limit.key) {
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
}

/// The word that names a further key.
const KEY: &str = "KEY";

/// Tells the position of each key in the words of [`Several`], which need not be right: the first
/// argument, and what follows the word KEY where a limit could begin or end.
pub fn key_positions<W: AsRef<[u8]>>(words: &[W], key_at: &mut dyn FnMut(usize)) {
    key_at(1);
    let mut positions = words.iter().enumerate().skip(2);
    while let Some((position, word)) = positions.next() {
        if is(word.as_ref(), KEY) {
            if positions.next().is_some() {
                key_at(position.saturating_add(1));
            }
        } else if is(word.as_ref(), "AS") {
            // The next word is a name, which may be "KEY".
            positions.next();
        }
    }
}

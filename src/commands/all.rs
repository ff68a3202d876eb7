//! `RL.ALL` and `RL.PEEK`: several limits judged at one instant; all are charged, or none.

use super::error::Error;
use super::execute::{self, Intent};
use super::grammar::{Limit, Reader, with_grammar_called};
use super::request::{Several, key_positions};
use crate::algorithms::decision::{Answer, Mode};
use crate::server::{Call, Handler, KeyPositions};

/// `RL.ALL key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`
pub struct All;

/// `RL.PEEK key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`
pub struct Peek;

impl Handler for All {
    fn run(call: &Call<'_>) {
        answer(call, Intent::Charge, &[(Mode::Partial, "PARTIAL")], "RL.ALL");
    }

    const KEYS: Option<KeyPositions> = Some(|words, key_at| key_positions(words, key_at));
}

impl Handler for Peek {
    fn run(call: &Call<'_>) {
        answer(call, Intent::Peek, &[(Mode::Force, "FORCE"), (Mode::Partial, "PARTIAL")], "RL.PEEK");
    }

    const KEYS: Option<KeyPositions> = Some(|words, key_at| key_positions(words, key_at));

    const KEYS_ARE_WRITTEN: bool = false;
}

/// Answers `command`, in which `modes` are not possible.
#[inline(always)]
fn answer(call: &Call<'_>, intent: Intent, modes: &[(Mode, &'static str)], command: &'static str) {
    let check = |limit: &Limit<'_>| match modes.iter().find(|(mode, _)| *mode == limit.mode) {
        Some((_, word)) => Err(Error::ModeNotHere(word, command)),
        None => Ok(()),
    };
    if let Err(error) = decide(call, intent, check) {
        error.reply(call);
    }
}

/// Reads the words, decides and replies, unless the words are wrong or a limit does not pass `check`.
#[inline(always)]
fn decide(
    call: &Call<'_>,
    intent: Intent,
    check: impl Fn(&Limit<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (key, words) = call.arguments().split_first().ok_or(Error::WrongArity)?;
    let mut reader = Reader::new(words);
    let word = reader.take();
    let first = with_grammar_called!(word, |grammar| {
        let limit = Limit::read(grammar, 0, &mut reader)?;
        if reader.is_empty() {
            check(&limit)?;
            let answer = execute::one(call, *key, &limit, intent)?;
            let (allowed, retry_after_ms) = execute::outcome_of_one(&limit, &answer);
            reply(call, allowed, retry_after_ms, std::iter::once(&answer));
            return Ok(());
        }
        limit
    });
    let request = Several::read(*key, first.ok_or_else(|| Error::near(word))?, reader)?;
    request.limits.iter().try_for_each(check)?;
    execute::all(call, &request, intent, |outcome| {
        reply(call, outcome.allowed, outcome.retry_after_ms, outcome.answers());
    })
}

fn reply<'a>(
    call: &Call<'_>,
    allowed: bool,
    retry_after_ms: i64,
    answers: impl ExactSizeIterator<Item = &'a Answer>,
) {
    let answers = answers.map(Answer::integers);
    call.reply_integers_and_arrays(&[i64::from(allowed), retry_after_ms], answers);
}

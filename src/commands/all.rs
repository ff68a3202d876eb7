//! `RL.ALL` and `RL.PEEK`: several limits judged at one instant; all are charged, or none.

use super::error::Error;
use super::execute::{Intent, Outcome, execute};
use super::request::{Request, key_positions};
use crate::algorithms::decision::Mode;
use crate::server::{Call, Handler, Word};

/// `RL.ALL key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`
pub struct All;

/// `RL.PEEK key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`
pub struct Peek;

impl Handler for All {
    fn run(call: &Call<'_>) {
        let request = read(call).and_then(|request| request.without(&[(Mode::Partial, "PARTIAL")], "RL.ALL"));
        reply(call, request.and_then(|request| execute(call, &request, Intent::Charge)));
    }

    fn keys(words: &[Word<'_>], key_at: impl FnMut(usize)) {
        key_positions(words, key_at);
    }
}

impl Handler for Peek {
    fn run(call: &Call<'_>) {
        let modes = [(Mode::Force, "FORCE"), (Mode::Partial, "PARTIAL")];
        let request = read(call).and_then(|request| request.without(&modes, "RL.PEEK"));
        reply(call, request.and_then(|request| execute(call, &request, Intent::Peek)));
    }

    fn keys(words: &[Word<'_>], key_at: impl FnMut(usize)) {
        key_positions(words, key_at);
    }

    const KEYS_ARE_WRITTEN: bool = false;
}

fn read<'call>(call: &Call<'call>) -> Result<Request<'call, Word<'call>>, Error> {
    Request::several(call.words().get(1..).unwrap_or_default())
}

fn reply(call: &Call<'_>, outcome: Result<Outcome, Error>) {
    match outcome {
        Ok(Outcome { answers, allowed, retry_after_ms }) => {
            call.reply_array(answers.len().saturating_add(2));
            call.reply_integer(i64::from(allowed));
            call.reply_integer(retry_after_ms);
            for answer in &answers {
                call.reply_integers(&answer.integers());
            }
        }
        Err(error) => error.reply(call),
    }
}

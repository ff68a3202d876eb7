//! `RL.ALL` and `RL.PEEK`: several limits judged at one instant; all are charged, or none.

use super::execute::{self, Intent, Outcome};
use super::request::{Several, key_positions};
use crate::algorithms::decision::Mode;
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
fn answer(call: &Call<'_>, intent: Intent, modes: &[(Mode, &'static str)], command: &'static str) {
    let mut request = Several::default();
    let outcome = request
        .read(call.arguments())
        .and_then(|()| request.refuse(modes, command))
        .and_then(|()| execute::all(call, &request, intent, |outcome| reply(call, outcome)));
    if let Err(error) = outcome {
        error.reply(call);
    }
}

fn reply(call: &Call<'_>, outcome: &Outcome<'_>) {
    call.reply_array(outcome.answers.len().saturating_add(2));
    call.reply_integer(i64::from(outcome.allowed));
    call.reply_integer(outcome.retry_after_ms);
    for answer in outcome.answers {
        call.reply_integers(&answer.integers());
    }
}

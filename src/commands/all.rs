//! `RL.ALL` and `RL.PEEK`: several limits judged at one instant; all are charged, or none.

use super::error::Error;
use super::execute::{Answer, Purpose, execute};
use super::request::{Request, Without, scan_key_positions};
use crate::algorithms::decision::Mode;
use crate::server::{Access, Call, Handler, KeyPositions, Reply, ReplyWriter, Word};

/// `RL.ALL key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`
pub struct All;

/// `RL.PEEK key SPEC [SPEC ...] [KEY key SPEC [SPEC ...] ...]`
pub struct Peek;

/// A command of several limits: what it does not take, and what it is for.
struct Several(Without, Purpose);

const ALL: Several =
    Several(Without { command: "RL.ALL", modes: &[(Mode::Partial, "PARTIAL")] }, Purpose::Charge);
const PEEK: Several = Several(
    Without { command: "RL.PEEK", modes: &[(Mode::Force, "FORCE"), (Mode::Partial, "PARTIAL")] },
    Purpose::Peek,
);

impl Several {
    fn run(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let Self(without, purpose) = self;
        let mut request = Request::new(call.words());
        request.read(without)?;
        execute(call, &mut request, *purpose)
    }

    /// Tells where the keys are: by the parser, and where words do not parse by looking for them.
    fn tell_keys(&self, words: &[Word<'_>], key_at: &mut dyn FnMut(usize, Access)) {
        let Self(without, purpose) = self;
        let mut request = Request::new(words);
        match request.read(without) {
            Ok(()) => {
                for key in request.keys.uses() {
                    key_at(key.position, key.role.access(purpose.access()));
                }
            }
            Err(_) => scan_key_positions(words, &mut |position| key_at(position, purpose.access())),
        }
    }
}

impl Handler for All {
    type Reply = Answer;
    type Error = Error;

    fn run(call: &Call<'_>) -> Result<Answer, Error> {
        ALL.run(call)
    }

    const KEYS: Option<KeyPositions> = Some(|words, key_at| ALL.tell_keys(words, key_at));
}

impl Handler for Peek {
    type Reply = Answer;
    type Error = Error;

    fn run(call: &Call<'_>) -> Result<Answer, Error> {
        PEEK.run(call)
    }

    const KEYS: Option<KeyPositions> = Some(|words, key_at| PEEK.tell_keys(words, key_at));
}

/// `[allowed, retry_after_ms, [seven or eight], …]`
impl Reply for Answer {
    fn write(&self, to: &ReplyWriter) {
        to.array(self.decisions.len().saturating_add(2));
        to.integer(i64::from(self.allowed));
        to.integer(self.retry_after_ms);
        for decision in &self.decisions {
            decision.write(to);
        }
    }
}

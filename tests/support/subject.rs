//! The code under test, behind the words of the models: state is kept as a server keeps it, between calls as text.

use redis_limiter::algorithms::decision::{self, Ask, Mode};
use redis_limiter::algorithms::{
    Algorithm, Decision, Extent, Limiter, NewState, SlidingLog, Span, Terms, Time, Undecided,
};

use super::memory_log::MemoryLog;
use super::model;

#[derive(Default)]
pub struct Subject {
    field: Option<Vec<u8>>,
    pub log: MemoryLog,
}

impl Subject {
    /// Whether any state is stored.
    pub fn is_stored(&self) -> bool {
        self.field.is_some() || !self.log.entries.borrow().is_empty()
    }

    /// Answers `call`; None if it is an error.
    pub fn call(&mut self, call: &model::Call, now: i128) -> Option<[i128; 7]> {
        let now = Time::from_us(now.try_into().unwrap());
        let terms = Terms {
            limit: call.limit.try_into().unwrap(),
            refill: call.refill.try_into().unwrap(),
            window: Span::from_us(call.window.try_into().unwrap()),
            offset: (call.algorithm == model::Algorithm::Aligned)
                .then(|| Span::from_us(call.offset.try_into().unwrap())),
        };
        let mode = match call.mode {
            model::Mode::Whole => Mode::Whole,
            model::Mode::Force => Mode::Force,
            model::Mode::Partial => Mode::Partial,
        };
        let ask = Ask { limit: terms.limit, cost: call.cost.try_into().unwrap(), mode };
        let algorithm = match call.algorithm {
            model::Algorithm::TokenBucket => Algorithm::TokenBucket,
            model::Algorithm::LeakyBucket => Algorithm::LeakyBucket,
            model::Algorithm::Fixed | model::Algorithm::Aligned => Algorithm::FixedWindow,
            model::Algorithm::SlidingCounter => Algorithm::SlidingCounter,
            model::Algorithm::SlidingLog => return self.call_log(&terms, &ask, now),
        };
        let mut decision = Decision::default();
        let stored = self.field.as_deref();
        match algorithm.decide(&terms, stored, now, &ask, Extent::All, &mut decision) {
            Err(Undecided::TooMuch) => return None,
            undecided => undecided.expect("own state parses"),
        }
        match decision.state {
            NewState::Same => {}
            NewState::None => self.field = None,
            NewState::Text => self.field = Some(decision.text.as_bytes().to_vec()),
        }
        Some(decision.answer.integers().map(i128::from))
    }

    fn call_log(&mut self, terms: &Terms, ask: &Ask, now: Time) -> Option<[i128; 7]> {
        let mut log = SlidingLog::open(self.log.clone(), terms, now).expect("own entries parse");
        let verdict = decision::judge(&log, ask).ok()?;
        if verdict.charge != 0 {
            log.charge(verdict.charge);
        } else if log.was_pulled() && ask.cost != 0 {
            log.settle();
        }
        Some(decision::answer(&log, ask, &verdict).integers().map(i128::from))
    }
}

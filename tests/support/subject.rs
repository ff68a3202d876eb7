//! The code under test, behind the words of the models: state is kept as a server keeps it, between calls as text.

use redis_limiter::algorithms::decision::{Change, Charge, Extent, Mode, Outcome, Undecided};
use redis_limiter::algorithms::{
    FieldAlgorithm, FieldState, FixedWindow, LeakyBucket, Quota, SlidingCounter, SlidingLog, Span, Time,
    TokenBucket, window_of_months,
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
        let quota = Quota {
            limit: call.limit.try_into().unwrap(),
            refill: call.refill.try_into().unwrap(),
            window: match call.algorithm {
                model::Algorithm::Months => {
                    window_of_months((call.window / model::MONTH).try_into().unwrap())
                }
                _ => Span::from_us(call.window.try_into().unwrap()),
            },
            origin: matches!(call.algorithm, model::Algorithm::Aligned | model::Algorithm::Months)
                .then(|| Time::from_us(call.offset.try_into().unwrap())),
        };
        let mode = match call.mode {
            model::Mode::Whole => Mode::Whole,
            model::Mode::Force => Mode::Force,
            model::Mode::Partial => Mode::Partial,
        };
        let charge = Charge { cost: call.cost.try_into().unwrap(), mode };
        let mut outcome = Outcome::default();
        let decided = match call.algorithm {
            model::Algorithm::TokenBucket => self.decide::<TokenBucket>(&quota, &charge, now, &mut outcome),
            model::Algorithm::LeakyBucket => self.decide::<LeakyBucket>(&quota, &charge, now, &mut outcome),
            model::Algorithm::Fixed | model::Algorithm::Aligned | model::Algorithm::Months => {
                self.decide::<FixedWindow>(&quota, &charge, now, &mut outcome)
            }
            model::Algorithm::SlidingCounter => {
                self.decide::<SlidingCounter>(&quota, &charge, now, &mut outcome)
            }
            model::Algorithm::SlidingLog => {
                let log = SlidingLog::open(self.log.clone(), &quota, now).expect("own entries parse");
                log.decide(&quota, &charge, Extent::All, &mut outcome)
            }
        };
        match decided {
            Err(Undecided::TooMuch) => return None,
            undecided => undecided.expect("own state parses"),
        }
        match outcome.change {
            Change::None => {}
            Change::Unused => self.field = None,
            Change::Text => self.field = Some(outcome.text.as_bytes().to_vec()),
            Change::Log(edit) => self.log.apply(&edit),
            Change::Lease(edit) => panic!("{edit:?}"),
        }
        Some(outcome.decision.integers().map(i128::from))
    }

    fn decide<A: FieldState>(
        &self,
        quota: &Quota,
        charge: &Charge,
        now: Time,
        outcome: &mut Outcome,
    ) -> Result<(), Undecided> {
        FieldAlgorithm::of::<A>().decide(quota, self.field.as_deref(), now, charge, Extent::All, outcome)
    }
}

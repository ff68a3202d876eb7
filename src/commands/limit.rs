//! The commands of one limit: `RL.TOKENBUCKET`, `RL.LEAKYBUCKET`, `RL.FIXED`, `RL.SLIDINGCOUNTER` and `RL.SLIDINGLOG`.

use std::marker::PhantomData;

use super::error::Error;
use super::execute::{Purpose, execute_guarded, execute_one};
use super::grammar::Words;
use super::keys::{KeysOfOne, Role};
use super::parser::Spec;
use super::request::{read_one, scan_key_positions};
use crate::algorithms::decision::{Decision, Outcome};
use crate::server::{Access, Call, Handler, KeyPositions, Reply, ReplyWriter, check_slots};

/// `RL.<ALGORITHM> key …`: charges one limit.
pub struct OneLimit<W>(PhantomData<W>);

impl<W: Words> Handler for OneLimit<W> {
    type Reply = Decision;
    type Error = Error;

    #[inline(always)]
    fn run(call: &Call<'_>) -> Result<Decision, Error> {
        let mut keys = KeysOfOne::new(call.words(), Role::of(W::GRAMMAR))?;
        let mut spec = Spec::new(W::GRAMMAR, 0);
        read_one(&mut spec, &mut keys)?;
        let mut outcome = Outcome::default();
        if keys.others.is_empty() {
            execute_one(call, &keys.own, &spec, Purpose::Charge, &mut outcome)?;
        } else {
            let uses = keys.uses();
            check_slots(call, uses.iter().map(|key| key.name))?;
            execute_guarded(call, &uses, &mut spec, Purpose::Charge, &mut outcome)?;
        }
        Ok(outcome.decision)
    }

    const KEYS: Option<KeyPositions> = Some(|words, key_at| {
        let keys = KeysOfOne::new(words, Role::of(W::GRAMMAR))
            .and_then(|mut keys| read_one(&mut Spec::new(W::GRAMMAR, 0), &mut keys).map(|()| keys.uses()));
        match keys {
            Ok(keys) => keys.iter().for_each(|key| key_at(key.position, key.role.access(Access::Write))),
            Err(_) => scan_key_positions(words, &mut |position| key_at(position, Access::Write)),
        }
    });
}

/// Seven integers, and an eighth where the limit has a block.
impl Reply for Decision {
    fn write(&self, to: &ReplyWriter) {
        match self.blocked {
            None => to.integers(&self.integers()),
            Some(blocked) => {
                let [one, two, three, four, five, six, seven] = self.integers();
                to.integers(&[one, two, three, four, five, six, seven, blocked.integer()]);
            }
        }
    }
}

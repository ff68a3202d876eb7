//! The commands of one limit: `RL.TOKENBUCKET`, `RL.LEAKYBUCKET`, `RL.FIXED`, `RL.SLIDINGCOUNTER` and `RL.SLIDINGLOG`.

use std::marker::PhantomData;

use super::error::Error;
use super::execute::{Purpose, execute_one};
use super::grammar::Words;
use super::request::read_one;
use crate::server::{Call, Handler};

/// `RL.<ALGORITHM> key …`: charges one limit.
pub struct OneLimit<W>(PhantomData<W>);

impl<W: Words> Handler for OneLimit<W> {
    type Reply = [i64; 7];
    type Error = Error;

    fn run(call: &Call<'_>) -> Result<[i64; 7], Error> {
        let (key, spec) = read_one(W::GRAMMAR, call.words())?;
        Ok(execute_one(call, &key, &spec, Purpose::Charge)?.integers())
    }
}

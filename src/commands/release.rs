//! `RL.RELEASE`: gives leases back before they end.

use super::error::Error;
use super::grammar::{Lease, Words as _};
use super::parser::{Reader, holder_id};
use crate::algorithms::Time;
use crate::server::{Access, Call, Handler, Key, now_us};
use crate::state::release;

/// `RL.RELEASE key id [id ...]`
pub struct Release;

impl Handler for Release {
    type Reply = i64;
    type Error = Error;

    fn run(call: &Call<'_>) -> Result<i64, Error> {
        let mut reader = Reader::new(call.words());
        let Some(name) = reader.take_whole() else { return Err(Error::WrongArity) };
        let Some(ids) = call.words().get(reader.position()..).filter(|ids| !ids.is_empty()) else {
            return Err(Error::WrongArity);
        };
        for id in ids {
            holder_id("id", Some(id.bytes()))?;
        }
        let now = Time::from_us(now_us(call));
        let key = Key::open(call, *name, Access::Write);
        release(call, &key, ids.iter().map(|id| id.bytes()), now)
            .map_err(|error| Error::State(error, Some(Lease::GRAMMAR.word)))
    }
}

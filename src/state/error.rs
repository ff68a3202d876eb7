//! Why a limiter cannot be read or stored.

use crate::algorithms::OtherData;
use crate::server::{Kind, NotDone};

/// What stands in a limiter's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The key is of a type that the limiter does not live in: this.
    WrongType(Kind),
    /// The key's type fits, but what it holds is not a limiter's.
    OtherData,
    /// The same; and it is a sliding log.
    Log,
    /// The same; and it is leases.
    Leases,
    /// A limiter's field, by its name, whose value is not a limiter's.
    BadField(Vec<u8>),
    /// A forced cost beyond what can be counted.
    TooMuch,
    /// The server did not tell what the key holds.
    NotTold,
    /// The server did not store what was decided.
    NotDone,
}

impl From<OtherData> for StateError {
    fn from(_: OtherData) -> Self {
        Self::OtherData
    }
}

impl From<NotDone> for StateError {
    fn from(_: NotDone) -> Self {
        Self::NotDone
    }
}

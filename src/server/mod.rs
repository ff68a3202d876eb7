//! The server's module API: the one home of unsafe code. Nothing here knows what a limiter is.

mod access;
mod alloc;
mod api;
mod call;
mod clock;
mod config;
mod hash;
mod key;
mod load;
mod local;
mod native;
mod register;
mod reply;
mod sorted_set;
mod string;

pub use access::{NoAccess, check_keys, check_slots};
pub use alloc::ServerAlloc;
pub use call::{Access, Call, EntryPoint, Handler, KeyPositions, entry_point};
pub use clock::now_us;
pub use key::{Key, Kind, NotDone};
pub use load::{Load, Module, Unload, on_load, on_unload};
pub use local::OfServer;
pub use register::{Argument, ArgumentKind, BeginSearch, Command, Found, KeySpec};
pub use reply::{Reply, ReplyWriter};
pub use sorted_set::{Member, Score};
pub use string::{OwnedString, Word};

//! The server's module API: the one home of unsafe code. Nothing here knows what a limiter is.

mod alloc;
mod api;
mod call;
mod key;
mod register;
mod reply;
mod string;

pub use alloc::ServerAlloc;
pub use api::missing_function;
pub use call::{Call, EntryPoint, Handler, KeyPositions, OfServer, entry_point};
pub use key::{Key, Kind, Member, Mode};
pub use register::{Argument, ArgumentKind, BeginSearch, Command, KeySpec, Load, Unload};
pub use string::{OwnedString, Word};

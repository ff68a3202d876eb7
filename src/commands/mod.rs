//! The commands: words in, reply out.
//!
//! The way of a call: words → [`request`] → `execute` (keys → quotas → blocked? → state → decide all →
//! commit) → reply. A command is a
//! function from a call to a reply or an [`error`]; [`table`] lists every command.

mod all;
pub mod error;
mod execute;
pub mod grammar;
pub mod keys;
mod limit;
pub mod parser;
mod release;
pub mod request;
pub mod table;
mod throttle;

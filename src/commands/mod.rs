//! The commands: words in, reply out. The only place that knows both the algorithms and the server.
//!
//! words → [`request`] → state → decision → new state → effects → reply: the middle is `execute`.

mod all;
pub mod error;
mod execute;
mod field_names;
pub mod grammar;
mod limit;
mod redis_cell;
pub mod request;
mod store;
pub mod table;

pub use field_names::forget as forget_field_names;

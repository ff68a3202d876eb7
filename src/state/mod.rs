//! Limiters in keys: reading them, storing what was decided, and when they expire.

mod error;
mod expiry;
mod field;
mod field_name;
mod log;
mod redis_cell;
mod stored;

pub use error::StateError;
pub use field::check_hash;
pub use field_name::forget as forget_field_names;
pub use stored::{Identity, Storage, Stored, commit};

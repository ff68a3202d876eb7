//! Limiters in keys: reading them, storing what was decided, and when they expire.

mod error;
mod expiry;
mod field;
mod field_name;
mod lease;
mod log;
mod other_data;
mod redis_cell;
mod release;
mod score;
mod stored;

pub use error::StateError;
pub use field::check_hash;
pub use field_name::forget as forget_field_names;
pub use release::release;
pub use stored::{Identity, Storage, Stored, commit};

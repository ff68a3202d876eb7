//! Decisions about limits: state, quota and an instant in; a decision and new state out.
//!
//! Nothing here knows a server. An algorithm is the answers of [`Limiter`]; [`decision`] builds every mode and reply
//! upon them. All arithmetic is integer, and rounds so that no limit is ever exceeded.

mod arithmetic;
mod calendar;
pub mod decision;
mod field;
mod fixed_window;
mod leaky_bucket;
mod lease;
mod leases;
mod limiter;
mod log;
mod quota;
mod sliding_counter;
mod sliding_log;
pub mod text;
mod time;
mod token_bucket;

pub use calendar::{MAX_MONTHS, end_of_months, months_of, window_of_months};
pub use field::{FieldAlgorithm, FieldState, Tag};
pub use fixed_window::FixedWindow;
pub use leaky_bucket::LeakyBucket;
pub use lease::LeaseSet;
pub use leases::{LeaseEdit, Leases, MAX_ID};
pub use limiter::Limiter;
pub use log::{Dropped, EARLIEST, Edit, Entry, LATEST, Log, OtherData};
pub use quota::{LONGEST_OVERRIDE, MAX_UNITS, MAX_USED, Quota};
pub use sliding_counter::SlidingCounter;
pub use sliding_log::SlidingLog;
pub use time::{Span, TOLERANCE, Time};
pub use token_bucket::TokenBucket;

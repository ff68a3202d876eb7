//! The module's settings: their names, defaults and ranges, and where they come from.
//!
//! redis.conf and CONFIG SET go through the server. Arguments of `loadmodule` are read here, by the same
//! rules, and count for more than redis.conf.

use std::sync::atomic::{AtomicBool, Ordering};

/// `rl.cl-throttle`: whether to register `CL.THROTTLE`; fixed once the module is loaded.
pub static CL_THROTTLE: AtomicBool = AtomicBool::new(CL_THROTTLE_DEFAULT);

/// The default of [`CL_THROTTLE`].
pub const CL_THROTTLE_DEFAULT: bool = true;

/// The name of [`CL_THROTTLE`] in redis.conf and after `loadmodule` is this after `rl.`.
pub const CL_THROTTLE_NAME: &str = "cl-throttle";

/// What the server puts before the names of the module's settings; in arguments it may be left out.
const PREFIX: &[u8] = b"rl.";

/// Applies the arguments of `loadmodule`: pairs of a setting and its value.
///
/// # Errors
///
/// The first argument that is no setting, or the first value that its setting does not accept.
pub fn apply_arguments(arguments: &[&[u8]]) -> Result<(), String> {
    for pair in arguments.chunks(2) {
        let (name, value) = match pair {
            [name, value] => (*name, *value),
            [name] => (*name, &[][..]),
            _ => continue,
        };
        let own_name = match name.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
            _ => name,
        };
        if own_name.eq_ignore_ascii_case(CL_THROTTLE_NAME.as_bytes()) {
            let on = yes_or_no(value).ok_or("rl.cl-throttle must be yes or no")?;
            CL_THROTTLE.store(on, Ordering::Relaxed);
        } else {
            return Err(format!("no such setting: '{}'; there is rl.cl-throttle", name.escape_ascii()));
        }
    }
    Ok(())
}

fn yes_or_no(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"yes") {
        Some(true)
    } else if value.eq_ignore_ascii_case(b"no") {
        Some(false)
    } else {
        None
    }
}

//! The module's settings: one table of their names, defaults and ranges.
//!
//! redis.conf and CONFIG SET go through the server. Arguments of `loadmodule` are read here, by the same rules, and
//! count for more than redis.conf.

use std::sync::atomic::{AtomicBool, Ordering};

/// A setting that is on or off.
pub struct Setting {
    /// Its name after `rl.`.
    pub name: &'static str,
    /// What it is unless told otherwise.
    pub default: bool,
    /// Whether it may change once the module is loaded.
    pub changes_at_run_time: bool,
    /// What it is.
    pub value: &'static AtomicBool,
}

impl Setting {
    /// What it is now.
    #[must_use]
    pub fn get(&self) -> bool {
        self.value.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, value: bool) {
        self.value.store(value, Ordering::Relaxed);
    }
}

/// `rl.cl-throttle`: whether to register `CL.THROTTLE`.
pub static CL_THROTTLE: Setting = Setting {
    name: "cl-throttle",
    default: true,
    changes_at_run_time: false,
    value: {
        static VALUE: AtomicBool = AtomicBool::new(true);
        &VALUE
    },
};

/// Every setting.
pub static SETTINGS: &[&Setting] = &[&CL_THROTTLE];

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
        let is_named = |setting: &&&Setting| own_name.eq_ignore_ascii_case(setting.name.as_bytes());
        let Some(setting) = SETTINGS.iter().find(is_named) else {
            let all: Vec<_> = SETTINGS.iter().map(|setting| format!("rl.{}", setting.name)).collect();
            return Err(format!("no such setting: '{}'; there is {}", name.escape_ascii(), all.join(", ")));
        };
        let on = yes_or_no(value).ok_or_else(|| {
            format!("rl.{} must be yes or no, not '{}'", setting.name, value.escape_ascii())
        })?;
        setting.set(on);
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

//! The module's settings, as the server's CONFIG knows them.

use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_void};

use redis_module::raw;

use super::api::api;
use super::key::done;
use crate::settings::{SETTINGS, Setting};

/// Tells the server of all settings, and applies what redis.conf says of them.
///
/// # Errors
///
/// The setting that the server did not take.
///
/// # Safety
///
/// `ctx` is the live context of the module's loading.
pub unsafe fn register_settings(ctx: *mut raw::RedisModuleCtx) -> Result<(), String> {
    for setting in SETTINGS {
        let failed = |_| format!("the server does not take the setting rl.{}", setting.name);
        let name = CString::new(setting.name).map_err(|error| error.to_string())?;
        let flags = if setting.changes_at_run_time {
            raw::REDISMODULE_CONFIG_DEFAULT
        } else {
            raw::REDISMODULE_CONFIG_IMMUTABLE
        };
        // SAFETY: context and name are live; the setting lives as long as the module, and is what the functions expect.
        done(unsafe {
            api!(RedisModule_RegisterBoolConfig)(
                ctx,
                name.as_ptr(),
                c_int::from(setting.default),
                flags,
                Some(get),
                Some(set),
                None,
                std::ptr::from_ref::<Setting>(setting).cast_mut().cast(),
            )
        })
        .map_err(failed)?;
    }
    // SAFETY: the context is live.
    done(unsafe { api!(RedisModule_LoadConfigs)(ctx) })
        .map_err(|_| "redis.conf has a value that a setting of rl does not accept".into())
}

unsafe extern "C" fn get(_: *const c_char, setting: *mut c_void) -> c_int {
    // SAFETY: what was registered is a setting that lives as long as the module.
    c_int::from(unsafe { &*setting.cast::<Setting>() }.get())
}

unsafe extern "C" fn set(
    _: *const c_char,
    value: c_int,
    setting: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: as above.
    unsafe { &*setting.cast::<Setting>() }.set(value != 0);
    raw::REDISMODULE_OK as c_int
}

//! The API functions that the module cannot do without.

#![allow(clippy::single_component_path_imports, reason = "that is how a macro gets a path")]

use redis_module::raw;

/// Lists the functions that are checked at load. `api!` takes only what is listed here.
macro_rules! required {
    ($($function:ident)*) => {
        /// The name of a function that this server lacks and the module needs.
        #[must_use]
        pub fn missing_function() -> Option<&'static str> {
            $(
                // SAFETY: the server writes these pointers once, before it calls the module's code.
                if unsafe { raw::$function }.is_none() {
                    return Some(stringify!($function));
                }
            )*
            None
        }

        /// A required function, to be called in an unsafe block.
        macro_rules! api {
            $(($function) => { $crate::server::api::present(redis_module::raw::$function) };)*
        }
    };
}

required! {
    RedisModule_Alloc
    RedisModule_Call
    RedisModule_CallReplyArrayElement
    RedisModule_CallReplyInteger
    RedisModule_CallReplyStringPtr
    RedisModule_CallReplyType
    RedisModule_Calloc
    RedisModule_CloseKey
    RedisModule_CreateCommand
    RedisModule_CreateString
    RedisModule_Free
    RedisModule_FreeCallReply
    RedisModule_FreeServerInfo
    RedisModule_FreeString
    RedisModule_GetAbsExpire
    RedisModule_GetCommand
    RedisModule_GetContextFlags
    RedisModule_GetServerInfo
    RedisModule_HashGet
    RedisModule_HashSet
    RedisModule_IsKeysPositionRequest
    RedisModule_KeyAtPosWithFlags
    RedisModule_KeyType
    RedisModule_LoadConfigs
    RedisModule_Log
    RedisModule_OpenKey
    RedisModule_Realloc
    RedisModule_RegisterBoolConfig
    RedisModule_Replicate
    RedisModule_ReplyWithArray
    RedisModule_ReplyWithError
    RedisModule_ReplyWithLongLong
    RedisModule_ServerInfoGetFieldC
    RedisModule_SetAbsExpire
    RedisModule_SetCommandInfo
    RedisModule_SetModuleOptions
    RedisModule_SignalModifiedKey
    RedisModule_StringDMA
    RedisModule_StringPtrLen
    RedisModule_StringSet
    RedisModule_UnlinkKey
    RedisModule_ValueLength
    RedisModule_WrongArity
    RedisModule_ZsetAdd
    RedisModule_ZsetFirstInScoreRange
    RedisModule_ZsetLastInScoreRange
    RedisModule_ZsetRangeCurrentElement
    RedisModule_ZsetRangeEndReached
    RedisModule_ZsetRangeNext
    RedisModule_ZsetRangePrev
    RedisModule_ZsetRangeStop
    RedisModule_ZsetRem
    RedisModule_ZsetScore
}

pub(super) use api;

/// A function pointer that [`missing_function`] found present when the module loaded.
///
/// # Safety
///
/// `function` is listed in `required!` and the module has loaded.
pub unsafe fn present<F>(function: Option<F>) -> F {
    // SAFETY: a module that lacks one of them does not load, so no code of it runs.
    unsafe { function.unwrap_unchecked() }
}

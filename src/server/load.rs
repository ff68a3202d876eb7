//! Loading and unloading the module.

use std::ffi::{CStr, CString};
use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;
use std::os::raw::c_int;

use redis_module::raw;

use super::access;
use super::api::{api, missing_function};
use super::config;
use super::native::{self, NEEDED};

/// The module as it presents itself to the server.
pub struct Module {
    /// Its name in MODULE LIST, and before its settings' names.
    pub name: &'static CStr,
    /// Its version in MODULE LIST: major, minor and patch, two digits each.
    pub version: c_int,
    /// Registers what it has. The settings of redis.conf are in force by now.
    pub load: fn(&Load, arguments: &[&[u8]]) -> Result<(), String>,
    /// Gives back what it holds of the server's.
    pub unload: fn(&Unload),
}

/// The server while it loads the module.
pub struct Load {
    ctx: *mut raw::RedisModuleCtx,
    /// What the server is.
    pub server: Version,
    /// Whether the server lets modules add ACL categories, and so has [`OWN_CATEGORY`].
    own_category: bool,
}

/// The server while it unloads the module: no call comes any more.
pub struct Unload(PhantomData<*mut ()>);

/// A server's kind and version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    is_valkey: bool,
    parts: (u32, u32, u32),
}

/// Valkey's option, from 9.0 on, without which it refuses CLUSTER MIGRATESLOTS. Redis' header does not have it.
const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;

/// The ACL category that all commands share, where a module may add one.
pub(super) const OWN_CATEGORY: &CStr = c"ratelimit";

/// What a module's `RedisModule_OnLoad` does.
///
/// # Safety
///
/// The server calls it by way of `RedisModule_OnLoad`, with that one's arguments, once for each load.
pub unsafe fn on_load(
    module: &Module,
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server's promises are passed on. Before this call no function of the API is there, and nothing is
    // allocated.
    let status = unsafe {
        raw::Export_RedisModule_Init(
            ctx,
            module.name.as_ptr(),
            module.version,
            raw::REDISMODULE_APIVER_1.cast_signed(),
        )
    };
    if status != raw::REDISMODULE_OK as c_int {
        return raw::REDISMODULE_ERR as c_int;
    }
    // SAFETY: as above.
    match unsafe { load(module, ctx, argv, argc) } {
        Ok(()) => raw::REDISMODULE_OK as c_int,
        Err(reason) => {
            // SAFETY: the context is live.
            unsafe { log(ctx, c"warning", &format!("redis-limiter does not load: {reason}")) };
            raw::REDISMODULE_ERR as c_int
        }
    }
}

/// What a module's `RedisModule_OnUnload` does.
///
/// # Safety
///
/// The server calls it by way of `RedisModule_OnUnload`.
pub unsafe fn on_unload(module: &Module) -> c_int {
    (module.unload)(&Unload(PhantomData));
    raw::REDISMODULE_OK as c_int
}

/// # Safety
///
/// As of [`on_load`], once the API's functions are there.
unsafe fn load(
    module: &Module,
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> Result<(), String> {
    if let Some(function) = missing_function() {
        return Err(format!("it needs {function}, which this server does not have"));
    }
    // SAFETY: the context is live; the functions are there; so are the strings at `argv`, until this returns.
    unsafe {
        let server = Version::of(ctx);
        // The module tells by itself which keys it changed, and has no state that the loading of another dataset could mix
        // up, or a slot that moves.
        let mut options = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED
            | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
        if server.is_valkey && server.parts >= (9, 0, 0) {
            options |= HANDLE_ATOMIC_SLOT_MIGRATION;
        }
        api!(RedisModule_SetModuleOptions)(ctx, options.cast_signed());
        if let Some(command) = NEEDED.iter().find(|name| !native::has_command(ctx, name)) {
            let command = command.to_string_lossy();
            return Err(format!("it needs the command {command}, which this server has renamed or left out"));
        }
        config::register_settings(ctx)?;
        // That the category is there already is no failure: it outlives the module that brought it.
        let own_category = raw::RedisModule_AddACLCategory.map(|add| add(ctx, OWN_CATEGORY.as_ptr()));
        let load = Load { ctx, server, own_category: own_category.is_some() };
        let flags = api!(RedisModule_GetContextFlags)(ctx).cast_unsigned();
        access::set_up(!load.takes_key_positions(), flags & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0);
        let count = if argv.is_null() { 0 } else { usize::try_from(argc).unwrap_or(0) };
        let arguments: Vec<&[u8]> = (0..count).map(|index| text_of(*argv.add(index))).collect();
        (module.load)(&load, &arguments)
    }
}

/// # Safety
///
/// The string is live and unchanged for `'a`.
unsafe fn text_of<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the server answers a pointer, never null, to `length` bytes.
    unsafe {
        let start = api!(RedisModule_StringPtrLen)(string, &raw mut length);
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    }
}

/// # Safety
///
/// The context is live.
unsafe fn log(ctx: *mut raw::RedisModuleCtx, level: &CStr, message: &str) {
    let message = CString::new(message).unwrap_or_default();
    // SAFETY: the context is live; the text is an argument, not the format.
    unsafe {
        if let Some(log) = raw::RedisModule_Log {
            log(ctx, level.as_ptr(), c"%s".as_ptr(), message.as_ptr());
        }
    }
}

impl Load {
    /// Whether the server has a command of that name.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        // SAFETY: the context is live.
        CString::new(name).is_ok_and(|name| unsafe { native::has_command(self.ctx, &name) })
    }

    /// Writes a line to the server's log.
    pub fn log(&self, level: &CStr, message: &str) {
        // SAFETY: the context is live.
        unsafe { log(self.ctx, level, message) }
    }

    /// Whether commands may tell the positions of their keys by themselves. Redis from 8.3 on, and Valkey from 9.0
    /// on in a cluster, ask for them on their IO threads, where modules must not run; key specs do there.
    #[must_use]
    pub fn takes_key_positions(&self) -> bool {
        self.server.parts < if self.server.is_valkey { (9, 0, 0) } else { (8, 3, 0) }
    }

    pub(super) fn ctx(&self) -> *mut raw::RedisModuleCtx {
        self.ctx
    }

    pub(super) fn has_own_category(&self) -> bool {
        self.own_category
    }
}

impl Version {
    /// # Safety
    ///
    /// The context is live.
    unsafe fn of(ctx: *mut raw::RedisModuleCtx) -> Self {
        // SAFETY: the context is live; the section is freed once it was looked at.
        unsafe {
            let section = api!(RedisModule_GetServerInfo)(ctx, c"server".as_ptr());
            let field = |name: &CStr| {
                let text = api!(RedisModule_ServerInfoGetFieldC)(section, name.as_ptr());
                (!text.is_null()).then(|| Self::parts(&CStr::from_ptr(text).to_string_lossy()))
            };
            let valkey = field(c"valkey_version");
            let parts = valkey.or_else(|| field(c"redis_version"));
            api!(RedisModule_FreeServerInfo)(ctx, section);
            Self { is_valkey: valkey.is_some(), parts: parts.unwrap_or_default() }
        }
    }

    fn parts(version: &str) -> (u32, u32, u32) {
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.parts;
        write!(f, "{} {major}.{minor}.{patch}", if self.is_valkey { "Valkey" } else { "Redis" })
    }
}

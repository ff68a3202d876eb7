//! Registration: commands with their help, key positions and ACL categories.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::os::raw::c_int;
use std::ptr::null_mut;

use redis_module::commands::{
    self, BeginSearch as RawBeginSearch, CommandArgFlags, FindKeys, KeySpecFlags, RedisModuleCommandArg,
};
use redis_module::raw::{self, ModuleOptions};

use super::api::api;
use super::call::{EntryPoint, PIECES};

/// A command, as the server is told about it.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What runs it.
    pub entry_point: EntryPoint,
    /// Its flags, as the API spells them.
    pub flags: &'static str,
    /// Number of words with the command's own, or minus the least number of them.
    pub arity: i32,
    /// One line on what it does.
    pub summary: &'static str,
    /// Its cost in time.
    pub complexity: &'static str,
    /// The module's version that brought it.
    pub since: &'static str,
    /// Where its keys are.
    pub key_specs: &'static [KeySpec],
    /// Its arguments.
    pub arguments: Vec<&'static Argument>,
    /// ACL categories, where the server has them.
    pub acl_categories: &'static str,
}

/// Where keys are found among a command's words.
pub struct KeySpec {
    /// Where the search begins.
    pub begin: BeginSearch,
    /// Whether they are changed.
    pub written: bool,
    /// Whether there may be more than the spec finds.
    pub incomplete: bool,
}

/// Where the search for a key begins.
pub enum BeginSearch {
    /// At a position.
    Index(i32),
    /// After a word, looked for from a position on.
    Keyword(&'static str, i32),
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// A key, found by the key spec of this index.
    Key(u32),
    /// A whole number.
    Integer,
    /// Any text.
    String,
    /// The token alone.
    Token,
    /// One of the parts.
    OneOf,
    /// All of the parts.
    Block,
}

/// An argument, as COMMAND DOCS shows it.
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ArgumentKind,
    /// The word before it, or that it is.
    pub token: Option<&'static str>,
    /// What it means.
    pub summary: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated, with its token.
    pub multiple: bool,
    /// The parts of a block or a choice.
    pub parts: &'static [&'static Argument],
}

impl Argument {
    /// An argument that must come, once, without a token.
    #[must_use]
    pub const fn new(name: &'static str, kind: ArgumentKind) -> Self {
        Self { name, kind, token: None, summary: None, optional: false, multiple: false, parts: &[] }
    }
}

/// The server while it loads the module.
pub struct Load {
    ctx: *mut raw::RedisModuleCtx,
    /// Whether the server lets modules add ACL categories, and so has [`OWN_CATEGORY`].
    own_category: bool,
}

impl Load {
    /// Begins with the context that the `redis-module` crate hands to a module's `init`, on a server that
    /// lacks no function. Tells the server how the module behaves: it signals itself which keys it changed,
    /// and has no state that a replica's loading of another dataset could mix up.
    #[must_use]
    pub fn begin(context: &redis_module::Context) -> Self {
        let options = ModuleOptions::NO_IMPLICIT_SIGNAL_MODIFIED | ModuleOptions::HANDLE_REPL_ASYNC_LOAD;
        // SAFETY: the context is live, and so are the arguments.
        unsafe {
            api!(RedisModule_SetModuleOptions)(context.ctx, options.bits());
            // That it is there already is no failure: a category outlives the module that brought it.
            let own_category =
                raw::RedisModule_AddACLCategory.map(|add| add(context.ctx, OWN_CATEGORY.as_ptr()));
            let own_category = own_category.is_some();
            Self { ctx: context.ctx, own_category }
        }
    }

    /// Ends the loading, which has succeeded, with what calls need besides.
    pub fn finish(self) {
        PIECES.get(&self).prepare(&self);
    }

    pub(super) fn ctx(&self) -> *mut raw::RedisModuleCtx {
        self.ctx
    }

    /// Whether the server has a command of that name.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        CString::new(name).is_ok_and(|name| command_exists(self, &name))
    }

    /// Registers `command`, with its help.
    ///
    /// # Errors
    ///
    /// What the server did not take.
    pub fn register(&self, command: &Command) -> Result<(), String> {
        register(self, command)
    }

    /// Writes a line to the server's log.
    pub fn log(&self, level: &CStr, message: &str) {
        let message = CString::new(message).unwrap_or_default();
        // SAFETY: the context is live; the text is an argument, not the format.
        unsafe {
            if let Some(log) = raw::RedisModule_Log {
                log(self.ctx, level.as_ptr(), c"%s".as_ptr(), message.as_ptr());
            }
        }
    }
}

/// The server while it unloads the module.
pub struct Unload(PhantomData<*mut ()>);

impl Unload {
    /// Begins with the context that the `redis-module` crate hands to a module's `deinit`. No call comes after that.
    #[must_use]
    pub fn begin(_: &redis_module::Context) -> Self {
        let this = Self(PhantomData);
        PIECES.get(&this).forget();
        this
    }
}

/// Whether the server has a command of that name.
fn command_exists(load: &Load, name: &CStr) -> bool {
    // SAFETY: context and texts are live and the format fits; the reply, if any, is freed once looked at.
    unsafe {
        let reply = api!(RedisModule_Call)(
            load.ctx,
            c"COMMAND".as_ptr(),
            c"cc".as_ptr(),
            c"INFO".as_ptr(),
            name.as_ptr(),
        );
        if reply.is_null() {
            return false;
        }
        let first = raw::RedisModule_CallReplyArrayElement.map(|element| element(reply, 0));
        let exists = match (first, raw::RedisModule_CallReplyType) {
            (Some(first), Some(kind)) if !first.is_null() => {
                isize::try_from(kind(first)) == Ok(raw::REDISMODULE_REPLY_ARRAY)
            }
            _ => false,
        };
        api!(RedisModule_FreeCallReply)(reply);
        exists
    }
}

fn register(load: &Load, command: &Command) -> Result<(), String> {
    let failed = |what: &str| format!("the server refused {what} of {}", command.name);
    let text = |text: &str| CString::new(text).map_err(|_| failed("a text"));
    let (name, flags) = (text(command.name)?, text(command.flags)?);
    let (summary, complexity, since) =
        (text(command.summary)?, text(command.complexity)?, text(command.since)?);

    let mut key_specs = commands::get_redis_key_spec(command.key_specs.iter().map(key_spec).collect());
    let arguments = command.arguments.iter().map(|part| argument(part)).collect();
    let mut arguments = commands::get_redis_command_args(arguments);
    let info = raw::RedisModuleCommandInfo {
        version: &INFO_VERSION,
        summary: summary.as_ptr(),
        complexity: complexity.as_ptr(),
        since: since.as_ptr(),
        history: null_mut(),
        tips: std::ptr::null(),
        arity: command.arity,
        key_specs: key_specs.as_mut_ptr(),
        args: arguments.as_mut().map_or(null_mut(), |arguments| arguments.as_mut_ptr()),
    };
    // Servers of Redis 7.0 read the first key's position from here.
    let first_key = c_int::from(!command.key_specs.is_empty());
    // SAFETY: context, texts and tables are live during the calls; the server copies them.
    unsafe {
        let created = api!(RedisModule_CreateCommand)(
            load.ctx,
            name.as_ptr(),
            Some(command.entry_point),
            flags.as_ptr(),
            first_key,
            first_key,
            first_key,
        );
        if created != raw::REDISMODULE_OK as c_int {
            return Err(failed("the name"));
        }
        let handle = api!(RedisModule_GetCommand)(load.ctx, name.as_ptr());
        if handle.is_null() {
            return Err(failed("a look at the registration"));
        }
        if api!(RedisModule_SetCommandInfo)(handle, &raw const info) != raw::REDISMODULE_OK as c_int {
            return Err(failed("the description"));
        }
        set_acl_categories(load, handle, command.acl_categories);
    }
    Ok(())
}

const INFO_VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// The ACL category that all commands share, where a module may add one.
const OWN_CATEGORY: &CStr = c"ratelimit";

/// # Safety
///
/// `command` is a live registration of the module that `load` loads.
unsafe fn set_acl_categories(load: &Load, command: *mut raw::RedisModuleCommand, categories: &str) {
    let own = if load.own_category { OWN_CATEGORY.to_str().ok() } else { None };
    // One blank between two: the server takes no other.
    let all = [Some(categories), own].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let (Ok(all), Ok(categories)) = (CString::new(all), CString::new(categories)) else {
        return;
    };
    // SAFETY: a function that the server has, called with live arguments.
    unsafe {
        let Some(set) = raw::RedisModule_SetCommandACLCategories else {
            return;
        };
        let taken = |all: &CStr| set(command, all.as_ptr()) == raw::REDISMODULE_OK as c_int;
        if !taken(&all) && !taken(&categories) {
            load.log(c"warning", "the server did not take the ACL categories");
        }
    }
}

fn key_spec(spec: &KeySpec) -> commands::KeySpec {
    let mut flags = if spec.written {
        KeySpecFlags::READ_WRITE | KeySpecFlags::ACCESS | KeySpecFlags::UPDATE
    } else {
        KeySpecFlags::READ_ONLY | KeySpecFlags::ACCESS
    };
    if spec.incomplete {
        flags |= KeySpecFlags::INCOMPLETE;
    }
    let begin = match spec.begin {
        BeginSearch::Index(index) => RawBeginSearch::new_index(index),
        BeginSearch::Keyword(keyword, from) => RawBeginSearch::new_keyword(keyword.to_owned(), from),
    };
    commands::KeySpec::new(None, flags, begin, FindKeys::new_range(0, 1, 0))
}

fn argument(argument: &Argument) -> RedisModuleCommandArg {
    let (kind, key_spec) = match argument.kind {
        ArgumentKind::Key(spec) => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY, Some(spec)),
        ArgumentKind::Integer => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER, None),
        ArgumentKind::String => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING, None),
        ArgumentKind::Token => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN, None),
        ArgumentKind::OneOf => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF, None),
        ArgumentKind::Block => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK, None),
    };
    let mut flags = CommandArgFlags::NONE;
    if argument.optional {
        flags |= CommandArgFlags::OPTIONAL;
    }
    if argument.multiple {
        flags |= CommandArgFlags::MULTIPLE;
        if argument.token.is_some() {
            flags |= CommandArgFlags::MULTIPLE_TOKEN;
        }
    }
    let parts: Vec<_> = argument.parts.iter().map(|part| self::argument(part)).collect();
    RedisModuleCommandArg::new(
        argument.name.to_owned(),
        kind,
        key_spec,
        argument.token.map(str::to_owned),
        argument.summary.map(str::to_owned),
        None,
        flags,
        None,
        (!parts.is_empty()).then_some(parts),
        None,
    )
}

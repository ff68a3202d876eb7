//! Registration: commands with their help, key positions and ACL categories.

use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};

use redis_module::raw;

use super::api::api;
use super::call::{Access, EntryPoint, key_flags};
use super::key::done;
use super::load::{Load, OWN_CATEGORY};

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
    /// What they are opened for.
    pub access: Access,
    /// What it finds.
    pub found: Found,
}

/// How many of the keys that it is about a spec finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All.
    All,
    /// All, of words that parse. Where the server asks the command for key positions, it is to go by those.
    AllByItself,
    /// There may be more.
    Some,
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
    Key(usize),
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

impl Load {
    /// Registers `command`, with its help.
    ///
    /// Where the server does not take key positions from a command, its complete key specs alone are told.
    ///
    /// # Errors
    ///
    /// What the server did not take.
    pub fn register(&self, command: &Command) -> Result<(), String> {
        let failed = |what: &str| format!("the server refused {what} of {}", command.name);
        let by_position = self.takes_key_positions();
        let flags: Vec<_> =
            command.flags.split(' ').filter(|flag| by_position || *flag != GETKEYS_API).collect();
        let specs = command.key_specs.iter().filter(|spec| by_position || spec.found != Found::Some);

        let mut texts = Texts::default();
        let (name, flags) = (texts.keep(command.name), texts.keep(&flags.join(" ")));
        let mut key_specs: Vec<_> = specs.map(|spec| key_spec(spec, by_position, &mut texts)).collect();
        // SAFETY: a key spec is plain data; all zeros end the list.
        key_specs.push(unsafe { std::mem::zeroed() });
        let mut arguments = Arguments::new(&command.arguments, key_specs.len(), &mut texts);
        let info = raw::RedisModuleCommandInfo {
            version: &INFO_VERSION,
            summary: texts.keep(command.summary),
            complexity: texts.keep(command.complexity),
            since: texts.keep(command.since),
            history: null_mut(),
            tips: null(),
            arity: command.arity,
            key_specs: key_specs.as_mut_ptr(),
            args: arguments.list.as_mut_ptr(),
        };
        // Servers of Redis 7.0 read the first key's position from here.
        let first_key = c_int::from(!command.key_specs.is_empty());
        // SAFETY: context, texts and tables are live during the calls; the server copies them.
        unsafe {
            let create = api!(RedisModule_CreateCommand);
            done(create(self.ctx(), name, Some(command.entry_point), flags, first_key, first_key, first_key))
                .map_err(|_| failed("the name"))?;
            let handle = api!(RedisModule_GetCommand)(self.ctx(), name);
            if handle.is_null() {
                return Err(failed("a look at the registration"));
            }
            done(api!(RedisModule_SetCommandInfo)(handle, &raw const info))
                .map_err(|_| failed("the description"))?;
            self.set_acl_categories(handle, command.acl_categories);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// `command` is a live registration of the module that is loaded.
    unsafe fn set_acl_categories(&self, command: *mut raw::RedisModuleCommand, categories: &str) {
        let own = if self.has_own_category() { OWN_CATEGORY.to_str().ok() } else { None };
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
            let taken = |all: &CStr| done(set(command, all.as_ptr())).is_ok();
            if !taken(&all) && !taken(&categories) {
                self.log(c"warning", "the server did not take the ACL categories");
            }
        }
    }
}

/// The flag of commands that tell the positions of their keys by themselves.
const GETKEYS_API: &str = "getkeys-api";

const INFO_VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// C strings that live as long as this.
#[derive(Default)]
struct Texts(Vec<CString>);

impl Texts {
    fn keep(&mut self, text: &str) -> *const c_char {
        // The tables hold no NUL.
        let text = CString::new(text).unwrap_or_default();
        // What a CString points to stays where it is when the list grows.
        let start = text.as_ptr();
        self.0.push(text);
        start
    }

    fn keep_any(&mut self, text: Option<&str>) -> *const c_char {
        text.map_or(null(), |text| self.keep(text))
    }
}

/// A spec as the API has it; `by_position` where the server also asks the command.
fn key_spec(spec: &KeySpec, by_position: bool, texts: &mut Texts) -> raw::RedisModuleCommandKeySpec {
    let mut flags = u64::from(key_flags(spec.access));
    if by_position && spec.found != Found::All {
        flags |= u64::from(raw::REDISMODULE_CMD_KEY_INCOMPLETE);
    }
    let (begin_search_type, bs) = match spec.begin {
        BeginSearch::Index(pos) => (
            raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX,
            raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
                index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos },
            },
        ),
        BeginSearch::Keyword(keyword, startfrom) => (
            raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD,
            raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
                keyword: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_2 {
                    keyword: texts.keep(keyword),
                    startfrom,
                },
            },
        ),
    };
    raw::RedisModuleCommandKeySpec {
        notes: null(),
        flags,
        begin_search_type,
        bs,
        find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE,
        fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
            range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
                lastkey: 0,
                keystep: 1,
                limit: 0,
            },
        },
    }
}

/// Arguments as the API has them: a list that all zeros end, and the lists of their parts.
struct Arguments {
    list: Vec<raw::RedisModuleCommandArg>,
    /// Alive as long as the list points to them.
    _parts: Vec<Arguments>,
}

impl Arguments {
    /// Arguments that refer to the key specs of a command, of which there are fewer than `specs`.
    fn new(arguments: &[&Argument], specs: usize, texts: &mut Texts) -> Self {
        let mut parts = Vec::new();
        let mut list: Vec<_> = Vec::with_capacity(arguments.len().saturating_add(1));
        for argument in arguments {
            let subargs = if argument.parts.is_empty() {
                null_mut()
            } else {
                let mut of_it = Self::new(argument.parts, specs, texts);
                let start = of_it.list.as_mut_ptr();
                parts.push(of_it);
                start
            };
            let (type_, key_spec_index) = kind(argument.kind, specs);
            list.push(raw::RedisModuleCommandArg {
                name: texts.keep(argument.name),
                type_,
                key_spec_index,
                token: texts.keep_any(argument.token),
                summary: texts.keep_any(argument.summary),
                since: null(),
                flags: flags(argument).cast_signed(),
                deprecated_since: null(),
                subargs,
                display_text: null(),
            });
        }
        // SAFETY: an argument is plain data; all zeros end the list.
        list.push(unsafe { std::mem::zeroed() });
        Self { list, _parts: parts }
    }
}

/// An argument's type, and the index of its key spec, -1 if it has none. A key whose spec is not told is a string.
fn kind(kind: ArgumentKind, specs: usize) -> (raw::RedisModuleCommandArgType, c_int) {
    let type_ = match kind {
        // The last of the specs only ends them.
        ArgumentKind::Key(spec) if spec.saturating_add(1) < specs => {
            let index = c_int::try_from(spec).unwrap_or(-1);
            return (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY, index);
        }
        ArgumentKind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
        ArgumentKind::Key(_) | ArgumentKind::String => {
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING
        }
        ArgumentKind::Token => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
        ArgumentKind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
        ArgumentKind::Block => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
    };
    (type_, -1)
}

fn flags(argument: &Argument) -> u32 {
    let mut flags = raw::REDISMODULE_CMD_ARG_NONE;
    if argument.optional {
        flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
    }
    if argument.multiple {
        flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        if argument.token.is_some() {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN;
        }
    }
    flags
}

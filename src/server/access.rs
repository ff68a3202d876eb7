//! Keys that the server does not look at before a call, since it was not told of them: the module judges by itself.
//!
//! Redis from 8.3 on, and Valkey from 9.0 on in a cluster, run `getkeys-api` callbacks on IO threads, and die of it. There, commands of several keys are
//! registered with their first key alone.

use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw;
use smallvec::SmallVec;

use super::api::api;
use super::call::{Access, Call};
use super::native::CallReply;
use super::string::{OwnedString, Word};

/// Whether the server knows the first key of a call alone.
static FIRST_KEY_ONLY: AtomicBool = AtomicBool::new(false);

/// Whether the server is part of a cluster.
static IN_CLUSTER: AtomicBool = AtomicBool::new(false);

/// Why a call must not touch its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAccess {
    /// The caller lacks the permission to one of them.
    NoPermission,
    /// They are in different slots of the cluster.
    CrossSlot,
    /// They are in one slot, which is being moved, and not all of them here.
    TryAgain,
}

/// Remembers, at load, what the server leaves to the module.
pub(super) fn set_up(first_key_only: bool, in_cluster: bool) {
    FIRST_KEY_ONLY.store(first_key_only, Ordering::Relaxed);
    IN_CLUSTER.store(in_cluster, Ordering::Relaxed);
}

/// Judges whether a call may touch these keys and open them so, where the server has not. The first is the command's first
/// argument, which it has judged.
///
/// # Errors
///
/// Why it may not, as the server would say for a command of its own.
pub fn check_keys<'k>(
    call: &Call<'_>,
    keys: impl ExactSizeIterator<Item = (Word<'k>, Access)> + Clone,
) -> Result<(), NoAccess> {
    if !FIRST_KEY_ONLY.load(Ordering::Relaxed) {
        return Ok(());
    }
    check_permissions(call, keys.clone())?;
    if IN_CLUSTER.load(Ordering::Relaxed) || may_have_tracking(call) {
        ask_server(call, keys.map(|(name, _)| name))?;
    }
    Ok(())
}

/// Judges whether a call may touch these keys where the server knows them all, but may not have looked at their slots.
///
/// # Errors
///
/// As [`check_keys`].
pub fn check_slots<'k>(call: &Call<'_>, names: impl Iterator<Item = Word<'k>>) -> Result<(), NoAccess> {
    if FIRST_KEY_ONLY.load(Ordering::Relaxed) && IN_CLUSTER.load(Ordering::Relaxed) {
        ask_server(call, names)?;
    }
    Ok(())
}

/// Whether the caller may be one that is told when keys change that it has read (CLIENT TRACKING). In a script, it is not
/// the caller whom the server knows here.
fn may_have_tracking(call: &Call<'_>) -> bool {
    // SAFETY: the context is live; the server fills in what it was given, of the version that it names.
    unsafe {
        let flags = api!(RedisModule_GetContextFlags)(call.ctx()).cast_unsigned();
        if flags & raw::REDISMODULE_CTX_FLAGS_LUA != 0 {
            return true;
        }
        let (Some(id), Some(look)) = (raw::RedisModule_GetClientId, raw::RedisModule_GetClientInfoById)
        else {
            return false;
        };
        let mut client: raw::RedisModuleClientInfo = std::mem::zeroed();
        client.version = u64::from(raw::REDISMODULE_CLIENTINFO_VERSION);
        look((&raw mut client).cast(), id(call.ctx())) == raw::REDISMODULE_OK as c_int
            && client.flags & u64::from(raw::REDISMODULE_CLIENTINFO_FLAG_TRACKING) != 0
    }
}

/// The server judges a command of its own that names the same keys, and remembers them for a caller that is to be told of
/// changes.
///
/// Different slots are told apart before: Valkey 9.1 takes that refusal ill, and refuses every script from then on.
fn ask_server<'k>(call: &Call<'_>, names: impl Iterator<Item = Word<'k>>) -> Result<(), NoAccess> {
    let mut names: SmallVec<[_; 8]> = names.map(Word::as_ptr).collect();
    // SAFETY: the context and the names are live, and EXISTS changes nothing; the functions are called where they are.
    unsafe {
        let slot =
            |name: &*mut raw::RedisModuleString| raw::RedisModule_ClusterKeySlot.map(|slot| slot(*name));
        let first = names.first().and_then(slot);
        if IN_CLUSTER.load(Ordering::Relaxed) && names.iter().any(|name| slot(name) != first) {
            return Err(NoAccess::CrossSlot);
        }
        let reply = CallReply::of(api!(RedisModule_Call)(
            call.ctx(),
            c"EXISTS".as_ptr(),
            c"v".as_ptr(),
            names.as_mut_ptr(),
            names.len(),
        ));
        match reply.and_then(|reply| reply.integer()) {
            Some(_) => Ok(()),
            None => Err(NoAccess::TryAgain),
        }
    }
}

/// Each key after the first stands in for it, which is the one that the server looks at: so the user must be allowed this
/// command on it, not only some other. Where a key is only read by a command that changes the first, it must be readable.
fn check_permissions<'k>(
    call: &Call<'_>,
    mut keys: impl Iterator<Item = (Word<'k>, Access)>,
) -> Result<(), NoAccess> {
    let Some((_, first_access)) = keys.next() else { return Ok(()) };
    let mut words: SmallVec<[_; 16]> = call.words().iter().map(|word| word.as_ptr()).collect();
    // SAFETY: the context and the words are live; what the server gives is freed; a function that is not there is not
    // called.
    unsafe {
        let (Some(user_name), Some(user_of), Some(check), Some(check_key), Some(log), Some(free)) = (
            raw::RedisModule_GetCurrentUserName,
            raw::RedisModule_GetModuleUserFromUserName,
            raw::RedisModule_ACLCheckCommandPermissions,
            raw::RedisModule_ACLCheckKeyPermissions,
            raw::RedisModule_ACLAddLogEntry,
            raw::RedisModule_FreeModuleUser,
        ) else {
            return Err(NoAccess::NoPermission);
        };
        // Without a user it is the server itself that calls.
        let Some(name) = OwnedString::from_server(user_name(call.ctx())) else { return Ok(()) };
        let user = user_of(name.as_ptr());
        if user.is_null() {
            return Err(NoAccess::NoPermission);
        }
        let mut permitted = Ok(());
        for (key, access) in keys {
            let status = if access == first_access {
                if let Some(first) = words.get_mut(1) {
                    *first = key.as_ptr();
                }
                let count = c_int::try_from(words.len()).unwrap_or(0);
                check(user, words.as_mut_ptr(), count)
            } else {
                check_key(user, key.as_ptr(), raw::REDISMODULE_CMD_KEY_ACCESS.cast_signed())
            };
            if status != raw::REDISMODULE_OK as c_int {
                let why = raw::RedisModuleACLLogEntryReason_REDISMODULE_ACL_LOG_KEY;
                log(call.ctx(), user, key.as_ptr(), why);
                permitted = Err(NoAccess::NoPermission);
                break;
            }
        }
        free(user);
        permitted
    }
}

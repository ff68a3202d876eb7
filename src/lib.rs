//! Rate limiting inside Redis and Valkey.
//!
//! From the top: [`commands`] turns words into replies; `state` reads and writes limiters in keys; [`algorithms`] decides
//! and knows no server; `server` is the module API and has all the unsafe code; [`settings`] are the operator's.

pub mod algorithms;
pub mod commands;
mod server;
pub mod settings;
mod state;

use std::os::raw::c_int;

use redis_module::raw;

use commands::table::{COMMANDS, THROTTLE};
use server::{Load, Module, ServerAlloc, Unload};
use settings::CL_THROTTLE;

#[global_allocator]
static ALLOCATOR: ServerAlloc = ServerAlloc;

static MODULE: Module = Module { name: c"rl", version: 100, load, unload };

/// Registers the commands.
fn load(server: &Load, arguments: &[&[u8]]) -> Result<(), String> {
    settings::apply_arguments(arguments)?;
    for row in COMMANDS {
        if row.name == THROTTLE {
            if !CL_THROTTLE.get() {
                server.log(c"notice", "CL.THROTTLE is left out: rl.cl-throttle is no");
                continue;
            }
            if server.has_command(row.name) {
                server.log(c"notice", "CL.THROTTLE is left out: the server has one already");
                continue;
            }
        }
        server.register(&row.command())?;
    }
    Ok(())
}

fn unload(server: &Unload) {
    state::forget_field_names(server);
}

/// What the server calls when it loads the module.
///
/// # Safety
///
/// Only a server calls it, with a context and the `argc` strings at `argv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server's promises are passed on.
    unsafe { server::on_load(&MODULE, ctx, argv, argc) }
}

/// What the server calls when it unloads the module.
///
/// # Safety
///
/// Only a server calls it, when no call of the module's commands is under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnUnload(_: *mut raw::RedisModuleCtx) -> c_int {
    // SAFETY: the server's promises are passed on.
    unsafe { server::on_unload(&MODULE) }
}

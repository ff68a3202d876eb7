//! Rate limiting inside Redis and Valkey.
//!
//! - [`algorithms`] decides: how much is used, what fits, how long to wait. It knows no server.
//! - [`server`] is the module API of Redis and Valkey. It knows no limiter, and has all the unsafe code.
//! - [`commands`] joins the two; [`commands::table`] lists every command.
//! - [`settings`] are the operator's.
//! - [`decimal`] writes numbers, for both sides.

pub mod algorithms;
pub mod commands;
pub mod decimal;
pub mod server;
pub mod settings;

use std::sync::atomic::Ordering;

use redis_module::{Context, RedisString, Status, redis_module};

use commands::table;

/// Registers the commands. The settings of redis.conf are in force by now.
fn load(context: &Context, arguments: &[RedisString]) -> Status {
    if let Some(function) = server::missing_function() {
        context.log_warning(&format!("redis-limiter needs {function}, which this server does not have"));
        return Status::Err;
    }
    let server = server::Load::begin(context);
    match register(&server, arguments) {
        Ok(()) => {
            server.finish();
            Status::Ok
        }
        Err(reason) => {
            server.log(c"warning", &format!("redis-limiter does not load: {reason}"));
            Status::Err
        }
    }
}

fn register(server: &server::Load, arguments: &[RedisString]) -> Result<(), String> {
    let arguments: Vec<&[u8]> = arguments.iter().map(RedisString::as_slice).collect();
    settings::apply_arguments(&arguments)?;
    for row in table::COMMANDS {
        if row.name == table::THROTTLE {
            if !settings::CL_THROTTLE.load(Ordering::Relaxed) {
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

/// Gives back what the module holds of the server's.
fn unload(context: &Context) -> Status {
    commands::forget_field_names(&server::Unload::begin(context));
    Status::Ok
}

/// What the server looks for in the library. The functions are the macro's, and have no docs.
#[allow(missing_docs)]
mod module {
    use super::{load, redis_module, server, settings, unload};
    use redis_module::configuration::ConfigurationFlags;

    // Version 0.1.0 as the server shows it.
    redis_module! {
        name: "rl",
        version: 100,
        allocator: (server::ServerAlloc, server::ServerAlloc),
        data_types: [],
        init: load,
        deinit: unload,
        commands: [],
        configurations: [
            i64: [],
            string: [],
            bool: [
                [settings::CL_THROTTLE_NAME, &settings::CL_THROTTLE, settings::CL_THROTTLE_DEFAULT, ConfigurationFlags::IMMUTABLE, None],
            ],
            enum: [],
            module_args_as_configuration: false,
        ]
    }
}

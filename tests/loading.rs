//! Loading and unloading: settings from redis.conf and from the words after `loadmodule`, and what the server's
//! log says of them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use redis::Value;
use redis_limiter::commands::table::COMMANDS;

use crate::support::{Server, frozen};

const LEFT_OUT: &str = "CL.THROTTLE is left out: rl.cl-throttle is no";

fn log(server: &Server) -> String {
    fs::read_to_string(server.dir().join("server.log")).unwrap()
}

#[track_caller]
fn assert_setting(server: &Server, on: bool) {
    let setting = if on { "yes" } else { "no" };
    assert_eq!(server.ask_texts("CONFIG GET rl.cl-throttle"), ["rl.cl-throttle", setting]);
    assert_eq!(server.has_command("CL.THROTTLE"), on);
    assert_eq!(log(server).contains(LEFT_OUT), !on);
    // The other commands do not depend on it.
    assert_eq!(server.ask("RL.FIXED k 9 1h")[0], 1);
}

#[test]
fn cl_throttle_is_there_unless_told_otherwise() {
    assert_setting(&Server::start(), true);
}

#[test]
fn redis_conf_sets_cl_throttle() {
    for (name, value, on) in
        [("rl.cl-throttle", "no", false), ("rl.cl-throttle", "yes", true), ("RL.CL-Throttle", "NO", false)]
    {
        assert_setting(&Server::builder().config(name, value).start(), on);
    }
}

#[test]
fn the_words_after_loadmodule_set_cl_throttle() {
    for (words, on) in [
        (&["cl-throttle", "no"][..], false),
        (&["rl.cl-throttle", "no"], false),
        (&["RL.CL-THROTTLE", "No"], false),
        (&["cl-throttle", "yes"], true),
        (&["cl-throttle", "no", "rl.cl-throttle", "yes"], true),
    ] {
        assert_setting(&Server::builder().module_args(words).start(), on);
    }
}

#[test]
fn the_words_after_loadmodule_count_for_more_than_redis_conf() {
    for (conf, word, on) in [("yes", "no", false), ("no", "yes", true)] {
        let server =
            Server::builder().config("rl.cl-throttle", conf).module_args(&["cl-throttle", word]).start();
        assert_setting(&server, on);
    }
}

#[test]
fn a_wrong_word_after_loadmodule_is_named_and_stops_the_server() {
    let yes_or_no = "redis-limiter does not load: rl.cl-throttle must be yes or no";
    for (words, reason) in [
        (&["cl-throttle", "maybe"][..], yes_or_no),
        (&["cl-throttle", ""], yes_or_no),
        (&["cl-throttle", "1"], yes_or_no),
        (&["cl-throttle"], yes_or_no),
        (&["cl-throttle", "no", "rl.cl-throttle"], yes_or_no),
        (
            &["no-such", "1"],
            "redis-limiter does not load: no such setting: 'no-such'; there is rl.cl-throttle",
        ),
        (&["rl.no-such", "1"], "no such setting: 'rl.no-such'"),
        (&["cl-throttle", "no", "x"], "no such setting: 'x'"),
        (&["rl.rl.cl-throttle", "no"], "no such setting: 'rl.rl.cl-throttle'"),
        (&["", "no"], "no such setting: ''"),
        (&["%s%n%d", "no"], "no such setting: '%s%n%d'"),
    ] {
        let log = Server::builder().module_args(words).try_start().err();
        let log = log.unwrap_or_else(|| panic!("{words:?} did not stop the server"));
        assert!(log.contains(reason), "{words:?}:\n{log}");
        assert!(!log.contains("BUG REPORT"), "{words:?}:\n{log}");
    }
}

#[test]
fn a_wrong_setting_in_redis_conf_stops_the_server() {
    // What the log says of it is the server's own; some servers do not name a setting that they do not know.
    for (name, value, said) in [
        ("rl.cl-throttle", "maybe", "cl-throttle"),
        ("rl.cl-throttle", "1", "cl-throttle"),
        ("rl.no-such", "1", ""),
    ] {
        let log = Server::builder().config(name, value).try_start().err();
        let log = log.unwrap_or_else(|| panic!("{name} {value} did not stop the server"));
        assert!(log.contains(said), "{name} {value}:\n{log}");
        assert!(!log.contains("BUG REPORT"), "{name} {value}:\n{log}");
    }
}

#[test]
fn cl_throttle_cannot_change_at_run_time() {
    let server = Server::start();
    for value in ["no", "yes", "maybe"] {
        let error = server.ask_error(&format!("CONFIG SET rl.cl-throttle {value}"));
        assert!(error.contains("immutable"), "{error}");
    }
    assert_setting(&server, true);
}

/// The name, the path and the arguments in MODULE LIST.
fn listed(server: &Server) -> (String, i64, String, Vec<String>) {
    let Value::Array(modules) = server.ask_value("MODULE LIST") else {
        panic!("MODULE LIST answers an array")
    };
    let module = modules.into_iter().find_map(|module| {
        let Value::Array(fields) = module else { return None };
        let field = |name: &str| {
            let is = |value: &Value| {
                *value == Value::BulkString(name.into()) || *value == Value::SimpleString(name.into())
            };
            fields.chunks(2).find(|pair| is(&pair[0])).map(|pair| pair[1].clone())
        };
        let text = |name: &str| redis::from_redis_value::<String>(field(name)?).ok();
        (text("name")? == "rl").then(|| {
            let version = redis::from_redis_value(field("ver").unwrap()).unwrap();
            let arguments = redis::from_redis_value(field("args").unwrap()).unwrap();
            (text("name").unwrap(), version, text("path").unwrap(), arguments)
        })
    });
    module.unwrap()
}

#[test]
fn module_list_shows_name_version_and_arguments() {
    let server = Server::builder().module_args(&["cl-throttle", "no"]).start();
    let (name, version, path, arguments) = listed(&server);
    assert_eq!((name.as_str(), version), ("rl", 100));
    assert!(path.ends_with("libredis_limiter.so"), "{path}");
    assert_eq!(arguments, ["cl-throttle", "no"]);
}

#[test]
fn a_module_that_is_loaded_again_is_set_anew() {
    let server = Server::start();
    let (_, _, path, _) = listed(&server);
    for (word, on) in [("no", false), ("yes", true), ("no", false)] {
        server.ask_value("MODULE UNLOAD rl");
        server.call(&["MODULE", "LOAD", &path, "cl-throttle", word]).unwrap();
        assert_eq!(server.has_command("CL.THROTTLE"), on);
    }
    // Without a word the default is in force again, whatever was before.
    server.ask_value("MODULE UNLOAD rl");
    server.call(&["MODULE", "LOAD", &path]).unwrap();
    assert!(server.has_command("CL.THROTTLE"));
    server.ask_value("MODULE UNLOAD rl");
    server.call(&["MODULE", "LOADEX", &path, "CONFIG", "rl.cl-throttle", "no"]).unwrap();
    assert!(!server.has_command("CL.THROTTLE"));
    // A module that does not load leaves nothing behind.
    server.ask_value("MODULE UNLOAD rl");
    assert!(server.call(&["MODULE", "LOAD", &path, "cl-throttle", "maybe"]).is_err());
    assert!(server.ask_error("RL.FIXED k 9 1h").starts_with("ERR unknown command"));
    server.call(&["MODULE", "LOAD", &path]).unwrap();
    assert_eq!(server.ask("RL.FIXED k 9 1h")[0], 1);
}

#[test]
fn a_module_that_is_loaded_again_registers_all_that_it_did() {
    let server = Server::start();
    let (_, _, path, _) = listed(&server);
    let mut rules = vec!["+@all", "+@write", "+@all -@write"];
    if server.has().own_acl_category {
        rules.extend(["+@ratelimit", "+@all -@ratelimit"]);
    }
    for (user, rule) in rules.iter().enumerate() {
        server.ask_value(&format!("ACL SETUSER {user} on nopass ~* {rule}"));
    }
    let names = COMMANDS.iter().map(|row| row.name).collect::<Vec<_>>().join(" ");
    let told = || {
        let commands = format!("COMMAND LIST FILTERBY MODULE rl\nCOMMAND DOCS {names}\nCOMMAND INFO {names}");
        let mut told: Vec<Value> =
            commands.lines().chain(["CONFIG GET rl.*"]).map(|line| sorted(&server.ask_value(line))).collect();
        // Whether users may call, on which their rights depend.
        let may = |user| server.ask_value(&format!("ACL DRYRUN {user} RL.FIXED k 10 1m"));
        told.extend((0..rules.len()).map(may));
        told
    };
    let before = told();
    for _ in 0..3 {
        server.ask_value("MODULE UNLOAD rl");
        server.call(&["MODULE", "LOAD", &path]).unwrap();
        for (now, before) in told().iter().zip(&before) {
            assert_eq!(now, before);
        }
    }
}

/// An array without the order that a server's hash table gave it.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(|item| format!("{item:?}"));
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// A module that brings a CL.THROTTLE, as redis-cell does. It answers `other`.
const OTHER_THROTTLE: &str = r#"
typedef int (*get_api)(const char *, void *);
static int (*reply)(void *, const char *);
static int throttle(void *ctx, void **argv, int argc) { (void)argv, (void)argc; return reply(ctx, "other"); }
int RedisModule_OnLoad(void *ctx, void **argv, int argc) {
    get_api get = (get_api)((void **)ctx)[0];
    void (*set_attributes)(void *, const char *, int, int);
    int (*create)(void *, const char *, int (*)(void *, void **, int), const char *, int, int, int);
    (void)argv, (void)argc;
    get("RedisModule_SetModuleAttribs", &set_attributes);
    get("RedisModule_CreateCommand", &create);
    get("RedisModule_ReplyWithSimpleString", &reply);
    set_attributes(ctx, "other", 1, 1);
    return create(ctx, "CL.THROTTLE", throttle, "write", 1, 1, 1);
}
"#;

/// Compiles [`OTHER_THROTTLE`] to a file, which the test removes.
fn other_throttle(name: &str) -> String {
    let library = format!("{}/{name}-{}.so", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let mut compiler = Command::new("cc")
        .args(["-x", "c", "-shared", "-fPIC", "-w", "-o", &library, "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(OTHER_THROTTLE.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success());
    library
}

#[test]
fn cl_throttle_is_left_to_a_module_that_was_first() {
    let other = other_throttle("first");
    let server = Server::builder().config("loadmodule", &other).start();
    assert_eq!(server.text(&["CL.THROTTLE", "k", "9", "1", "1"]), "other");
    assert!(log(&server).contains("CL.THROTTLE is left out: the server has one already"));
    assert_eq!(server.ask("RL.FIXED k 9 1h")[0], 1);
    fs::remove_file(other).unwrap();
}

#[test]
fn a_module_that_brings_cl_throttle_after_ours_needs_the_setting() {
    let other = other_throttle("second");
    let ours = Server::start();
    assert!(ours.call(&["MODULE", "LOAD", &other]).is_err());
    assert_eq!(ours.ask("CL.THROTTLE k 9 1 60"), [0, 10, 9, -1, 60]);
    let left_out = Server::builder().module_args(&["cl-throttle", "no"]).start();
    left_out.call(&["MODULE", "LOAD", &other]).unwrap();
    assert_eq!(left_out.text(&["CL.THROTTLE", "k", "9", "1", "60"]), "other");
    fs::remove_file(other).unwrap();
}

#[test]
fn loading_the_module_twice_is_refused_and_harms_nothing() {
    let server = frozen();
    let (_, _, path, _) = listed(&server);
    let copy = server.dir().join("copy.so");
    fs::copy(&path, &copy).unwrap();
    for (path, used) in [(path.as_str(), 1), (copy.to_str().unwrap(), 2)] {
        assert_eq!(server.ask("RL.FIXED k 9 1h")[6], used);
        assert!(server.error(&["MODULE", "LOAD", path]).starts_with("ERR Error loading the extension"));
    }
    assert_eq!(server.ask("RL.FIXED k 9 1h")[6], 3);
}

#[test]
fn a_server_that_has_renamed_a_needed_command_is_told_which() {
    for command in [
        "EXISTS",
        "HDEL",
        "HRANDFIELD",
        "HSET",
        "PEXPIREAT",
        "SET",
        "UNLINK",
        "ZADD",
        "ZCOUNT",
        "ZREM",
        "ZREMRANGEBYRANK",
        "ZREMRANGEBYSCORE",
    ] {
        for other in ["\"\"", "something-else"] {
            let log =
                Server::builder().config("rename-command", &format!("{command} {other}")).try_start().err();
            let log = log.unwrap_or_else(|| panic!("without {command} it loads"));
            let reason = format!(
                "redis-limiter does not load: it needs the command {command}, which this server has renamed or left out"
            );
            assert!(log.contains(&reason), "{command}:\n{log}");
            assert!(!log.contains("BUG REPORT"), "{command}:\n{log}");
        }
    }
    // What it does not need may go.
    let server = Server::builder().config("rename-command", "FLUSHALL \"\"").start();
    assert_eq!(server.ask("RL.FIXED k 9 1h")[0], 1);
}

/// `used_memory`, once nothing else is under way.
fn used_memory(server: &Server) -> i64 {
    let read = || server.info_field("memory", "used_memory").unwrap().parse::<i64>().unwrap();
    (0..20).map(|_| read()).min().unwrap()
}

/// No server keeps anything of a cycle itself, tried with a module that does nothing; this is slack for its own work.
const LOST_IN_A_CYCLE: i64 = 500;

#[test]
fn loading_again_and_again_loses_no_memory() {
    let server = Server::start();
    let (_, _, path, _) = listed(&server);
    let cycle = || {
        // What the module keeps for itself is there when it goes.
        for call in
            ["RL.FIXED k 9 1h", "RL.FIXED k 9 1h AS name", "RL.SLIDINGLOG l 9 1h", "CL.THROTTLE t 9 1 60"]
        {
            server.ask_value(call);
        }
        server.ask_value("DEL k l t");
        server.ask_value("MODULE UNLOAD rl");
        server.call(&["MODULE", "LOAD", &path]).unwrap();
    };
    (0..5).for_each(|_| cycle());
    let before = used_memory(&server);
    (0..20).for_each(|_| cycle());
    let lost = (used_memory(&server) - before) / 20;
    assert!(lost <= LOST_IN_A_CYCLE, "{lost} bytes are lost in each cycle");
}

#[test]
fn loading_adds_no_line_to_the_log_but_the_loaders_own() {
    let server = Server::start();
    let (_, _, path, _) = listed(&server);
    let before = log(&server).len();
    server.ask_value("MODULE UNLOAD rl");
    server.call(&["MODULE", "LOAD", &path]).unwrap();
    server.ask("RL.FIXED k 9 1h");
    let log = log(&server);
    // Valkey's own word on modules made for both.
    let said: Vec<&str> =
        log[before..].lines().filter(|line| !line.contains("Legacy Redis Module ")).collect();
    let of_the_loader = said.iter().filter(|line| line.contains("Module 'rl' loaded from")).count();
    let of_the_unloader = said.iter().filter(|line| line.contains("rl unloaded")).count();
    assert_eq!((of_the_loader, of_the_unloader, said.len()), (1, 1, 2), "{said:#?}");
    assert!(!log.to_lowercase().contains("defrag"), "{log}");
}

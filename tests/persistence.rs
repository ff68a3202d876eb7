//! Persistence: a server that was stopped, or killed, goes on as if it had not been.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use redis::Value;

use crate::support::{
    Builder, START, Server, State, Traffic, eventually, frozen, parse_commands, purge, words,
};

const RDB: &[(&str, &str)] = &[];
const AOF: &[(&str, &str)] = &[("appendonly", "yes"), ("aof-use-rdb-preamble", "no")];
const AOF_WITH_PREAMBLE: &[(&str, &str)] = &[("appendonly", "yes"), ("aof-use-rdb-preamble", "yes")];
const ALWAYS: &[(&str, &str)] = &[("appendonly", "yes"), ("appendfsync", "always")];

fn with_settings(settings: &[(&str, &str)]) -> Builder {
    settings.iter().fold(Server::builder(), |builder, (name, value)| builder.config(name, value))
}

/// A server that is stopped and started, and one on the same clock that runs on and is sent the same.
struct Twins {
    stopped: Server,
    running: Server,
    traffic: Traffic,
}

impl Twins {
    /// The server that will be stopped is built so.
    fn start(seed: u64, stopped: Builder) -> Self {
        let running = frozen();
        let stopped = stopped.clock(&running.clock).start();
        let traffic = Traffic::new(seed).with_steps_back();
        traffic.prepare(&running);
        traffic.prepare(&stopped);
        Self { stopped, running, traffic }
    }

    /// Sends both the same; they answer the same.
    #[track_caller]
    fn run(&mut self, calls: usize) {
        for _ in 0..calls {
            // What has expired goes from both now, lest a step back revives it on one.
            self.purge();
            let replies = self.traffic.run_one(&[&self.running, &self.stopped]);
            assert_eq!(replies[0], replies[1]);
        }
    }

    fn purge(&self) {
        let keys = Traffic::keys();
        purge(&self.running, &keys);
        purge(&self.stopped, &keys);
    }

    /// They hold the same.
    #[track_caller]
    fn compare(&self) {
        self.purge();
        assert_eq!(State::of(&self.stopped), State::of(&self.running));
    }

    /// Traffic, a stop, which takes a while on the clock, and a start; several times.
    #[track_caller]
    fn survive(&mut self, mut stop: impl FnMut(&mut Self)) {
        for pause in [700, 30_000] {
            self.run(80);
            stop(self);
            self.running.clock.advance(Duration::from_millis(pause));
            self.stopped.start_again();
            self.compare();
        }
        self.run(80);
        self.compare();
    }

    fn rewrite_is_under_way(&self) -> bool {
        let is = |field, value| self.stopped.info_field("persistence", field).as_deref() == Some(value);
        is("aof_rewrite_in_progress", "1") || is("aof_rewrite_scheduled", "1")
    }
}

/// A folder for a server's files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The part of an append-only file that grows with each write.
fn growing_file(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("appendonlydir")).unwrap();
    let mut growing =
        files.map(|file| file.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
    growing.next().unwrap()
}

#[test]
fn a_dump_brings_everything_back() {
    Twins::start(1, with_settings(RDB)).survive(|twins| twins.stopped.shutdown_save());
}

#[test]
fn an_append_only_file_brings_everything_back() {
    Twins::start(2, with_settings(AOF)).survive(|twins| twins.stopped.shutdown_nosave());
}

#[test]
fn a_rewritten_append_only_file_brings_everything_back() {
    for settings in [AOF, AOF_WITH_PREAMBLE] {
        Twins::start(3, with_settings(settings)).survive(|twins| {
            twins.stopped.ask_value("BGREWRITEAOF");
            eventually(Duration::from_secs(20), || !twins.rewrite_is_under_way());
            twins.run(20);
            twins.stopped.shutdown_nosave();
        });
    }
}

#[test]
fn a_rewrite_under_load_loses_nothing() {
    for preamble in ["no", "yes"] {
        let builder = with_settings(ALWAYS).config("aof-use-rdb-preamble", preamble);
        // The child that rewrites takes its time, so that calls come meanwhile.
        let builder = builder.config("rdb-key-save-delay", "1000");
        Twins::start(4, builder).survive(|twins| {
            twins.stopped.ask_value("BGREWRITEAOF");
            eventually(Duration::from_secs(20), || {
                twins.run(10);
                !twins.rewrite_is_under_way()
            });
            twins.stopped.kill9();
        });
    }
}

#[test]
fn a_kill_in_the_middle_of_a_rewrite_loses_nothing() {
    let builder = with_settings(ALWAYS).config("rdb-key-save-delay", "100000");
    Twins::start(5, builder).survive(|twins| {
        twins.stopped.ask_value("BGREWRITEAOF");
        twins.run(20);
        twins.stopped.kill9();
    });
}

#[test]
fn a_kill_loses_nothing_with_appendfsync_always() {
    Twins::start(6, with_settings(ALWAYS)).survive(|twins| twins.stopped.kill9());
}

#[test]
fn a_reload_in_place_changes_nothing() {
    let mut twins = Twins::start(7, with_settings(AOF_WITH_PREAMBLE));
    for _ in 0..3 {
        twins.run(100);
        twins.stopped.ask_value("DEBUG RELOAD");
        twins.compare();
        twins.run(100);
        twins.stopped.ask_value("DEBUG LOADAOF");
        twins.compare();
    }
}

#[test]
fn the_longest_debt_survives() {
    for settings in [AOF, AOF_WITH_PREAMBLE] {
        let mut server = with_settings(settings).start();
        server.clock.freeze(START);
        // 10^12 units that leave one by one, every ten years: longer than durations can tell.
        let call = "RL.LEAKYBUCKET k 10 1 3660d COST 1000000000000 FORCE";
        assert_eq!(server.ask(call)[4], (1 << 53) - 1);
        let state = State::of(&server);
        server.restart();
        assert_eq!(State::of(&server), state);
        server.ask_value("DEBUG RELOAD");
        assert_eq!(State::of(&server), state);
        assert_eq!(server.ask(call)[6], 2_000_000_000_000);
    }
}

#[test]
fn every_acknowledged_charge_survives_a_kill_and_no_call_survives_by_half() {
    const CLIENTS: i64 = 4;
    let call = "RL.ALL a FIXED 1000000000000 30d AS x TOKENBUCKET 1000000000000 1 30d KEY b FIXED 1000000000000 30d \
                KEY l SLIDINGLOG 1000000000000 30d";
    let mut server = with_settings(ALWAYS).start();
    server.clock.freeze(START);
    let mut acknowledged = 0;
    for _ in 0..4 {
        let answered = AtomicI64::new(0);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let mut connection = server.connection();
                let answered = &answered;
                scope.spawn(move || {
                    let mut command = redis::Cmd::new();
                    command.arg(words(call));
                    while command.query::<Value>(&mut connection).is_ok() {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            eventually(Duration::from_secs(20), || answered.load(Ordering::SeqCst) > 100);
            server.kill9();
        });
        server.start_again();
        let limits = server.ask_several(&call.replace("RL.ALL", "RL.PEEK")).limits;
        let used = limits[0][6];
        assert!(limits.iter().all(|limit| limit[6] == used), "{limits:?}");
        let sure = acknowledged + answered.into_inner();
        assert!((sure..=sure + CLIENTS).contains(&used), "{sure} acknowledged, {used} found");
        acknowledged = used;
    }
}

#[test]
fn an_append_only_file_that_was_cut_off_holds_whole_calls() {
    let folder = Folder::new("cut");
    let mut server = with_settings(AOF).dir(&folder.0).start();
    server.clock.freeze(START);
    server.ask("RL.FIXED a 10 1h");
    let before = State::of(&server);
    let file = growing_file(&folder.0);
    let whole = |server: &Server| {
        eventually(Duration::from_secs(10), || {
            server.info_field("persistence", "aof_buffer_length").as_deref() == Some("0")
        });
        fs::metadata(&file).unwrap().len()
    };
    let length_before = whole(&server);
    server.ask_several(
        "RL.ALL a FIXED 10 1h TOKENBUCKET 10 10 1m KEY b SLIDINGCOUNTER 10 1h KEY l SLIDINGLOG 10 1h COST 3",
    );
    let after = State::of(&server);
    let length = whole(&server);
    server.shutdown_nosave();
    let bytes = fs::read(&file).unwrap();
    assert!(length - length_before > 200);
    for cut in (length_before..length).step_by(23).chain([length - 1, length]) {
        fs::write(&file, &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        server.start_again();
        assert_eq!(State::of(&server), *if cut < length { &before } else { &after }, "cut at {cut}");
        server.shutdown_nosave();
    }
}

#[test]
fn an_append_only_file_holds_effects_alone_and_nothing_of_what_charges_nothing() {
    let server = with_settings(AOF).config("appendfsync", "always").start();
    server.clock.freeze(START);
    // What expired, the server would remove at any time, with a DEL in the file.
    server.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
    let mut traffic = Traffic::new(8).with_steps_back();
    traffic.run(&server, 400);
    let file = growing_file(server.dir());
    for command in parse_commands(&fs::read(&file).unwrap()) {
        let name = command.split(' ').next().unwrap();
        let effects = ["HSET", "HDEL", "ZADD", "ZREM", "ZREMRANGEBYRANK", "UNLINK", "PEXPIREAT", "SET"];
        assert!(effects.contains(&name) || ["SELECT", "MULTI", "EXEC", "DEL"].contains(&name), "{command}");
    }
    server.ask("RL.FIXED k 3 30d COST 3");
    let length = || fs::metadata(&file).unwrap().len();
    let before = length();
    for silent in ["RL.FIXED k 3 30d", "RL.FIXED k 3 30d COST 0", "RL.PEEK k FIXED 3 30d", "RL.FIXED k 3"] {
        let _ = server.reply_to(silent);
    }
    assert_eq!(length(), before);
    server.ask("RL.FIXED k 4 30d");
    assert!(length() > before);
}

#[test]
fn dumps_and_append_only_files_load_without_the_module() {
    for (name, settings) in [("bare-rdb", RDB), ("bare-aof", AOF), ("bare-both", AOF_WITH_PREAMBLE)] {
        let folder = Folder::new(name);
        let mut twins = Twins::start(9, with_settings(settings).dir(&folder.0));
        twins.run(300);
        if settings == AOF_WITH_PREAMBLE {
            twins.stopped.ask_value("BGREWRITEAOF");
            eventually(Duration::from_secs(20), || !twins.rewrite_is_under_way());
            twins.run(100);
        }
        twins.stopped.shutdown_save();
        let with_or_without = |builder: Builder| builder.clock(&twins.running.clock).dir(&folder.0).start();
        twins.stopped = with_or_without(with_settings(settings).without_module());
        assert!(twins.stopped.ask_error("RL.FIXED k 10 1s").starts_with("ERR unknown command"));
        twins.compare();
        // And what that server leaves is as good as ours.
        twins.stopped.shutdown_save();
        twins.stopped = with_or_without(with_settings(settings));
        twins.run(150);
        twins.compare();
    }
}

#[test]
fn unloading_the_module_leaves_plain_data_and_loading_it_goes_on() {
    let mut twins = Twins::start(10, Server::builder());
    let library = PathBuf::from(twins.stopped.module_library());
    let folder = Folder::new("library");
    let newer = folder.0.join("newer.so");
    fs::copy(&library, &newer).unwrap();
    for library in [&newer, &library, &newer] {
        twins.run(200);
        twins.stopped.ask_value("MODULE UNLOAD rl");
        twins.compare();
        assert!(twins.stopped.ask_error("RL.FIXED k 10 1s").starts_with("ERR unknown command"));
        twins.running.clock.advance(Duration::from_secs(2));
        twins.stopped.call(&["MODULE", "LOAD", library.to_str().unwrap()]).unwrap();
        twins.compare();
    }
    twins.run(200);
    twins.compare();
}

#[test]
fn a_month_outlives_a_stop_and_ends_when_it_would_have() {
    const MONTH: [&str; 2] =
        ["RL.FIXED month 9 1mo ALIGN OFFSET -9h", "RL.FIXED month 9 3mo ALIGN AS quarter"];
    for (settings, saves) in [(RDB, true), (AOF, false)] {
        let mut server = with_settings(settings).start();
        server.clock.freeze(START);
        for call in MONTH {
            assert_eq!(server.ask(&format!("{call} COST 9"))[0], 1);
        }
        let before = State::of(&server);
        if saves {
            server.shutdown_save()
        } else {
            server.shutdown_nosave()
        }
        server.clock.advance(Duration::from_secs(3600));
        server.start_again();
        assert_eq!(State::of(&server), before);
        // Of November 2025 there are seven days and some hours left.
        let november_ms = (1_764_547_200_000_000 - START) / 1000 - 3_600_000;
        assert_eq!(server.ask(MONTH[0])[..4], [0, 9, 0, november_ms - 9 * 3_600_000]);
        assert_eq!(server.ask(MONTH[1])[..4], [0, 9, 0, november_ms + 31 * 86_400_000]);
        server.pass_ms(november_ms.unsigned_abs());
        assert_eq!([server.ask(MONTH[0])[6], server.ask(MONTH[1])[6]], [1, 9]);
    }
}

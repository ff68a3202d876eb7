//! The harness itself: its servers start, stop, come back, and live on the clock they are given.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use redis::Value;

use crate::support::{Clock, Server, eventually};

const NOON: i64 = 1_763_900_000_000_000;

fn bare() -> Server {
    Server::builder().without_module().start()
}

/// What the server takes for now, in microseconds.
fn time_us(server: &Server) -> i64 {
    let Value::Array(parts) = server.call(&["TIME"]).unwrap() else { panic!("TIME answers an array") };
    let part = |index: usize| redis::from_redis_value::<i64>(parts[index].clone()).unwrap();
    part(0) * 1_000_000 + part(1)
}

fn is_near(server: &Server, us: i64) -> bool {
    (time_us(server) - us).abs() < 5_000_000
}

#[test]
fn a_server_starts_on_the_real_time() {
    let server = bare();
    assert!(is_near(&server, Clock::new().now_us()));
}

#[test]
fn a_frozen_clock_moves_only_when_told() {
    let server = bare();
    server.clock.freeze(NOON);
    assert_eq!(time_us(&server), NOON);
    assert_eq!(time_us(&server), NOON);
    server.clock.advance(Duration::from_micros(1));
    assert_eq!(time_us(&server), NOON + 1);
    server.clock.step_back(Duration::from_secs(60));
    assert_eq!(time_us(&server), NOON + 1 - 60_000_000);
    assert_eq!(server.clock.now_us(), NOON + 1 - 60_000_000);
}

#[test]
fn a_running_clock_moves_both_ways() {
    let server = bare();
    let real = server.clock.now_us();
    server.clock.advance(Duration::from_secs(3600));
    assert!(is_near(&server, real + 3_600_000_000));
    server.clock.step_back(Duration::from_secs(7200));
    assert!(is_near(&server, real - 3_600_000_000));
    server.clock.set_offset(0);
    assert!(is_near(&server, real));
}

#[test]
fn a_frozen_clock_runs_on_from_where_it_stands() {
    let server = bare();
    server.clock.freeze(NOON);
    server.clock.run();
    eventually(Duration::from_secs(10), || time_us(&server) > NOON);
    assert!(is_near(&server, NOON));
}

#[test]
fn keys_expire_by_the_given_clock() {
    let server = bare();
    server.clock.freeze(NOON);
    server.call(&["SET", "k", "v", "PX", "1000"]).unwrap();
    server.clock.advance(Duration::from_millis(999));
    assert_eq!(server.call(&["PTTL", "k"]).unwrap(), Value::Int(1));
    server.clock.advance(Duration::from_millis(2));
    assert_eq!(server.call(&["GET", "k"]).unwrap(), Value::Nil);
}

#[test]
fn a_restart_keeps_port_clock_and_what_was_saved() {
    let mut server = bare();
    let port = server.port();
    server.clock.freeze(NOON);
    server.call(&["SET", "saved", "1"]).unwrap();
    server.shutdown_save();
    server.start_again();
    assert_eq!((server.port(), time_us(&server)), (port, NOON));
    server.call(&["SET", "unsaved", "1"]).unwrap();
    server.restart();
    assert_eq!(server.call(&["EXISTS", "saved", "unsaved"]).unwrap(), Value::Int(1));
}

#[test]
fn an_append_only_file_survives_a_kill() {
    let mut server = Server::builder()
        .without_module()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .start();
    server.call(&["SET", "k", "v"]).unwrap();
    let digest = server.digest();
    server.kill9();
    server.start_again();
    assert_eq!(server.digest(), digest);
}

#[test]
fn a_replica_follows_on_the_same_clock() {
    let primary = bare();
    let replica = Server::builder().without_module().clock(&primary.clock).replica_of(&primary).start();
    primary.clock.freeze(NOON);
    assert_eq!((time_us(&primary), time_us(&replica)), (NOON, NOON));
    let before = primary.replication_offset();
    primary.call(&["SET", "k", "v", "PX", "1000"]).unwrap();
    assert!(primary.replication_offset() > before);
    replica.catch_up(&primary);
    assert_eq!(replica.digest(), primary.digest());
    assert_eq!(replica.expiries(), primary.expiries());
    assert_eq!(primary.expiries(), [(b"k".to_vec(), NOON / 1000 + 1000)].into());
    // A day's jump parts them no more than a day's quiet.
    primary.clock.advance(Duration::from_secs(86_400));
    primary.call(&["SET", "k", "w"]).unwrap();
    replica.catch_up(&primary);
}

#[test]
fn replies_are_what_the_server_sent() {
    let server = bare();
    let key = [b'k', 0, 0xff, b'\r', b'\n'];
    server.call(&[b"RPUSH".as_slice(), &key, b"1"]).unwrap();
    assert_eq!(server.call(&[b"EXISTS".as_slice(), &key]).unwrap(), Value::Int(1));
    assert_eq!(
        server.error(&[b"GET".as_slice(), &key]),
        "WRONGTYPE Operation against a key holding the wrong kind of value"
    );
    assert_eq!(server.error(&["SET", "k"]), "ERR wrong number of arguments for 'set' command");
    assert_eq!(server.ints(&["LPOS", "none", "1", "COUNT", "0"]), [0_i64; 0]);
    assert_eq!(server.ints(&["BITFIELD", "bits", "SET", "u8", "0", "7", "GET", "u8", "0"]), [0, 7]);
    assert!(matches!(redis::cmd("HELLO").query(&mut server.connection_resp3()), Ok(Value::Map(_))));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let result = Server::builder().without_module().config("no-such-setting", "1").try_start();
    assert!(result.err().unwrap().contains("no-such-setting"));
}

#[test]
fn a_server_outlives_the_thread_that_started_it_but_not_its_handle() {
    let server = std::thread::spawn(bare).join().unwrap();
    let port = server.port();
    assert_eq!(server.text(&["PING"]), "PONG");
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A file that no `mod` names would be neither built nor missed.
#[test]
fn every_file_of_tests_is_part_of_the_suite() {
    let mut files = 0;
    for (folder, root) in [("", "main"), ("ha", "mod"), ("models", "mod"), ("support", "mod")] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
        let modules = fs::read_to_string(folder.join(root).with_extension("rs")).unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name != root && path.extension() != Some("c".as_ref()) {
                assert!(modules.contains(&format!("mod {name};\n")), "{} is in no module", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 40, "{files}");
}

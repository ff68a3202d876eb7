//! Commands through a connection, sixteen at a time, beside native commands and Lua. `RL_TEST_SERVER` names the server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "a bench fails by panicking; criterion's macros have no docs"
)]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests' harness, of which a bench uses a part")]
mod support;

use std::panic;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redis::{Cmd, Connection, Pipeline, Value};
use support::Server;

const KEYS: usize = 1000;
const PIPELINED: usize = 16;

const NATIVE: [(&str, &str); 3] =
    [("HSET of two fields", "HSET {} a 1 b 2"), ("INCR", "INCR {}"), ("SET PX", "SET {} 1 PX 60000")];

const LIMITERS: [(&str, &str); 8] = [
    ("RL.FIXED", "RL.FIXED {} 1000000 1h"),
    ("RL.TOKENBUCKET", "RL.TOKENBUCKET {} 1000000 1000 1s"),
    ("RL.TOKENBUCKET, denied", "RL.TOKENBUCKET {} 1 1 1d"),
    ("RL.LEAKYBUCKET", "RL.LEAKYBUCKET {} 1000000 1000 1s"),
    ("RL.SLIDINGCOUNTER", "RL.SLIDINGCOUNTER {} 1000000 1h"),
    ("RL.SLIDINGLOG", "RL.SLIDINGLOG {} 1000000 1s"),
    ("RL.PEEK", "RL.PEEK {} TOKENBUCKET 1000000 1000 1s"),
    ("RL.ALL of three", "RL.ALL {} FIXED 1000000 1m FIXED 1000000 1h TOKENBUCKET 1000000 1000 1s"),
];

const LUA: [(&str, &str, &str); 3] = [
    ("Lua fixed_window", include_str!("lua/fixed_window.lua"), "1000000 3600000 1"),
    ("Lua token_bucket", include_str!("lua/token_bucket.lua"), "1000000 1000 1000 1"),
    ("Lua sliding_log", include_str!("lua/sliding_log.lua"), "1000000 1000 1"),
];

fn server(criterion: &mut Criterion) {
    let started = panic::catch_unwind(|| Server::builder().without_clock().try_start());
    let server = match started {
        Ok(Ok(server)) => server,
        Ok(Err(log)) => return println!("No server bench: the server did not start with the module:\n{log}"),
        Err(_) => return println!("No server bench: no server or no module was found."),
    };
    let mut connection = server.connection();
    let mut group = criterion.benchmark_group("server");
    group.throughput(Throughput::Elements(u64::try_from(PIPELINED).unwrap()));
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));

    let mut lines: Vec<(&str, String)> =
        NATIVE.iter().chain(&LIMITERS).map(|(name, line)| (*name, (*line).into())).collect();
    for (name, script, arguments) in LUA {
        let sha: String = Cmd::new().arg("SCRIPT").arg("LOAD").arg(script).query(&mut connection).unwrap();
        lines.push((name, format!("EVALSHA {sha} 1 {{}} {arguments}")));
    }
    for (name, line) in lines {
        let pipelines = pipelines(name, &line);
        let mut next = pipelines.iter().cycle();
        group.bench_function(name, |bencher| bencher.iter(|| ask(&mut connection, next.next().unwrap())));
    }
    group.finish();
}

/// `line` for every key, in pipelines; its keys are its own.
fn pipelines(name: &str, line: &str) -> Vec<Pipeline> {
    let numbers: Vec<usize> = (0..KEYS).collect();
    let prefix = name.replace(' ', "-");
    numbers
        .chunks_exact(PIPELINED)
        .map(|numbers| {
            let mut pipeline = redis::pipe();
            for number in numbers {
                let key = format!("{prefix}:{number}");
                let mut command = Cmd::new();
                for word in line.split(' ') {
                    command.arg(if word == "{}" { &key } else { word });
                }
                pipeline.add_command(command);
            }
            pipeline
        })
        .collect()
}

fn ask(connection: &mut Connection, pipeline: &Pipeline) -> Vec<Value> {
    pipeline.query(connection).unwrap()
}

criterion_group!(benches, server);
criterion_main!(benches);

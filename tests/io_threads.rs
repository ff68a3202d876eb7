//! IO threads: the load under which Redis 8.6 died of modules that it asks for keys on them.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Server, State, purge};

/// redis-benchmark beside the server that is tested, else the installed one.
fn benchmark() -> Command {
    let beside = std::env::var_os("RL_TEST_SERVER")
        .map(|server| PathBuf::from(server).with_file_name("redis-benchmark"));
    Command::new(beside.filter(|path| path.is_file()).unwrap_or_else(|| "redis-benchmark".into()))
}

#[test]
fn calls_of_several_keys_on_io_threads_leave_the_server_alive() {
    let primary = Server::builder().config("io-threads", "4").config("appendonly", "yes").start();
    let replica = Server::builder().clock(&primary.clock).replica_of(&primary).start();
    for (call, count) in [
        "RL.ALL k__rand_int__ FIXED 1000000000 1h KEY j__rand_int__ TOKENBUCKET 1000000 5 1s",
        "RL.PEEK k__rand_int__ FIXED 1000000000 1h KEY j__rand_int__ TOKENBUCKET 1000000 5 1s",
        "RL.FIXED k__rand_int__ 1000000000 1h",
        "RL.FIXED g__rand_int__ 1000000000 1h BLOCK b__rand_int__ 1ms OVERRIDE o__rand_int__",
        "RL.FIXED g__rand_int__ 0 1h COST 0 BLOCK b__rand_int__ 1ms",
        "RL.SLIDINGLOG d__rand_int__ 3 100ms BLOCK b__rand_int__ 5ms",
        "RL.ALL g__rand_int__ FIXED 1000000000 1h BLOCK b__rand_int__ 1ms KEY t__rand_int__ TOKENBUCKET 1000000 5 1s OVERRIDE o__rand_int__",
        "RL.PEEK g__rand_int__ FIXED 1000000000 1h BLOCK b__rand_int__ 1ms OVERRIDE o__rand_int__",
    ]
    .into_iter()
    .zip(["30000"; 3].into_iter().chain(["8000"; 5]))
    {
        let output = benchmark()
            .args(["-p", &primary.port().to_string(), "-c", "16", "-P", "8", "-r", "30", "-n", count, "-q"])
            .args(call.split(' '))
            .output()
            .unwrap(); // `make test` installs it.
        assert!(output.status.success(), "{call}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(primary.text(&["PING"]), "PONG", "{call}");
    }
    let counted: i64 =
        (0..30).map(|number| primary.ask(&format!("RL.FIXED k{number:012} 1000000000 1h COST 0"))[6]).sum();
    assert_eq!(counted, 60_000, "each call is counted once");
    // Blocks of some milliseconds are gone soon.
    let blocks: Vec<String> = (0..30).map(|number| format!("b{number:012}")).collect();
    primary.pass_ms(1000);
    purge(&primary, &blocks);
    replica.catch_up(&primary);
    assert_eq!(State::of(&replica), State::of(&primary));
}

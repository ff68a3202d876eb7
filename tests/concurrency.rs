//! Transactions, scripts, pipelines and many clients at once: a limit is a limit for all of them together.

use std::collections::BTreeSet;
use std::thread;

use redis::Value;

use crate::support::{START, Server, frozen, words};

/// A call of each algorithm, on `k`, with limit 100.
const LIMITERS: [&str; 6] = [
    "RL.TOKENBUCKET k 100 1 1h",
    "RL.LEAKYBUCKET k 100 1 1h",
    "RL.FIXED k 100 1h",
    "RL.FIXED k 100 1h ALIGN",
    "RL.SLIDINGCOUNTER k 100 1h",
    "RL.SLIDINGLOG k 100 1h",
];

fn command(line: &str) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    for word in words(line) {
        command.arg(word);
    }
    command
}

/// `line` as a Lua script would call it.
fn in_lua(line: &str) -> String {
    let quoted: Vec<String> = words(line).iter().map(|word| format!("'{word}'")).collect();
    format!("redis.call({})", quoted.join(", "))
}

/// The log's scores, oldest first, in µs.
fn scores(server: &Server) -> Vec<i64> {
    let members = server.ask_texts("ZRANGE k 0 -1 WITHSCORES");
    members.chunks(2).map(|pair| pair[1].parse().unwrap()).collect()
}

#[test]
fn calls_of_one_transaction_are_charged_one_after_the_other() {
    let server = frozen();
    let mut connection = server.connection();
    for line in LIMITERS {
        let mut transaction = redis::pipe();
        transaction.atomic();
        for options in ["COST 60", "COST 41", "COST 40", "COST -1", "COST 0", "PARTIAL", "FORCE"] {
            transaction.add_command(command(&format!("{line} {options}")));
        }
        transaction.add_command(command("DEL k"));
        let replies: Vec<Value> = transaction.query(&mut connection).unwrap();
        let sevens: Vec<Vec<i64>> = replies[..7]
            .iter()
            .map(|reply| redis::from_redis_value::<Vec<i64>>(reply.clone()).unwrap())
            .collect();
        let outcomes: Vec<(i64, i64)> = sevens.iter().map(|seven| (seven[0], seven[6])).collect();
        assert_eq!(outcomes, [(1, 60), (0, 60), (1, 100), (1, 99), (1, 99), (1, 100), (0, 101)], "{line}");
    }
}

#[test]
fn an_error_in_a_transaction_spoils_no_other_call_of_it() {
    let server = frozen();
    server.ask_value("SET text x");
    let mut connection = server.connection();
    command("MULTI").exec(&mut connection).unwrap();
    for line in
        ["RL.FIXED k 9 1h COST 2", "RL.FIXED text 9 1h", "RL.FIXED k 9 1h nonsense", "RL.FIXED k 9 1h"]
    {
        command(line).exec(&mut connection).unwrap();
    }
    // The client tells of the first of the two errors.
    let error = command("EXEC").query::<Value>(&mut connection).unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert_eq!(server.ask("RL.FIXED k 9 1h COST 0")[6], 3);
}

#[test]
fn entries_of_one_transaction_or_script_have_instants_of_their_own() {
    let server = frozen();
    let mut connection = server.connection();
    let line = "RL.SLIDINGLOG k 100 1h";
    let mut transaction = redis::pipe();
    transaction.atomic();
    for _ in 0..5 {
        transaction.add_command(command(line));
    }
    let _: Vec<Value> = transaction.query(&mut connection).unwrap();
    let script = format!("for i = 1, 5 do {} end", in_lua(line));
    server.call(&["EVAL", &script, "1", "k"]).unwrap();
    assert_eq!(scores(&server), (START..START + 10).collect::<Vec<_>>());
    assert_eq!(server.ask("RL.SLIDINGLOG k 100 1h COST 0")[6], 10);
}

#[test]
fn time_stands_still_in_a_transaction_and_in_a_script_where_the_server_tells_it() {
    let server = Server::start();
    let line = "RL.SLIDINGLOG k 100 1h";
    let mut connection = server.connection();
    let mut transaction = redis::pipe();
    transaction.atomic();
    transaction.add_command(command(line)).add_command(command("DEBUG SLEEP 0.003"));
    transaction.add_command(command(line)).add_command(command("DEBUG SLEEP 0.003"));
    transaction.add_command(command(line));
    let _: Vec<Value> = transaction.query(&mut connection).unwrap();
    let in_transaction = scores(&server);

    server.ask_value("DEL k");
    let call = in_lua(line);
    // Some milliseconds' work: not every server's scripts have a clock.
    let script = format!("{call} local n = 0 for i = 1, 2000000 do n = n + i end {call} return 1");
    server.call(&["EVAL", &script, "1", "k"]).unwrap();
    let in_script = scores(&server);

    let (start, began) = (in_transaction[0], in_script[0]);
    if server.has().command_time {
        assert_eq!(in_transaction, [start, start + 1, start + 2]);
        assert_eq!(in_script, [began, began + 1]);
    } else {
        // There it is the system's clock, which goes on.
        assert!(in_transaction.is_sorted_by(|earlier, later| later - earlier >= 3000), "{in_transaction:?}");
        assert!(in_script[1] - began > 100, "{in_script:?}");
    }
}

#[test]
fn scripts_call_every_command() {
    let server = frozen();
    for line in LIMITERS {
        server.ask_value("DEL k");
        let plain = server.ask(line);
        server.ask_value("DEL k");
        for evaluate in ["EVAL", "EVALSHA", "FCALL"] {
            let script = format!("return {}", in_lua(line));
            let argument = match evaluate {
                "EVALSHA" => server.text(&["SCRIPT", "LOAD", &script]),
                "FCALL" => {
                    let library =
                        format!("#!lua name=l\nredis.register_function('f', function() {script} end)");
                    server.call(&["FUNCTION", "LOAD", "REPLACE", &library]).unwrap();
                    "f".to_owned()
                }
                _ => script,
            };
            assert_eq!(server.ints(&[evaluate, &argument, "1", "k"]), plain, "{evaluate} {line}");
            server.ask_value("DEL k");
        }
        // The words may be numbers of the script.
        let call = format!("return redis.call('{}', KEYS[1]", words(line)[0]);
        let rest: Vec<String> = words(line)[2..]
            .iter()
            .map(|word| if word.parse::<i64>().is_ok() { (*word).to_owned() } else { format!("'{word}'") })
            .collect();
        assert_eq!(
            server.ints(&["EVAL", &format!("{call}, {})", rest.join(", ")), "1", "k"]),
            plain,
            "{line}"
        );
    }
    server.ask_value("DEL k");
    for script in [
        "return redis.call('RL.ALL', KEYS[1], 'FIXED', 9, '1h', 'FIXED', 9, '1m')[1]",
        "return redis.call('RL.PEEK', KEYS[1], 'FIXED', 9, '1h', 'FIXED', 9, '1m')[1]",
        "return redis.call('CL.THROTTLE', KEYS[1], 9, 1, 60)[1] + 1",
        "return redis.call('RL.FIXED', KEYS[1], 1000000000000, '1h', 'COST', 0)[2] == 1e12 and 1",
        "return redis.pcall('RL.FIXED', KEYS[1], 9, '1h', 'nonsense').err and 1",
    ] {
        assert_eq!(server.call(&["EVAL", script, "1", "k"]).unwrap(), Value::Int(1), "{script}");
    }
    assert_eq!(server.ask("RL.FIXED k 9 1h COST 0")[6], 1);
}

#[test]
fn read_only_scripts_may_peek_but_not_charge() {
    let server = frozen();
    let all = "RL.ALL k FIXED 100 1h FIXED 100 1m".to_owned();
    let cell = "CL.THROTTLE k 9 1 60".to_owned();
    let questions = LIMITERS.map(|line| format!("{line} COST 0"));
    for line in LIMITERS.map(String::from).iter().chain(&questions).chain([&all, &cell]) {
        let error = server.error(&["EVAL_RO", &format!("return {}", in_lua(line)), "1", "k"]);
        assert!(error.contains("Write commands are not allowed from read-only scripts"), "{line}: {error}");
        let flagged = format!("#!lua flags=no-writes\nreturn {}", in_lua(line));
        let error = server.error(&["EVAL", &flagged, "1", "k"]);
        assert!(error.contains("Write commands are not allowed from read-only scripts"), "{line}: {error}");
    }
    assert_eq!(server.ask_int("EXISTS k"), 0);
    server.ask("RL.FIXED k 100 1h COST 7");
    let script = format!("return {}[3]", in_lua("RL.PEEK k FIXED 100 1h"));
    assert_eq!(server.ints(&["EVAL_RO", &script, "1", "k"])[6], 7);
}

#[test]
fn a_pipeline_of_ten_thousand_calls_is_answered_in_order() {
    const CALLS: i64 = 10_000;
    let server = frozen();
    let mut connection = server.connection();
    for line in ["RL.TOKENBUCKET k 6000 1 1h", "RL.FIXED k 6000 1h", "RL.SLIDINGLOG k 6000 1h"] {
        let mut pipeline = redis::pipe();
        for _ in 0..CALLS {
            pipeline.add_command(command(line));
        }
        let replies: Vec<Vec<i64>> = pipeline.query(&mut connection).unwrap();
        for (call, seven) in (1..).zip(&replies) {
            let expected = if call <= 6000 { [1, 6000, 6000 - call] } else { [0, 6000, 0] };
            assert_eq!(seven[..3], expected, "call {call} of {line}");
        }
        assert_eq!(replies.len(), 10_000);
        server.ask_value("DEL k");
    }
}

#[test]
fn fifty_clients_together_get_exactly_the_limit() {
    const CLIENTS: usize = 50;
    const CALLS: usize = 40;
    let server = frozen();
    for line in LIMITERS.map(|line| line.replace(" 100 ", " 1000 ")) {
        let granted: Vec<Vec<i64>> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (server, line) = (&server, &line);
                    scope.spawn(move || {
                        let mut connection = server.connection();
                        // Some send one call at a time, some many.
                        let batch = [1, 4, 40][client % 3];
                        let mut remaining = Vec::new();
                        for _ in 0..CALLS / batch {
                            let mut pipeline = redis::pipe();
                            for _ in 0..batch {
                                pipeline.add_command(command(line));
                            }
                            let replies: Vec<Vec<i64>> = pipeline.query(&mut connection).unwrap();
                            remaining
                                .extend(replies.iter().filter(|seven| seven[0] == 1).map(|seven| seven[2]));
                        }
                        remaining
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        // Each of the thousand units went to one of them.
        let all: Vec<i64> = granted.into_iter().flatten().collect();
        assert_eq!(all.len(), 1000, "{line}");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..1000).collect(), "{line}");
        server.ask_value("DEL k");
    }
}

#[test]
fn clients_that_charge_several_limits_get_all_or_none() {
    let server = frozen();
    let line = "RL.ALL a FIXED 300 1h KEY b TOKENBUCKET 500 1 1h KEY c SLIDINGLOG 400 1h COST 2";
    let allowed: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = server.connection();
                    (0..10)
                        .filter(|_| {
                            let reply: Vec<Value> = command(line).query(&mut connection).unwrap();
                            reply[0] == Value::Int(1)
                        })
                        .count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    // The log is the narrowest: 400 by twos.
    assert_eq!(allowed, 200);
    assert_eq!(server.ask("RL.FIXED a 300 1h COST 0")[6], 200);
    assert_eq!(server.ask("RL.TOKENBUCKET b 500 1 1h COST 0")[6], 200);
    assert_eq!(server.ask("RL.SLIDINGLOG c 400 1h COST 0")[6], 400);
}

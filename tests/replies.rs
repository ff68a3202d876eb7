//! Replies byte for byte: the module sends arrays of integers in one piece where it can, and one by one elsewhere. Both
//! must be the same, in every length, on every way to a client.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{START, Server, words};

/// A server on which replies go in one piece, and one on which they go one by one: it lacks the command that the module
/// asks for texts to write on.
fn both() -> [Server; 2] {
    let servers =
        [Server::builder().start(), Server::builder().config("rename-command", "MGET \"\"").start()];
    for server in &servers {
        server.clock.freeze(START);
    }
    if is_known(&servers[0]) {
        assert_eq!(servers.each_ref().map(asks_for_texts), ["0", "1"], "failed calls");
    }
    servers
}

/// Whether the module replies in one piece on this version of a server.
fn is_known(server: &Server) -> bool {
    let info = server.text(&["INFO", "server"]);
    let version_of = |name| info.lines().find_map(|line| line.strip_prefix(name));
    let version = version_of("valkey_version:").or_else(|| version_of("redis_version:")).unwrap();
    ["7.", "8.0.", "8.1.", "8.2."].iter().any(|known| version.starts_with(known))
}

/// How many calls of COMMAND GETKEYS failed, which there was one of when the module was loaded.
fn asks_for_texts(server: &Server) -> String {
    let stats = server.text(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with("cmdstat_command|getkeys:calls=1,")).unwrap();
    line.rsplit("failed_calls=").next().unwrap().into()
}

/// A client that looks at bytes.
struct Wire(TcpStream);

impl Wire {
    fn to(server: &Server) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    /// What answers these lines, sent at once.
    fn ask<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> String {
        let end = "ECHO the-end";
        let mut sent = String::new();
        for line in lines.into_iter().chain([end]) {
            let words = words(line);
            sent += &format!("*{}\r\n", words.len());
            for word in words {
                sent += &format!("${}\r\n{word}\r\n", word.len());
            }
        }
        self.0.write_all(sent.as_bytes()).unwrap();
        let (mut got, end) = (Vec::new(), b"$7\r\nthe-end\r\n");
        while !got.ends_with(end) {
            let mut chunk = [0; 4096];
            let length = self.0.read(&mut chunk).unwrap();
            assert!(length > 0, "the server closed the connection");
            got.extend_from_slice(&chunk[..length]);
        }
        String::from_utf8(got[..got.len() - end.len()].to_vec()).unwrap()
    }
}

/// What both servers answer, which must be the same.
#[track_caller]
fn same(wires: &mut [Wire; 2], lines: &[&str]) -> String {
    let [one_piece, one_by_one] = wires.each_mut().map(|wire| wire.ask(lines.iter().copied()));
    assert_eq!(one_piece, one_by_one, "{lines:?}");
    one_piece
}

#[test]
fn replies_are_the_same_in_one_piece_and_one_by_one() {
    let servers = both();
    let mut wires = servers.each_ref().map(Wire::to);
    let calls = [
        "RL.FIXED fixed 10 1m",
        "RL.FIXED fixed 10 1m COST 9",
        "RL.FIXED fixed 10 1m",
        "RL.FIXED never 0 1m",
        "RL.TOKENBUCKET bucket 100 7 1h COST 33",
        "RL.LEAKYBUCKET queue 100 7 1h COST 33",
        "RL.LEAKYBUCKET queue 100 7 1h",
        "RL.SLIDINGCOUNTER counter 5 1s",
        "RL.SLIDINGLOG log 1 1d",
        "RL.SLIDINGLOG log 1 1d",
        "RL.TOKENBUCKET debt 10 1 1d COST 1000000000000 FORCE",
        "RL.TOKENBUCKET debt 10 1 1d COST 1000000000000 FORCE",
        "CL.THROTTLE cell 15 30 60 1",
        "CL.THROTTLE cell 15 30 60 16",
        "RL.PEEK fixed FIXED 10 1m",
        "RL.ALL all FIXED 10 1s FIXED 1000 1h TOKENBUCKET 90 90 1m KEY other FIXED 100 1h",
        "RL.ALL fixed FIXED 10 1m FIXED 1000 1h KEY log SLIDINGLOG 1 1d",
        "RL.PEEK never FIXED 0 1m FIXED 5 1h AS five",
    ];
    for call in calls {
        let reply = same(&mut wires, &[call]);
        assert!(reply.starts_with('*'), "{call}: {reply}");
    }
    same(&mut wires, &calls);
    same(&mut wires, &["RL.FIXED fixed", "RL.FIXED fixed 10 1m", "RL.FIXED fixed 10 x"]);
}

#[test]
fn sixty_four_limits_are_answered_alike() {
    let servers = both();
    let mut wires = servers.each_ref().map(Wire::to);
    for count in [1, 2, 3, 7, 8, 9, 62, 63, 64] {
        let limits: Vec<_> = (1..=count).map(|hours| format!("FIXED {hours}0000 {hours}h")).collect();
        for command in ["RL.ALL", "RL.PEEK"] {
            let reply = same(&mut wires, &[&format!("{command} k{count} {}", limits.join(" "))]);
            assert!(reply.starts_with(&format!("*{}\r\n:1\r\n:0\r\n*7\r\n", count + 2)), "{reply}");
            assert_eq!(reply.matches("*7\r\n").count(), count);
        }
    }
}

#[test]
fn replies_of_every_length_are_the_same() {
    let servers = both();
    let mut wires = servers.each_ref().map(Wire::to);
    let mut lengths = BTreeSet::new();
    let powers = || (0..=12).map(|digits| 10_i64.pow(digits));
    let mut key = 0;
    for limit in powers().chain([0, 5]) {
        for cost in powers().map(|power| power / 2).chain([1, -1]) {
            for (refill, period) in [("1", "3660d"), ("1", "1s"), ("1000000000000", "1ms")] {
                key += 1;
                for mode in ["FORCE", "PARTIAL", ""] {
                    let bucket = format!("RL.LEAKYBUCKET {key} {limit} {refill} {period} COST {cost} {mode}");
                    lengths.insert(same(&mut wires, &[&bucket]).len());
                }
                let spec = format!("{limit} {refill} {period} COST {cost}");
                let peek = format!("RL.PEEK {key} TOKENBUCKET {spec} LEAKYBUCKET {spec}");
                same(&mut wires, &[&peek]);
            }
        }
    }
    // 107 is none that a text to write on can have.
    let missing: Vec<_> = (45..=107).filter(|length| !lengths.contains(length)).collect();
    assert_eq!(missing, [0_usize; 0], "not tried: lengths among {lengths:?}");
}

#[test]
fn transactions_scripts_and_pipelines_get_the_same() {
    let servers = both();
    let mut wires = servers.each_ref().map(Wire::to);
    same(&mut wires, &["MULTI", "RL.FIXED k 10 1m", "RL.ALL k FIXED 10 1m FIXED 9 1h", "SET x y", "EXEC"]);
    let script = "return{redis.call('RL.FIXED','k','10','1m'),redis.call('RL.PEEK','k','FIXED','10','1m')}";
    let reply = same(&mut wires, &[&format!("EVAL {script} 0")]);
    assert!(reply.starts_with("*2\r\n*7\r\n:1\r\n"), "{reply}");
    let reply = same(&mut wires, &["EVAL return#redis.call('RL.FIXED','k','10','1m') 0"]);
    assert_eq!(reply, ":7\r\n");
    let thousand = vec!["RL.TOKENBUCKET p 1000000 7 1m"; 1000];
    let reply = same(&mut wires, &thousand);
    assert_eq!(reply.matches("*7\r\n").count(), 1000);
}

#[test]
fn resp3_gets_the_same() {
    let servers = both();
    let mut wires = servers.each_ref().map(Wire::to);
    for wire in &mut wires {
        wire.ask(["HELLO 3"]);
    }
    let reply = same(&mut wires, &["RL.FIXED k 10 1m", "RL.PEEK k FIXED 10 1m", "CL.THROTTLE c 15 30 60"]);
    assert!(reply.starts_with("*7\r\n:1\r\n:10\r\n"), "{reply}");
}

#[test]
fn a_client_that_wants_no_reply_gets_none() {
    let servers = both();
    let mut wires = servers.each_ref().map(Wire::to);
    let reply = same(&mut wires, &["CLIENT REPLY SKIP", "RL.FIXED k 10 1m"]);
    assert_eq!(reply, "");
    let reply =
        same(&mut wires, &["RL.FIXED k 10 1m", "CLIENT REPLY OFF", "RL.FIXED k 10 1m", "CLIENT REPLY ON"]);
    assert!(reply.ends_with(":2\r\n+OK\r\n"), "{reply}");
}

#[test]
fn clients_side_by_side_get_their_own_replies() {
    let [server, _] = both();
    let mut wires: Vec<_> = (0..20).map(|_| Wire::to(&server)).collect();
    // All are sent before any is read, so that all replies lie at the server at once.
    for (index, wire) in wires.iter_mut().enumerate() {
        for call in 1..=50 {
            write!(wire.0, "RL.FIXED client:{index} {} 1m\r\n", 100 + call).unwrap();
        }
    }
    for wire in &mut wires {
        let reply = wire.ask(None);
        for (call, part) in (1..).zip(reply.split("*7\r\n").skip(1)) {
            let expected = format!(":1\r\n:{}\r\n:100\r\n:0\r\n:60000\r\n:60000\r\n:{call}\r\n", 100 + call);
            assert_eq!(part, expected);
        }
    }
}

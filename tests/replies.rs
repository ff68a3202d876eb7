//! Replies byte for byte: arrays of integers of every length and sign, on every way to a client, in RESP2 and RESP3.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Server, frozen, words};

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

/// Clients of RESP2 and of RESP3.
fn wires(server: &Server) -> [Wire; 2] {
    let mut wires = [Wire::to(server), Wire::to(server)];
    assert!(wires[1].ask(["HELLO 3"]).starts_with('%'));
    wires
}

/// An array of integers, as it goes over the wire.
fn array(ints: &[i64]) -> String {
    ints.iter().fold(format!("*{}\r\n", ints.len()), |sent, int| sent + &format!(":{int}\r\n"))
}

const DAY_MS: i64 = 86_400_000;

/// What a fixed window of a day answers a first charge by force, and the call.
fn first_of_a_day(key: usize, limit: i64, cost: i64) -> (String, [i64; 7]) {
    let fits = cost <= limit;
    let retry = if fits { 0 } else { -1 };
    let next = if limit == 0 { -1 } else { DAY_MS };
    let reply = [i64::from(fits), limit, (limit - cost).max(0), retry, DAY_MS, next, cost];
    (format!("RL.FIXED {key} {limit} 1d COST {cost} FORCE"), reply)
}

#[test]
fn integers_of_every_length_and_sign_are_written_as_they_are() {
    let server = frozen();
    // Around each power of ten a number gets longer.
    let powers = || (0..12).map(|digits| 10_i64.pow(digits));
    let numbers = || powers().flat_map(|power| [power, power + 1, 10 * power - 1]).chain([1_000_000_000_000]);
    let mut key = 0;
    for mut wire in wires(&server) {
        for limit in numbers().chain([0]) {
            for cost in numbers() {
                key += 1;
                let (call, reply) = first_of_a_day(key, limit, cost);
                assert_eq!(wire.ask([call.as_str()]), array(&reply), "{call}");
            }
        }
        // The longest of all: durations saturate at 2^53 - 1 ms; debt ends at 4 * 10^12.
        let call = "RL.TOKENBUCKET debt 1 1 3660d COST 1000000000000 FORCE";
        let longest = (1 << 53) - 1;
        for debt in 1..=4 {
            let used = debt * 1_000_000_000_000;
            assert_eq!(wire.ask([call]), array(&[0, 1, 0, -1, longest, longest, used]));
        }
        wire.ask(["DEL debt"]);
    }
}

#[test]
fn every_command_answers_in_integers() {
    let server = frozen();
    for mut wire in wires(&server) {
        wire.ask(["FLUSHALL"]);
        for (call, reply) in [
            ("RL.FIXED fixed 10 1m COST 9", array(&[1, 10, 1, 0, 60_000, 60_000, 9])),
            ("RL.FIXED fixed 10 1m COST 2", array(&[0, 10, 1, 60_000, 60_000, 60_000, 9])),
            ("RL.FIXED never 0 1m", array(&[0, 0, 0, -1, 0, -1, 0])),
            ("RL.TOKENBUCKET bucket 100 7 1m COST 33", array(&[1, 100, 67, 0, 282_858, 8572, 33])),
            ("RL.LEAKYBUCKET queue 100 7 1m COST 33", array(&[1, 100, 67, 0, 282_858, 8572, 33])),
            ("RL.LEAKYBUCKET queue 100 7 1m", array(&[1, 100, 66, 282_858, 291_429, 8572, 34])),
            ("RL.SLIDINGLOG log 1 1d", array(&[1, 1, 0, 0, DAY_MS, DAY_MS, 1])),
            ("RL.SLIDINGLOG log 1 1d", array(&[0, 1, 0, DAY_MS, DAY_MS, DAY_MS, 1])),
            ("CL.THROTTLE cell 15 30 60 1", array(&[0, 16, 15, -1, 2])),
            ("CL.THROTTLE cell 15 30 60 16", array(&[1, 16, 15, 2, 2])),
            (
                "RL.PEEK fixed FIXED 10 1m",
                format!("*3\r\n:1\r\n:0\r\n{}", array(&[1, 10, 1, 0, 60_000, 60_000, 9])),
            ),
            (
                "RL.ALL never FIXED 0 1m KEY fixed FIXED 10 1m",
                format!(
                    "*4\r\n:0\r\n:-1\r\n{}{}",
                    array(&[0, 0, 0, -1, 0, -1, 0]),
                    array(&[1, 10, 1, 0, 60_000, 60_000, 9])
                ),
            ),
        ] {
            assert_eq!(wire.ask([call]), reply, "{call}");
        }
        assert!(wire.ask(["RL.FIXED fixed 10 x"]).starts_with("-ERR "));
    }
}

#[test]
fn up_to_sixty_four_limits_are_answered_in_order() {
    let server = frozen();
    for mut wire in wires(&server) {
        wire.ask(["FLUSHALL"]);
        for count in [1, 2, 3, 7, 8, 9, 62, 63, 64] {
            let hours: Vec<i64> = (1..=count).collect();
            let limits: Vec<_> = hours.iter().map(|hours| format!("FIXED {hours}0000 {hours}h")).collect();
            for (command, cost) in [("RL.PEEK", 0), ("RL.ALL", 1)] {
                let call = format!("{command} k{count} {}", limits.join(" "));
                let seven = |hours: &i64| {
                    let (limit, ms) = (hours * 10_000, if cost == 0 { 0 } else { hours * 3_600_000 });
                    array(&[1, limit, limit - cost, 0, ms, ms, cost])
                };
                let inner: String = hours.iter().map(seven).collect();
                assert_eq!(wire.ask([call.as_str()]), format!("*{}\r\n:1\r\n:0\r\n{inner}", count + 2));
            }
        }
    }
}

/// The reply to so many charges of one unit, of ten a minute.
fn of_ten(used: i64) -> String {
    array(&[1, 10, 10 - used, 0, 60_000, 60_000, used])
}

#[test]
fn transactions_scripts_and_pipelines_get_the_same() {
    let server = frozen();
    let mut wire = Wire::to(&server);
    let call = "RL.FIXED k 10 1m";
    let reply = wire.ask(["MULTI", call, "RL.ALL k FIXED 10 1m", "SET x y", "EXEC"]);
    let queued = "+QUEUED\r\n".repeat(3);
    let (one, several) = (of_ten(1), format!("*3\r\n:1\r\n:0\r\n{}", of_ten(2)));
    assert_eq!(reply, format!("+OK\r\n{queued}*3\r\n{one}{several}+OK\r\n"));
    let script = "return{redis.call('RL.FIXED','k','10','1m'),redis.call('RL.PEEK','k','FIXED','10','1m')}";
    let reply = wire.ask([format!("EVAL {script} 0").as_str()]);
    assert_eq!(reply, format!("*2\r\n{}*3\r\n:1\r\n:0\r\n{}", of_ten(3), of_ten(3)));
    assert_eq!(wire.ask(["EVAL return#redis.call('RL.FIXED','k','10','1m') 0"]), ":7\r\n");
    let reply = wire.ask(vec!["RL.FIXED p 1000000 1d"; 1000]);
    let expected = |used| array(&[1, 1_000_000, 1_000_000 - used, 0, DAY_MS, DAY_MS, used]);
    assert_eq!(reply, (1..=1000).map(expected).collect::<String>());
}

#[test]
fn a_client_that_wants_no_reply_gets_none() {
    let server = frozen();
    let mut wire = Wire::to(&server);
    let call = "RL.FIXED k 10 1m";
    assert_eq!(wire.ask(["CLIENT REPLY SKIP", call]), "");
    assert_eq!(
        wire.ask([call, "CLIENT REPLY OFF", call, "CLIENT REPLY ON"]),
        format!("{}+OK\r\n", of_ten(2))
    );
    assert_eq!(wire.ask([call]), of_ten(4));
}

#[test]
fn clients_side_by_side_get_their_own_replies() {
    let server = frozen();
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

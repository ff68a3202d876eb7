//! Every error: its text, when it is answered, and that nothing is changed by it.

use crate::support::{Server, State, frozen, words};

const LIMIT: &str = "a whole number from 0 to 1000000000000";
const RATE: &str = "a whole number from 1 to 1000000000000";
const COST: &str = "a whole number from -1000000000000 to 1000000000000";
const DURATION: &str = "a whole number with a unit ms, s, m, h or d, from 1ms to 3660d";
const WINDOW: &str = "a whole number with a unit ms, s, m, h or d, from 1ms to 3660d, or with ALIGN calendar months, \
                      from 1mo to 120mo";
const OFFSET: &str = "a whole number with a unit ms, s, m, h or d, from -3660d to 3660d";
const OFFSET_OF_MONTHS: &str = "a whole number with a unit ms, s, m, h or d, from -24h to 27d with months";
const NAME: &str = "a name of 1 to 32 of A-Z a-z 0-9 _ . - other than KEY, BLOCK and OVERRIDE";
const ALGORITHMS: &str = "TOKENBUCKET, LEAKYBUCKET, FIXED, SLIDINGCOUNTER, SLIDINGLOG, LEASE";

/// A server whose keys hold limiters, so that an error has something to spoil: `hash`, `log`.
fn in_use() -> Server {
    let server = frozen();
    for call in [
        "RL.TOKENBUCKET hash 10 1 1h COST 5",
        "RL.LEAKYBUCKET hash 10 1 1h COST 5",
        "RL.FIXED hash 10 1h COST 5",
        "RL.FIXED hash 10 1h ALIGN COST 5",
        "RL.SLIDINGCOUNTER hash 10 1h COST 5",
        "RL.SLIDINGLOG log 10 1h COST 5",
    ] {
        assert_eq!(server.ask(call)[0], 1, "{call}");
    }
    server.pass_ms(1000);
    server
}

/// Asserts that `call` is answered `error` and leaves everything as it was.
#[track_caller]
fn refuses<A: AsRef<[u8]>>(server: &Server, call: &[A], error: &str) {
    let before = State::of(server);
    assert_eq!(server.error(call), error);
    assert_eq!(State::of(server), before, "{error} changes nothing");
}

/// The words of `line`, in which `{}` is `word`, whatever that holds.
fn with<'a>(line: &'a str, word: &'a str) -> Vec<&'a str> {
    words(line).into_iter().map(|part| if part == "{}" { word } else { part }).collect()
}

/// What an argument is told that accepts something else than `word`.
fn not(name: &str, accepts: &str, word: &str) -> String {
    format!("{name} must be {accepts}, not '{}'", shown(word.as_bytes()))
}

/// A word as errors repeat it: 64 bytes of it at most, escaped.
fn shown(word: &[u8]) -> String {
    word[..word.len().min(64)].escape_ascii().to_string()
}

const NOT_WHOLE: [&str; 17] = [
    "", " ", "x", "+1", "1.5", "1.0", ".5", "1e3", "0x10", "1_000", "1,000", " 1", "1 ", "--1", "-", "1s",
    "\u{661}",
];

/// Beyond the range of an i64, and what wraps around to a small number.
const TOO_LONG: [&str; 5] = [
    "0000000000000000001",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551617",
    "1000000000000000000000000000000000000000",
];

#[test]
fn a_number_is_whole_and_within_its_range() {
    let server = in_use();
    let below_0 = ["-1", "-0000000000001"];
    let below_1 = ["0", "-0", "-1"];
    let below_cost = ["-1000000000001", "-9223372036854775808", "-9223372036854775809"];
    let above = ["1000000000001", "999999999999999999"];
    for (line, prefix, name, accepts, below) in [
        ("RL.TOKENBUCKET hash {} 1 1h", "", "capacity", LIMIT, &below_0[..]),
        ("RL.TOKENBUCKET hash 10 {} 1h", "", "refill", RATE, &below_1),
        ("RL.TOKENBUCKET hash 10 1 1h COST {}", "", "COST", COST, &below_cost),
        ("RL.LEAKYBUCKET hash {} 1 1h", "", "capacity", LIMIT, &below_0),
        ("RL.LEAKYBUCKET hash 10 {} 1h", "", "leak", RATE, &below_1),
        ("RL.LEAKYBUCKET hash 10 1 1h COST {}", "", "COST", COST, &below_cost),
        ("RL.FIXED hash {} 1h", "", "limit", LIMIT, &below_0),
        ("RL.FIXED hash 10 1h COST {}", "", "COST", COST, &below_cost),
        ("RL.SLIDINGCOUNTER hash {} 1h", "", "limit", LIMIT, &below_0),
        ("RL.SLIDINGCOUNTER hash 10 1h COST {}", "", "COST", COST, &below_cost),
        ("RL.SLIDINGLOG log {} 1h", "", "limit", LIMIT, &below_0),
        ("RL.SLIDINGLOG log 10 1h COST {}", "", "COST", COST, &below_cost),
        ("RL.ALL hash FIXED 10 1h FIXED {} 1m", "limit 2 (FIXED): ", "limit", LIMIT, &below_0),
        (
            "RL.ALL hash FIXED 10 1h KEY log SLIDINGLOG 10 1h COST {}",
            "limit 2 (SLIDINGLOG): ",
            "COST",
            COST,
            &below_cost,
        ),
        ("RL.PEEK hash FIXED 10 1h TOKENBUCKET 1 {} 1m", "limit 2 (TOKENBUCKET): ", "refill", RATE, &below_1),
    ] {
        for word in NOT_WHOLE.iter().chain(&TOO_LONG).chain(below).chain(&above) {
            let error = format!("ERR {prefix}{}", not(name, accepts, word));
            refuses(&server, &with(line, word), &error);
        }
    }
}

#[test]
fn a_duration_has_a_unit_and_is_within_its_range() {
    let server = in_use();
    let wrong = [
        "",
        "x",
        "s",
        "ms",
        "1",
        "60",
        "0",
        "1S",
        "1M",
        "1MS",
        "1sec",
        "1min",
        "1w",
        "1y",
        "1us",
        "1ns",
        "1 s",
        " 1s",
        "1s ",
        "1s1",
        "1m30s",
        "1.5s",
        "+1s",
        "--1s",
        "-",
        "-s",
        "1-s",
        "1e3s",
        "0x1s",
        "inf",
        "nan",
        // Almost months.
        "mo",
        "mo1",
        "1MO",
        "1Mo",
        "1mo ",
        "1 mo",
        "1mos",
        "1mom",
        "1momo",
        "1m1o",
        "1o",
        "-1mo",
        "+1mo",
        "1.5mo",
        "0mo",
        "121mo",
        "1000mo",
        "999999999999999999mo",
        "1000000000000000001mo",
        "18446744073709551617mo",
    ];
    let below_1 = ["0ms", "0s", "0d", "-0s", "-1s", "-1ms"];
    // Months are a window of RL.FIXED alone, and its window alone.
    let no_months = [&below_1[..], &["1mo", "3mo", "120mo"]].concat();
    let beyond = [
        "-3661d",
        "-316224000001ms",
        "-999999999999999999d",
        "-18446744073709551617ms",
        "1mo",
        "-1mo",
        "0mo",
    ];
    let beyond_months = [
        "28d",
        "673h",
        "2332800001ms",
        "-25h",
        "-1441m",
        "-86400001ms",
        "-2d",
        "3660d",
        "-3660d",
        "1mo",
        "-1mo",
        "0mo",
    ];
    let above = [
        "3661d",
        "87841h",
        "5270401m",
        "316224001s",
        "316224000001ms",
        "999999999999999999ms",
        "999999999999999999d",
        "9223372036854775808ms",
        "18446744073709551617ms",
        "106751991167301d",
        "1000000000000000000000s",
    ];
    for (line, prefix, name, accepts, below) in [
        ("RL.TOKENBUCKET hash 10 1 {}", "", "period", DURATION, &no_months[..]),
        ("RL.LEAKYBUCKET hash 10 1 {}", "", "period", DURATION, &no_months),
        ("RL.FIXED hash 10 {}", "", "window", WINDOW, &below_1),
        ("RL.FIXED hash 10 {} ALIGN", "", "window", WINDOW, &below_1),
        ("RL.FIXED hash 10 1h ALIGN OFFSET {}", "", "OFFSET", OFFSET, &beyond),
        ("RL.FIXED hash 10 1mo ALIGN OFFSET {}", "", "OFFSET", OFFSET_OF_MONTHS, &beyond_months),
        ("RL.FIXED hash 10 120mo OFFSET {} ALIGN", "", "OFFSET", OFFSET_OF_MONTHS, &beyond_months),
        ("RL.SLIDINGCOUNTER hash 10 {}", "", "window", DURATION, &no_months),
        ("RL.SLIDINGLOG log 10 {}", "", "window", DURATION, &no_months),
        ("RL.ALL hash FIXED 10 1h FIXED 10 {}", "limit 2 (FIXED): ", "window", WINDOW, &below_1),
        (
            "RL.ALL hash FIXED 10 1h TOKENBUCKET 10 1 {}",
            "limit 2 (TOKENBUCKET): ",
            "period",
            DURATION,
            &no_months,
        ),
        ("RL.PEEK hash FIXED 10 1h FIXED 10 {}", "limit 2 (FIXED): ", "window", WINDOW, &below_1),
        (
            "RL.PEEK hash FIXED 10 1mo ALIGN OFFSET {}",
            "limit 1 (FIXED): ",
            "OFFSET",
            OFFSET_OF_MONTHS,
            &beyond_months,
        ),
    ] {
        for word in wrong.iter().chain(below).chain(&above) {
            let error = format!("ERR {prefix}{}", not(name, accepts, word));
            refuses(&server, &with(line, word), &error);
        }
    }
}

#[test]
fn a_name_is_short_and_plain() {
    let server = in_use();
    let too_long = "x".repeat(33);
    let far_too_long = "x".repeat(100);
    for (line, prefix) in [
        ("RL.TOKENBUCKET hash 10 1 1h AS {}", ""),
        ("RL.LEAKYBUCKET hash 10 1 1h AS {}", ""),
        ("RL.FIXED hash 10 1h AS {}", ""),
        ("RL.SLIDINGCOUNTER hash 10 1h AS {}", ""),
        ("RL.ALL hash FIXED 10 1h AS {}", "limit 1 (FIXED): "),
        ("RL.PEEK hash FIXED 10 1h TOKENBUCKET 10 1 1h AS {}", "limit 2 (TOKENBUCKET): "),
    ] {
        for name in [
            "",
            " ",
            "a b",
            "a:b",
            "a@b",
            "a/b",
            "{a}",
            "a\0b",
            "\u{e4}",
            "a\n",
            "*",
            "'",
            &too_long,
            &far_too_long,
            // Words before which a key stands, or may stand one day, in any case.
            "KEY",
            "key",
            "Key",
            "BLOCK",
            "bLOCK",
            "OVERRIDE",
            "override",
        ] {
            refuses(&server, &with(line, name), &format!("ERR {prefix}{}", not("AS", NAME, name)));
        }
    }
    for name in ["KEYS", "KE", "BLOCKS", "OVERRIDES", "-", "_", ".", "0", "FORCE", "x", &too_long[1..]] {
        assert_eq!(server.ints(&with("RL.FIXED hash 10 1h AS {}", name))[6], 1, "{name}");
    }
}

#[test]
fn an_option_needs_its_value() {
    let server = in_use();
    for (line, prefix, name, accepts) in [
        ("RL.FIXED hash 10 1h COST", "", "COST", COST),
        ("RL.FIXED hash 10 1h AS", "", "AS", NAME),
        ("RL.FIXED hash 10 1h ALIGN OFFSET", "", "OFFSET", OFFSET),
        ("RL.FIXED hash 10 1mo ALIGN OFFSET", "", "OFFSET", OFFSET_OF_MONTHS),
        ("RL.SLIDINGLOG log 10 1h COST", "", "COST", COST),
        ("RL.PEEK hash FIXED 10 1h COST", "limit 1 (FIXED): ", "COST", COST),
        ("RL.ALL hash FIXED 10 1m FIXED 10 1h AS", "limit 2 (FIXED): ", "AS", NAME),
    ] {
        refuses(&server, &words(line), &format!("ERR {prefix}{name} must be followed by {accepts}"));
    }
    // The next word is taken for it.
    for (line, prefix, name, accepts, word) in [
        ("RL.FIXED hash 10 1h COST AS a", "", "COST", COST, "AS"),
        ("RL.FIXED hash 10 1h ALIGN OFFSET COST 1", "", "OFFSET", OFFSET, "COST"),
        ("RL.ALL hash FIXED 10 1h COST FIXED 10 1m", "limit 1 (FIXED): ", "COST", COST, "FIXED"),
        ("RL.ALL hash FIXED 10 1h AS KEY log SLIDINGLOG 10 1m", "limit 1 (FIXED): ", "AS", NAME, "KEY"),
    ] {
        refuses(&server, &words(line), &format!("ERR {prefix}{}", not(name, accepts, word)));
    }
}

/// The words of a SPEC are counted by the command, not by the server.
#[test]
fn a_limit_that_ends_too_early_names_the_argument_it_lacks() {
    let server = in_use();
    for (limit, name, accepts) in [
        ("TOKENBUCKET", "capacity", LIMIT),
        ("TOKENBUCKET 10", "refill", RATE),
        ("TOKENBUCKET 10 1", "period", DURATION),
        ("LEAKYBUCKET", "capacity", LIMIT),
        ("LEAKYBUCKET 10", "leak", RATE),
        ("LEAKYBUCKET 10 1", "period", DURATION),
        ("FIXED", "limit", LIMIT),
        ("FIXED 10", "window", WINDOW),
        ("SLIDINGCOUNTER", "limit", LIMIT),
        ("SLIDINGCOUNTER 10", "window", DURATION),
        ("SLIDINGLOG", "limit", LIMIT),
        ("SLIDINGLOG 10", "window", DURATION),
    ] {
        let algorithm = words(limit)[0];
        for command in ["RL.ALL", "RL.PEEK"] {
            let call = format!("{command} hash FIXED 10 2h KEY log {limit}");
            let error = format!("ERR limit 2 ({algorithm}): {name} is missing: it must be {accepts}");
            refuses(&server, &words(&call), &error);
        }
    }
}

#[test]
fn a_word_that_cannot_stand_there_is_a_syntax_error() {
    let server = in_use();
    for (line, near) in [
        // Unknown words.
        ("RL.FIXED hash 10 1h nonsense", "nonsense"),
        ("RL.FIXED hash 10 1h ''", ""),
        ("RL.FIXED hash 10 1h 5", "5"),
        ("RL.FIXED hash 10 1h COST 1 nonsense AS a", "nonsense"),
        ("RL.FIXED hash 10 1h ALIGN 4d", "4d"),
        ("RL.FIXED hash 10 1h COST 1 2", "2"),
        // Options of others.
        ("RL.TOKENBUCKET hash 10 1 1h ALIGN", "ALIGN"),
        ("RL.LEAKYBUCKET hash 10 1 1h ALIGN", "ALIGN"),
        ("RL.SLIDINGCOUNTER hash 10 1h ALIGN", "ALIGN"),
        ("RL.SLIDINGCOUNTER hash 10 1h OFFSET 1s", "OFFSET"),
        ("RL.SLIDINGLOG log 10 1h ALIGN", "ALIGN"),
        ("RL.SLIDINGLOG log 10 1h AS a", "AS"),
        ("RL.FIXED hash 10 1h KEY other", "KEY"),
        ("RL.FIXED hash 10 1h FIXED 10 1m", "FIXED"),
    ] {
        refuses(&server, &words_or_empty(line), &format!("ERR syntax error near '{near}'"));
    }
}

/// The words of a line, in which `''` is the empty one.
fn words_or_empty(line: &str) -> Vec<&str> {
    words(line).into_iter().map(|word| if word == "''" { "" } else { word }).collect()
}

#[test]
fn each_option_is_given_once() {
    let server = in_use();
    for (line, prefix, option) in [
        ("RL.FIXED hash 10 1h COST 1 COST 1", "", "COST"),
        ("RL.FIXED hash 10 1h COST 1 cost 2", "", "COST"),
        ("RL.FIXED hash 10 1h AS a AS a", "", "AS"),
        ("RL.FIXED hash 10 1h FORCE COST 1 FORCE", "", "FORCE"),
        ("RL.FIXED hash 10 1h PARTIAL PARTIAL", "", "PARTIAL"),
        ("RL.FIXED hash 10 1h ALIGN ALIGN", "", "ALIGN"),
        ("RL.FIXED hash 10 1h ALIGN OFFSET 1s ALIGN", "", "ALIGN"),
        ("RL.FIXED hash 10 1h ALIGN OFFSET 1s OFFSET 1s", "", "OFFSET"),
        ("RL.SLIDINGLOG log 10 1h COST 1 COST 1", "", "COST"),
        ("RL.ALL hash FIXED 10 1h COST 1 COST 1", "limit 1 (FIXED): ", "COST"),
        ("RL.PEEK hash FIXED 10 1m KEY log SLIDINGLOG 10 1h COST 1 COST 1", "limit 2 (SLIDINGLOG): ", "COST"),
    ] {
        refuses(&server, &words(line), &format!("ERR {prefix}{option} must not be given twice"));
    }
}

#[test]
fn force_and_partial_exclude_each_other() {
    let server = in_use();
    for (line, prefix) in [
        ("RL.FIXED hash 10 1h FORCE PARTIAL", ""),
        ("RL.FIXED hash 10 1h PARTIAL force", ""),
        ("RL.SLIDINGLOG log 10 1h partial COST 2 FORCE", ""),
        ("RL.ALL hash FIXED 10 1m FIXED 10 1h FORCE PARTIAL", "limit 2 (FIXED): "),
        ("RL.PEEK hash TOKENBUCKET 10 1 1h PARTIAL FORCE", "limit 1 (TOKENBUCKET): "),
    ] {
        let error = format!("ERR {prefix}FORCE and PARTIAL exclude each other: give one of them");
        refuses(&server, &words(line), &error);
    }
}

#[test]
fn a_limit_begins_with_its_algorithm() {
    let server = in_use();
    for (limits, got) in [
        ("hash nonsense 10 1h", "nonsense"),
        ("hash '' 10 1h", ""),
        ("hash RL.FIXED 10 1h", "RL.FIXED"),
        ("hash GCRA 10 1h", "GCRA"),
        ("hash 10 1h FIXED", "10"),
        // A KEY clause without a limit.
        ("hash KEY log SLIDINGLOG 10 1h", "KEY"),
        ("hash FIXED 10 1h KEY log KEY other FIXED 1 1h", "KEY"),
        ("hash FIXED 10 1h KEY KEY log SLIDINGLOG 10 1h", "log"),
    ] {
        for command in ["RL.ALL", "RL.PEEK"] {
            let error =
                format!("ERR a limit must begin with its algorithm, one of {ALGORITHMS}, not '{got}'");
            refuses(&server, &words_or_empty(&format!("{command} {limits}")), &error);
        }
    }
    // After a limit, what belongs to nothing; options of others, too.
    for (limits, number, algorithm, got) in [
        ("hash FIXED 10 1h nonsense", 1, "FIXED", "nonsense"),
        ("hash FIXED 10 1h 5", 1, "FIXED", "5"),
        ("hash TOKENBUCKET 10 1 1h ALIGN", 1, "TOKENBUCKET", "ALIGN"),
        ("hash FIXED 10 1h KEY log SLIDINGLOG 10 1h AS a", 2, "SLIDINGLOG", "AS"),
    ] {
        for command in ["RL.ALL", "RL.PEEK"] {
            let error = format!(
                "ERR limit {number} ({algorithm}): syntax error near '{got}': it is no option of {algorithm}, \
                 nor KEY, nor an algorithm ({ALGORITHMS})"
            );
            refuses(&server, &words(&format!("{command} {limits}")), &error);
        }
    }
    for limits in ["hash FIXED 10 1h KEY log", "hash FIXED 10 1h key log"] {
        for command in ["RL.ALL", "RL.PEEK"] {
            let error =
                format!("ERR a limit is missing: it must begin with its algorithm, one of {ALGORITHMS}");
            refuses(&server, &words(&format!("{command} {limits}")), &error);
        }
    }
    for limits in ["hash FIXED 10 1h KEY", "hash FIXED 10 1h key", "hash FIXED 10 1h KEY log FIXED 1 1s KEY"]
    {
        for command in ["RL.ALL", "RL.PEEK"] {
            let call = format!("{command} {limits}");
            refuses(&server, &words(&call), "ERR KEY must be followed by a key and its limits");
        }
    }
}

#[test]
fn an_error_repeats_any_bytes_safely() {
    let server = in_use();
    let long = [b'x'; 200];
    let binary = [0xff; 70];
    for (word, shown) in [
        (&b"a\0b"[..], r"a\x00b".to_owned()),
        (b"\xff\xfe", r"\xff\xfe".to_owned()),
        (b"\r\n+OK\r\n", r"\r\n+OK\r\n".to_owned()),
        (b"\t\x1b[31m\x7f", r"\t\x1b[31m\x7f".to_owned()),
        (b"it's \"so\" \\", r#"it\'s \"so\" \\"#.to_owned()),
        ("\u{fc}".as_bytes(), r"\xc3\xbc".to_owned()),
        (b"%s%n%d%%", "%s%n%d%%".to_owned()),
        // Of a long word, as much as tells what it was.
        (&long, "x".repeat(64)),
        (&binary, r"\xff".repeat(64)),
    ] {
        let error = format!("ERR syntax error near '{shown}'");
        refuses(&server, &[&b"RL.FIXED"[..], b"hash", b"10", b"1h", word], &error);
        let of_limit = |got: &str| {
            format!("ERR a limit must begin with its algorithm, one of {ALGORITHMS}, not '{got}'")
        };
        refuses(&server, &[&b"RL.ALL"[..], b"hash", word, b"10", b"1h"], &of_limit(&shown));
        let of_argument = format!("ERR limit must be {LIMIT}, not '{shown}'");
        refuses(&server, &[&b"RL.FIXED"[..], b"hash", word, b"1h"], &of_argument);
        let mut resp3 = server.connection_resp3();
        let mut command = redis::cmd("RL.FIXED");
        command.arg("hash").arg(10).arg("1h").arg(word);
        let answer = command.query::<redis::Value>(&mut resp3).unwrap_err();
        assert_eq!(answer.detail(), error.strip_prefix("ERR "));
        assert_eq!(redis::cmd("PING").query::<String>(&mut resp3).unwrap(), "PONG");
    }
}

#[test]
fn a_call_with_too_few_words_is_the_servers_own_error() {
    let server = in_use();
    for (command, arguments) in [
        ("RL.TOKENBUCKET", "hash 10 1"),
        ("RL.LEAKYBUCKET", "hash 10 1"),
        ("RL.FIXED", "hash 10"),
        ("RL.SLIDINGCOUNTER", "hash 10"),
        ("RL.SLIDINGLOG", "log 10"),
        ("RL.ALL", "hash FIXED 10"),
        ("RL.PEEK", "hash FIXED 10"),
        ("CL.THROTTLE", "hash 10 1"),
    ] {
        let arguments = words(arguments);
        for count in 0..=arguments.len() {
            let call: Vec<&str> =
                std::iter::once(command).chain(arguments[..count].iter().copied()).collect();
            let before = State::of(&server);
            let error = server.error(&call).to_lowercase();
            let expected = format!("err wrong number of arguments for '{command}' command").to_lowercase();
            assert_eq!((error, State::of(&server)), (expected, before), "{call:?}");
        }
    }
    // This one takes no more than five, which is for the command itself to say.
    let error = server.ask_error("CL.THROTTLE hash 10 1 1 1 1").to_lowercase();
    assert_eq!(error, "err wrong number of arguments for 'cl.throttle' command");
}

#[test]
fn an_offset_needs_align() {
    let server = in_use();
    for (line, prefix) in [
        ("RL.FIXED hash 10 1h OFFSET 10s", ""),
        ("RL.FIXED hash 10 1h COST 1 OFFSET 0s AS a", ""),
        ("RL.ALL hash FIXED 10 1h OFFSET 1s FIXED 10 1m ALIGN", "limit 1 (FIXED): "),
        ("RL.ALL hash FIXED 10 1m ALIGN FIXED 10 1h OFFSET 1s", "limit 2 (FIXED): "),
        ("RL.PEEK hash FIXED 10 1h OFFSET 1s", "limit 1 (FIXED): "),
    ] {
        let error = format!("ERR {prefix}OFFSET must come with ALIGN: ALIGN OFFSET <duration>");
        refuses(&server, &words(line), &error);
    }
}

#[test]
fn months_need_align() {
    let server = in_use();
    for (line, prefix) in [
        ("RL.FIXED hash 10 1mo", ""),
        ("RL.FIXED hash 10 120mo COST 2 AS a", ""),
        ("RL.FIXED hash 10 1mo COST 0 FORCE", ""),
        ("RL.ALL hash FIXED 10 1mo FIXED 10 1m ALIGN", "limit 1 (FIXED): "),
        ("RL.ALL hash FIXED 10 1mo ALIGN FIXED 10 3mo KEY log SLIDINGLOG 10 1h", "limit 2 (FIXED): "),
        ("RL.PEEK hash FIXED 10 1mo", "limit 1 (FIXED): "),
    ] {
        let error = format!("ERR {prefix}window of months must be aligned to the calendar: add ALIGN");
        refuses(&server, &words(line), &error);
    }
    // Without ALIGN an offset is the first thing that is wrong, and has the same cure.
    let error = "ERR OFFSET must come with ALIGN: ALIGN OFFSET <duration>";
    refuses(&server, &words("RL.FIXED hash 10 1mo OFFSET 14d"), error);
}

#[test]
fn some_modes_are_not_possible_in_calls_of_several_limits() {
    let server = in_use();
    for (line, prefix, mode, command) in [
        ("RL.ALL hash FIXED 10 1h FIXED 10 1m PARTIAL", "limit 2 (FIXED): ", "PARTIAL", "RL.ALL"),
        ("RL.ALL hash FIXED 10 1h COST 0 PARTIAL", "limit 1 (FIXED): ", "PARTIAL", "RL.ALL"),
        (
            "RL.ALL hash FIXED 10 1h KEY log SLIDINGLOG 10 1h PARTIAL",
            "limit 2 (SLIDINGLOG): ",
            "PARTIAL",
            "RL.ALL",
        ),
        ("RL.PEEK hash FIXED 10 1h PARTIAL", "limit 1 (FIXED): ", "PARTIAL", "RL.PEEK"),
        ("RL.PEEK hash FIXED 10 1h FORCE", "limit 1 (FIXED): ", "FORCE", "RL.PEEK"),
        ("RL.PEEK hash FIXED 10 1h FIXED 10 1m COST -1 FORCE", "limit 2 (FIXED): ", "FORCE", "RL.PEEK"),
    ] {
        refuses(&server, &words(line), &format!("ERR {prefix}{mode} is not possible in {command}"));
    }
}

#[test]
fn limits_of_one_call_do_not_share_state() {
    let server = in_use();
    let twice = |number: usize, word: &str| {
        format!(
            "ERR limit {number} ({word}): the same {word} is given twice: give one of them a name with AS"
        )
    };
    let not_alone = |number: usize, word: &str| {
        let cure = "a SLIDINGLOG must have its key alone: give the other limits another key";
        format!("ERR limit {number} ({word}): {cure}")
    };
    for (specs, error) in [
        ("hash FIXED 10 1h FIXED 20 1h", twice(2, "FIXED")),
        ("hash FIXED 10 1h FIXED 20 60m COST 2", twice(2, "FIXED")),
        ("hash FIXED 10 1h AS a FIXED 20 1m FIXED 20 1h AS a", twice(3, "FIXED")),
        ("hash FIXED 10 1h ALIGN FIXED 10 1h ALIGN OFFSET 1m", twice(2, "FIXED")),
        ("hash FIXED 10 1h ALIGN FIXED 10 1h ALIGN OFFSET -1m", twice(2, "FIXED")),
        ("hash FIXED 10 1mo ALIGN FIXED 20 01mo ALIGN OFFSET 14d", twice(2, "FIXED")),
        ("hash FIXED 10 3mo ALIGN AS a FIXED 10 3mo ALIGN FIXED 9 3mo ALIGN AS a", twice(3, "FIXED")),
        ("hash TOKENBUCKET 10 1 1h TOKENBUCKET 10 2 1h", twice(2, "TOKENBUCKET")),
        ("hash LEAKYBUCKET 10 1 1h LEAKYBUCKET 10 2 1h", twice(2, "LEAKYBUCKET")),
        ("hash SLIDINGCOUNTER 10 1h SLIDINGCOUNTER 9 1h", twice(2, "SLIDINGCOUNTER")),
        ("hash FIXED 10 1h KEY other FIXED 10 1h KEY hash FIXED 10 1h", twice(3, "FIXED")),
        ("log SLIDINGLOG 10 1h SLIDINGLOG 10 1m", not_alone(2, "SLIDINGLOG")),
        ("log SLIDINGLOG 10 1h FIXED 10 1m", not_alone(2, "FIXED")),
        ("hash FIXED 10 1m SLIDINGLOG 10 1h", not_alone(2, "SLIDINGLOG")),
        ("log SLIDINGLOG 10 1h KEY hash FIXED 10 1m KEY log SLIDINGLOG 1 1s", not_alone(3, "SLIDINGLOG")),
        // Before any key is read: that this one holds a string is not looked at.
        ("text FIXED 10 1h FIXED 20 1h", twice(2, "FIXED")),
    ] {
        server.ask_value("SET text x");
        for command in ["RL.ALL", "RL.PEEK"] {
            refuses(&server, &words(&format!("{command} {specs}")), &error);
        }
    }
    // What differs in algorithm, window, name or alignment is another limit.
    server.ask_several("RL.ALL n FIXED 9 1h FIXED 9 1m FIXED 9 1h AS a FIXED 9 1h ALIGN SLIDINGCOUNTER 9 1h");
    server.ask_several(
        "RL.ALL n FIXED 9 1mo ALIGN FIXED 9 3mo ALIGN FIXED 9 1mo ALIGN AS a FIXED 9 1ms ALIGN FIXED 9 1m",
    );
    server.ask_several("RL.ALL n TOKENBUCKET 9 1 1h LEAKYBUCKET 9 1 1h KEY m TOKENBUCKET 9 1 1h");
}

#[test]
fn one_call_takes_sixty_four_limits() {
    let server = in_use();
    let line = |command: &str, count: usize| {
        let specs: String = (1..=count).map(|ms| format!(" FIXED 10 {ms}s")).collect();
        format!("{command} hash{specs}")
    };
    for command in ["RL.ALL", "RL.PEEK"] {
        assert_eq!(server.ask_several(&line(command, 64)).limits.len(), 64);
        for count in [65, 1000] {
            let error = "ERR limit 65 (FIXED): at most 64 limits are possible in one call";
            refuses(&server, &words(&line(command, count)), error);
        }
    }
}

#[test]
fn a_debt_has_an_end() {
    let server = frozen();
    for command in [
        "RL.TOKENBUCKET k 1 1 1h",
        "RL.LEAKYBUCKET k 1 1 1h",
        "RL.FIXED k 1 1h",
        "RL.FIXED k 1 1h ALIGN",
        "RL.SLIDINGCOUNTER k 1 1h",
        "RL.SLIDINGLOG k 1 1h",
    ] {
        server.ask_value("DEL k");
        let force = |cost: i64| format!("{command} COST {cost} FORCE");
        for trillions in 1..=3 {
            assert_eq!(server.ask(&force(1_000_000_000_000))[6], trillions * 1_000_000_000_000, "{command}");
        }
        assert_eq!(server.ask(&force(999_999_999_999))[6], 3_999_999_999_999, "{command}");
        let error = "ERR COST must not take the used units above 4000000000000";
        refuses(&server, &words(&force(2)), error);
        assert_eq!(server.ask(&force(1))[6], 4_000_000_000_000, "{command}");
        refuses(&server, &words(&force(1)), error);
        // In RL.ALL it leaves every key as it was.
        let (_, limit) = command.split_once(" k ").unwrap();
        let word = command.strip_prefix("RL.").unwrap().split(' ').next().unwrap();
        let in_all = error.replace("ERR ", &format!("ERR limit 2 ({word}): "));
        refuses(&server, &words(&format!("RL.ALL j FIXED 1 1h KEY k {word} {limit} FORCE")), &in_all);
        assert_eq!(server.ask(&format!("{command} COST -1000000000000"))[6], 3_000_000_000_000, "{command}");
    }
}

#[test]
fn cl_throttle_has_redis_cells_ranges() {
    let server = in_use();
    let too_long = TOO_LONG.iter();
    for (line, name, accepts, outside) in [
        (
            "CL.THROTTLE hash {} 1 60",
            "max_burst",
            "a whole number from 0 to 999999999999",
            ["-1", "1000000000000"],
        ),
        ("CL.THROTTLE hash 10 {} 60", "count", RATE, ["0", "1000000000001"]),
        (
            "CL.THROTTLE hash 10 1 {}",
            "period_seconds",
            "a whole number from 1 to 316224000",
            ["0", "316224001"],
        ),
        ("CL.THROTTLE hash 10 1 60 {}", "quantity", COST, ["-1000000000001", "1000000000001"]),
    ] {
        for word in NOT_WHOLE.iter().chain(too_long.clone()).chain(&outside) {
            refuses(&server, &with(line, word), &format!("ERR {}", not(name, accepts, word)));
        }
    }
}

#[test]
fn the_first_wrong_word_is_the_one_named() {
    let server = in_use();
    for (line, error) in [
        ("RL.TOKENBUCKET hash x y z", format!("ERR capacity must be {LIMIT}, not 'x'")),
        ("RL.TOKENBUCKET hash 1 y z", format!("ERR refill must be {RATE}, not 'y'")),
        ("RL.TOKENBUCKET hash 1 1 z nonsense", format!("ERR period must be {DURATION}, not 'z'")),
        ("RL.FIXED hash 10 60", format!("ERR window must be {WINDOW}, not '60'")),
        ("RL.FIXED hash 10 13m0 nonsense", format!("ERR window must be {WINDOW}, not '13m0'")),
        ("RL.FIXED hash 10 1mo COST x", format!("ERR COST must be {COST}, not 'x'")),
        ("RL.FIXED hash 10 1mo ALIGN nonsense", "ERR syntax error near 'nonsense'".into()),
        (
            "RL.ALL hash FIXED 10 1h COST x FIXED y z",
            format!("ERR limit 1 (FIXED): COST must be {COST}, not 'x'"),
        ),
        (
            "RL.ALL hash FIXED 10 1h FIXED 10 60 FIXED 10 1h",
            format!("ERR limit 2 (FIXED): window must be {WINDOW}, not '60'"),
        ),
    ] {
        refuses(&server, &words(line), &error);
    }
}

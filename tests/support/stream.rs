//! What a primary sends to its replicas, read as one of them reads it; an append-only file without RDB preamble is the
//! same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Server;

/// One command of the stream, as a line: the words that tests use have no spaces.
pub type Effect = String;

/// A replica's end of the replication stream.
pub struct Stream {
    socket: BufReader<TcpStream>,
    offset: u64,
}

impl Stream {
    /// Joins as a replica that has nothing yet; what was written before now comes as a dump, which is skipped.
    pub fn join(primary: &Server) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", primary.port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut this = Self { socket: BufReader::new(socket), offset: 0 };
        this.socket.get_mut().write_all(b"PSYNC ? -1\r\n").unwrap();
        let reply = this.line();
        let offset = reply.strip_prefix("+FULLRESYNC ").and_then(|rest| rest.split(' ').nth(1));
        this.offset = offset.unwrap_or_else(|| panic!("no full resync: {reply}")).parse().unwrap();
        let length = this.line();
        let length = length.strip_prefix('$').unwrap_or_else(|| panic!("no dump: {length}")).parse().unwrap();
        this.bytes(length);
        // Valkey 9 begins with a ping.
        this.read(primary);
        this
    }

    /// What `primary` has written since the last time, but for its own pings: Valkey 9 sends one soon after it started.
    pub fn read(&mut self, primary: &Server) -> Vec<Effect> {
        let offset = primary.replication_offset();
        let length = offset.checked_sub(self.offset).unwrap();
        self.offset = offset;
        let mut sent = parse_commands(&self.bytes(usize::try_from(length).unwrap()));
        sent.retain(|effect| !effect.eq_ignore_ascii_case("ping"));
        sent
    }

    /// A line of the handshake, between which the primary may send empty ones.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.socket.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the primary closed the connection");
            if !line.trim_end().is_empty() {
                return line.trim_end().into();
            }
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// The commands in `bytes`, which must end with a whole one. Comments of an append-only file are skipped.
pub fn parse_commands(mut bytes: &[u8]) -> Vec<Effect> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let header = take_line(&mut bytes);
        if header.starts_with('#') {
            continue;
        }
        let count = header.strip_prefix('*').unwrap_or_else(|| panic!("not a command: {header}"));
        let mut take_word = || {
            let header = take_line(&mut bytes);
            let length: usize = header.strip_prefix('$').unwrap().parse().unwrap();
            let (word, rest) = bytes.split_at(length);
            bytes = rest.strip_prefix(b"\r\n").unwrap();
            String::from_utf8(word.into()).unwrap()
        };
        let words: Vec<String> = (0..count.parse().unwrap()).map(|_| take_word()).collect();
        commands.push(words.join(" "));
    }
    commands
}

fn take_line(bytes: &mut &[u8]) -> String {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let line = String::from_utf8(bytes[..end].into()).unwrap();
    *bytes = &bytes[end + 2..];
    line
}

/// The effects of one call, which must come alone or as one whole transaction; SELECT may come before either.
#[track_caller]
pub fn effects(mut sent: Vec<Effect>) -> Vec<Effect> {
    sent.retain(|effect| !effect.starts_with("SELECT "));
    if sent.first().is_some_and(|first| first == "MULTI") {
        assert!(sent.last().is_some_and(|last| last == "EXEC"), "half a transaction: {sent:?}");
        sent = sent[1..sent.len() - 1].to_vec();
    } else {
        assert!(sent.len() <= 1, "not in a transaction: {sent:?}");
    }
    assert!(
        !sent.iter().any(|effect| effect == "MULTI" || effect == "EXEC"),
        "several transactions: {sent:?}"
    );
    sent
}

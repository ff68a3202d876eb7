//! Clients that call on and on while the test does something to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redis::{Connection, RedisResult, Value};

use super::{Reply, comparable, eventually};

/// The answers arrive within this, or the test fails.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long a caller waits for a reply before it connects anew.
const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// Clients at work, each a thread with a connection of its own.
pub struct Load<T> {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<T>>>,
}

impl<T: Send + 'static> Load<T> {
    /// Starts so many clients. Each makes its state (a connection) by `begin`, and calls `step` until told to stop;
    /// where that answers None, nothing was heard, and it tries again.
    pub fn start<C>(
        clients: usize,
        begin: impl Fn() -> C + Send + Sync + 'static,
        step: impl Fn(&mut C) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let work = Arc::new((begin, step));
        let clients = (0..clients)
            .map(|_| {
                let (stop, answered, work) = (stop.clone(), answered.clone(), work.clone());
                thread::spawn(move || {
                    let mut answers = Vec::new();
                    let mut state = (work.0)();
                    while !stop.load(Ordering::Relaxed) {
                        if let Some(answer) = (work.1)(&mut state) {
                            answers.push(answer);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Callers with some work between their calls: the servers share the processor with them.
                        thread::sleep(Duration::from_micros(300));
                    }
                    answers
                })
            })
            .collect();
        Self { stop, answered, clients }
    }

    /// Waits until so many more calls have been answered.
    #[track_caller]
    pub fn wait_for(&self, answers: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + answers;
        eventually(ANSWER_LIMIT, || self.answered.load(Ordering::Relaxed) >= goal);
    }

    /// Stops the clients and returns all that they were answered.
    #[track_caller]
    pub fn finish(self) -> Vec<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// A connection that is made anew where it broke.
pub struct Caller {
    client: redis::Client,
    connection: Option<Connection>,
}

impl Caller {
    /// A caller of the server on a port.
    pub fn new(port: u16) -> Self {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
        Self { client, connection: None }
    }

    /// The reply, the error's code and text, or None where no reply came: the call may have been carried out or not.
    pub fn call<A: AsRef<str>>(&mut self, words: &[A]) -> Option<Reply> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        let reply = self.query(&command);
        match reply {
            Err(error) if error.code().is_none() => {
                self.connection = None;
                None
            }
            reply => Some(comparable(reply)),
        }
    }

    fn query(&mut self, command: &redis::Cmd) -> RedisResult<Value> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let connection = self.client.get_connection_with_timeout(REPLY_LIMIT)?;
                connection.set_read_timeout(Some(REPLY_LIMIT))?;
                none.insert(connection)
            }
        };
        command.query(connection)
    }
}

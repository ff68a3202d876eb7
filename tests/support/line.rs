//! Calls written as one line of words, as a reader would type them.

use redis::{ConnectionLike, FromRedisValue, RedisResult, Value};

use super::Server;

/// What `RL.ALL` and `RL.PEEK` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Several<L = [i64; 7]> {
    pub allowed: i64,
    pub retry_after_ms: i64,
    /// The seven integers of each limit, in order; lists where some have eight.
    pub limits: Vec<L>,
}

impl Server {
    /// The integers that answer a call.
    #[track_caller]
    pub fn ask(&self, line: &str) -> Vec<i64> {
        self.ints(&words(line))
    }

    /// The answer to `RL.ALL` or `RL.PEEK`.
    #[track_caller]
    pub fn ask_several(&self, line: &str) -> Several {
        let reply = self.ask_value(line);
        several(&reply).unwrap_or_else(|| panic!("{line}: {reply:?}"))
    }

    /// The same, where limits may have blocks.
    #[track_caller]
    pub fn ask_guarded(&self, line: &str) -> Several<Vec<i64>> {
        let reply = self.ask_value(line);
        several_of(&reply).unwrap_or_else(|| panic!("{line}: {reply:?}"))
    }

    /// The error that answers a call.
    #[track_caller]
    pub fn ask_error(&self, line: &str) -> String {
        self.error(&words(line))
    }

    /// Whatever answers a call, but an error.
    #[track_caller]
    pub fn ask_value(&self, line: &str) -> Value {
        self.call(&words(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The texts that answer a call: an array, flat.
    #[track_caller]
    pub fn ask_texts(&self, line: &str) -> Vec<String> {
        redis::from_redis_value(self.ask_value(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Whether there is such a key.
    #[track_caller]
    pub fn holds(&self, key: &str) -> bool {
        self.ask_value(&format!("EXISTS {key}")) == Value::Int(1)
    }
}

/// The reply to a call on a connection of the test's own.
pub fn send(connection: &mut impl ConnectionLike, line: &str) -> RedisResult<Value> {
    let words = words(line);
    redis::cmd(words[0]).arg(&words[1..]).query(connection)
}

/// The words of a line.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The reply of `RL.ALL` or `RL.PEEK`, if that is what it is.
pub fn several(reply: &Value) -> Option<Several> {
    several_of(reply)
}

fn several_of<L: FromRedisValue>(reply: &Value) -> Option<Several<L>> {
    let Value::Array(items) = reply else { return None };
    let [Value::Int(allowed), Value::Int(retry_after_ms), limits @ ..] = items.as_slice() else {
        return None;
    };
    let limits = limits.iter().map(|limit| redis::from_redis_value(limit.clone()).ok());
    Some(Several {
        allowed: *allowed,
        retry_after_ms: *retry_after_ms,
        limits: limits.collect::<Option<_>>()?,
    })
}

//! A server whose every effect is seen: what a call sends to replicas and to the append-only file.

use std::cell::RefCell;
use std::ops::Deref;

use super::{Effect, Server, Stream, effects, frozen};

/// A [`frozen`] server with a replica's eye on it.
pub struct Observed {
    server: Server,
    stream: RefCell<Stream>,
}

impl Observed {
    #[track_caller]
    pub fn frozen() -> Self {
        let server = frozen();
        let stream = RefCell::new(Stream::join(&server));
        Self { server, stream }
    }

    /// The effects of a call, which is written as one line.
    #[track_caller]
    pub fn effects_of(&self, call: &str) -> Vec<Effect> {
        self.stream.borrow_mut().read(&self.server);
        self.server.ask_value(call);
        let sent = self.stream.borrow_mut().read(&self.server);
        effects(sent)
    }
}

impl Deref for Observed {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

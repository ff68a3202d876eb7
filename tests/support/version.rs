//! What servers have and lack, by version: where a test depends on it, it says what is right on both kinds.

use redis::Value;

use super::{Kind, Server};

/// What not every server that we support has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Modules may put their commands into the server's ACL categories.
    pub acl_categories: bool,
    /// Modules may add an ACL category of their own.
    pub own_acl_category: bool,
    /// Modules are told the instant at which a transaction or a script began.
    pub command_time: bool,
    /// A hash's fields may expire (HPEXPIRE).
    pub field_expiry: bool,
    /// The server asks commands for their keys. Where it does not, it knows the first key of RL.ALL and RL.PEEK alone,
    /// and the module judges the others.
    pub asks_for_keys: bool,
    /// A node of a cluster knows the keys of blocks and overrides of one limit before it runs the call: it asks for them,
    /// or goes by key specs. Where it does not, it sends the call to the node of the first key, and the module judges there.
    pub routes_by_all_keys_of_one_limit: bool,
}

impl Server {
    /// The row of this server's version.
    pub fn has(&self) -> Features {
        let (kind, version) = self.version();
        let (redis, valkey) = match kind {
            Kind::Redis => (version, (0, 0, 0)),
            Kind::Valkey => ((0, 0, 0), version),
        };
        Features {
            acl_categories: redis >= (7, 2, 0) || kind == Kind::Valkey,
            own_acl_category: redis >= (7, 4, 0) || valkey >= (8, 0, 0),
            command_time: redis >= (7, 2, 0) || kind == Kind::Valkey,
            field_expiry: redis >= (7, 4, 0) || valkey >= (9, 0, 0),
            asks_for_keys: redis < (8, 3, 0) && valkey < (9, 0, 0),
            routes_by_all_keys_of_one_limit: valkey < (9, 0, 0),
        }
    }

    /// Whether the server itself, or a module, brings such a command.
    pub fn has_command(&self, name: &str) -> bool {
        self.ask_value(&format!("COMMAND INFO {name}")) != Value::Array(vec![Value::Nil])
    }
}

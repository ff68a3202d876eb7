//! A small cluster of servers, formed by commands, on one clock.

use std::time::Duration;

use redis::Value;
use redis::cluster::{ClusterClient, ClusterClientBuilder};

use super::{Clock, Server, eventually};

const SLOTS: usize = 16_384;
/// So that no jump of the clock makes a node look dead.
const NEVER: &str = "2000000000";
const JOIN_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster, whose slots its first primaries share evenly and in order. Dropping it stops it.
pub struct Cluster {
    /// The wall clock of every node.
    pub clock: Clock,
    /// The nodes: the primaries, then the replicas of the first primary, of the second, and so on.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster and waits until every node takes commands and every replica follows.
    ///
    /// The clock runs; a test may freeze and move it, which no node takes for another's failure.
    #[track_caller]
    pub fn start(primaries: usize, replicas_each: usize) -> Self {
        Self::start_with(primaries, replicas_each, &[])
    }

    /// That, with lines of redis.conf for every node.
    #[track_caller]
    pub fn start_with(primaries: usize, replicas_each: usize, config: &[(&str, &str)]) -> Self {
        let clock = Clock::new();
        let nodes = (0..primaries * (1 + replicas_each)).map(|_| node(&clock, config)).collect();
        let cluster = Self { clock, nodes };
        cluster.share_out_slots(primaries);
        cluster.introduce();
        cluster.give_replicas(primaries, replicas_each);
        cluster.set_node_timeout(NEVER);
        cluster
    }

    /// Lets nodes take another for failed that has been silent for so long.
    pub fn set_node_timeout(&self, ms: &str) {
        for node in &self.nodes {
            node.call(&["CONFIG", "SET", "cluster-node-timeout", ms]).unwrap();
        }
    }

    /// A client that learns the cluster from its nodes.
    pub fn client(&self) -> ClusterClient {
        self.client_with(|builder| builder)
    }

    /// That, with settings of the test's own.
    pub fn client_with(
        &self,
        set: impl FnOnce(ClusterClientBuilder) -> ClusterClientBuilder,
    ) -> ClusterClient {
        let nodes = self.nodes.iter().map(|node| format!("redis://127.0.0.1:{}/", node.port()));
        set(ClusterClientBuilder::new(nodes)).build().unwrap()
    }

    /// The primary that holds the slot of `key` by now.
    #[track_caller]
    pub fn node_of(&self, key: impl AsRef<[u8]>) -> &Server {
        let slot = self.slot_of(key);
        self.nodes
            .iter()
            .find(|node| slots(node).iter().any(|&(first, last)| (first..=last).contains(&slot)))
            .unwrap_or_else(|| panic!("no node holds slot {slot}"))
    }

    /// The replicas of `primary` by now.
    pub fn replicas_of(&self, primary: &Server) -> Vec<&Server> {
        let id = id(primary);
        self.nodes.iter().filter(|node| myself(node).get(3) == Some(&id)).collect()
    }

    /// The slot of `key`.
    pub fn slot_of(&self, key: impl AsRef<[u8]>) -> usize {
        match self.nodes[0].call(&[b"CLUSTER".as_slice(), b"KEYSLOT", key.as_ref()]) {
            Ok(Value::Int(slot)) => usize::try_from(slot).unwrap(),
            other => panic!("CLUSTER KEYSLOT answers {other:?}"),
        }
    }

    fn share_out_slots(&self, primaries: usize) {
        for (index, node) in self.nodes.iter().enumerate() {
            // Epochs that differ from the start need no settling.
            node.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).unwrap();
            if index < primaries {
                let (first, last) = (SLOTS * index / primaries, SLOTS * (index + 1) / primaries - 1);
                node.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).unwrap();
            }
        }
    }

    /// Makes every node meet every other, rather than wait for gossip.
    fn introduce(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[..index] {
                node.call(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]).unwrap();
            }
        }
        self.wait_until(|cluster| {
            let known = cluster.nodes.len().to_string();
            cluster.nodes.iter().all(|node| {
                cluster_info(node, "cluster_state") == "ok"
                    && cluster_info(node, "cluster_known_nodes") == known
            })
        });
    }

    fn give_replicas(&self, primaries: usize, replicas_each: usize) {
        let (primaries, replicas) = self.nodes.split_at(primaries);
        for (index, replica) in replicas.iter().enumerate() {
            let primary = id(&primaries[index / replicas_each]);
            replica.call(&["CLUSTER", "REPLICATE", &primary]).unwrap();
        }
        self.wait_until(|cluster| {
            replicas.iter().all(|replica| {
                replica.info_field("replication", "master_link_status").as_deref() == Some("up")
            }) && primaries.iter().all(|primary| {
                // Every node knows of every replica, so that any may tell a client.
                let replicas_known = |node: &Server| {
                    node.text(&["CLUSTER", "NODES"]).matches(&format!("slave {}", id(primary))).count()
                };
                cluster.nodes.iter().all(|node| replicas_known(node) == replicas_each)
            })
        });
    }

    /// Waits for what nodes agree upon. They let some seconds of the wall clock pass before they trust each other:
    /// those are moved on, not waited for.
    fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        eventually(JOIN_LIMIT, || {
            self.clock.advance(Duration::from_millis(20));
            condition(self)
        });
    }
}

fn node(clock: &Clock, config: &[(&str, &str)]) -> Server {
    let builder = config.iter().fold(Server::builder(), |builder, (name, value)| builder.config(name, value));
    builder
        .clock(clock)
        .config("cluster-enabled", "yes")
        .config("cluster-announce-ip", "127.0.0.1")
        // While the cluster forms: nodes that hear little of each other ask after half of it.
        .config("cluster-node-timeout", "5000")
        .config("cluster-replica-validity-factor", "0")
        .start()
}

fn cluster_info(node: &Server, field: &str) -> String {
    let info = node.text(&["CLUSTER", "INFO"]);
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().to_owned()
}

fn id(node: &Server) -> String {
    node.text(&["CLUSTER", "MYID"])
}

/// What a node says of itself: the words of its line in CLUSTER NODES.
fn myself(node: &Server) -> Vec<String> {
    let nodes = node.text(&["CLUSTER", "NODES"]);
    let line = nodes.lines().find(|line| line.contains("myself")).unwrap_or_default();
    line.split_whitespace().map(String::from).collect()
}

/// The ranges of slots that a node holds itself.
fn slots(node: &Server) -> Vec<(usize, usize)> {
    let words = myself(node);
    // Slots on their way to or from another node stand in brackets.
    let ranges = words.iter().skip(8).filter(|word| !word.starts_with('['));
    ranges
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (first.parse().unwrap(), last.parse().unwrap())
        })
        .collect()
}

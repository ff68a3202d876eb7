//! A server of the test's own: started, asked, stopped, started again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, Value};

use super::{Clock, eventually};

const START_LIMIT: Duration = Duration::from_secs(20);
/// A server that hangs never answers. One that sets up a million entries on a busy machine takes its time.
const RESPONSE_LIMIT: Duration = Duration::from_secs(60);

/// Which family a server is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Valkey,
}

/// How a server shall be started.
pub struct Builder {
    config: Vec<(String, String)>,
    module: bool,
    module_args: Vec<String>,
    dir: Option<PathBuf>,
    clock: Option<Clock>,
    preload_clock: bool,
    primary: Option<u16>,
    sentinel: bool,
}

impl Builder {
    /// Adds a line of redis.conf; it stands before the module's own line, after the harness's defaults.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.into(), value.into()));
        self
    }

    /// Starts the bare server.
    pub fn without_module(mut self) -> Self {
        self.module = false;
        self
    }

    /// Words after the module's path on its `loadmodule` line.
    pub fn module_args(mut self, args: &[&str]) -> Self {
        self.module_args = args.iter().map(|&arg| arg.into()).collect();
        self
    }

    /// Works in this folder and leaves it there (otherwise: a fresh one, removed at the end).
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Shares another server's clock.
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Leaves the server the system's own clock, which is faster to read: for benches.
    pub fn without_clock(mut self) -> Self {
        self.preload_clock = false;
        self
    }

    /// Makes the server a replica; `start` returns once the two are in step.
    pub fn replica_of(mut self, primary: &Server) -> Self {
        self.primary = Some(primary.port);
        self
    }

    /// Starts a Sentinel instead, without a module, on the real time; `config` tells it what to watch.
    pub fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self.without_module().without_clock()
    }

    /// Starts the server; panics with its log where that fails.
    #[track_caller]
    pub fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(log) => panic!("the server did not start:\n{log}"),
        }
    }

    /// Starts the server, or answers what it logged before it gave up.
    pub fn try_start(self) -> Result<Server, String> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let own_dir = self.dir.is_none();
        let dir = self
            .dir
            .clone()
            .unwrap_or_else(|| super::tmp_dir().join(format!("server-{}-{number}", std::process::id())));
        fs::create_dir_all(&dir).unwrap();
        let clock = self.clock.clone().unwrap_or_else(Clock::new);
        let mut server =
            Server { clock, port: 0, dir, own_dir, child: None, kept: Mutex::new(None), options: self };
        // Another process may take the port between our look and the server's bind.
        for _ in 0..10 {
            server.port = free_port();
            match server.launch() {
                Err(log) if log.contains("Address already in use") => {
                    fs::remove_file(server.log_path()).unwrap();
                }
                result => return result.map(|()| server),
            }
        }
        Err("no free port found".into())
    }
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A running server. Dropping it stops it; when the test failed, its folder stays and its log is shown.
pub struct Server {
    /// The server's wall clock: the real time until the test says otherwise.
    pub clock: Clock,
    port: u16,
    dir: PathBuf,
    own_dir: bool,
    child: Option<Child>,
    /// The connection behind `call`.
    kept: Mutex<Option<Connection>>,
    options: Builder,
}

impl Server {
    /// A server with the module, on the real time.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        Builder {
            config: Vec::new(),
            module: true,
            module_args: Vec::new(),
            dir: None,
            clock: None,
            preload_clock: true,
            primary: None,
            sentinel: false,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process; panics where the server is stopped.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server is stopped").id()
    }

    /// The folder with its dumps, `redis.conf` and `server.log`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn client(&self) -> redis::Client {
        self.client_for("")
    }

    /// A new connection, RESP2.
    #[track_caller]
    pub fn connection(&self) -> Connection {
        connect(&self.client()).expect("cannot connect")
    }

    /// A new connection, RESP3.
    #[track_caller]
    pub fn connection_resp3(&self) -> Connection {
        connect(&self.client_for("?protocol=resp3")).expect("cannot connect")
    }

    fn client_for(&self, query: &str) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/{query}", self.port)).unwrap()
    }

    /// Sends a command on a connection that the server handle keeps (RESP2).
    pub fn call<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<Value, RedisError> {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg.as_ref());
        }
        self.on_kept_connection(|connection| command.query(connection))
    }

    fn on_kept_connection<T>(
        &self,
        ask: impl FnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *kept {
            Some(connection) => connection,
            empty => empty.insert(connect(&self.client())?),
        };
        let reply = ask(connection);
        if reply.as_ref().is_err_and(RedisError::is_io_error) {
            *kept = None;
        }
        reply
    }

    /// The reply, which must be an array of integers.
    #[track_caller]
    pub fn ints<A: AsRef<[u8]>>(&self, args: &[A]) -> Vec<i64> {
        let reply = self.reply(args);
        let ints = match &reply {
            Value::Array(items) => {
                items.iter().map(|item| if let Value::Int(int) = item { Some(*int) } else { None }).collect()
            }
            _ => None,
        };
        match ints {
            Some(ints) => ints,
            None => panic!("{}: not an array of integers: {reply:?}", shown(args)),
        }
    }

    /// The reply, which must be a string of any kind.
    #[track_caller]
    pub fn text<A: AsRef<[u8]>>(&self, args: &[A]) -> String {
        match self.reply(args) {
            Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
            Value::SimpleString(text) => text,
            Value::VerbatimString { text, .. } => text,
            Value::Okay => "OK".into(),
            other => panic!("{}: not a string: {other:?}", shown(args)),
        }
    }

    /// The error's whole text, code included; the reply must be an error.
    #[track_caller]
    pub fn error<A: AsRef<[u8]>>(&self, args: &[A]) -> String {
        match self.call(args) {
            Ok(reply) => panic!("{}: no error but {reply:?}", shown(args)),
            Err(error) => match (error.code(), error.detail()) {
                (Some(code), Some(detail)) => format!("{code} {detail}"),
                (Some(code), None) => code.into(),
                (None, _) => panic!("{}: no answer: {error}", shown(args)),
            },
        }
    }

    #[track_caller]
    fn reply<A: AsRef<[u8]>>(&self, args: &[A]) -> Value {
        match self.call(args) {
            Ok(reply) => reply,
            Err(error) => panic!("{}: {error}", shown(args)), // Not in a closure: that would hide the caller.
        }
    }

    /// What the server is: a test of a later feature asks before it runs.
    pub fn version(&self) -> (Kind, (u32, u32, u32)) {
        let (kind, version) = match self.info_field("server", "valkey_version") {
            Some(version) => (Kind::Valkey, version),
            None => (Kind::Redis, self.info_field("server", "redis_version").unwrap()),
        };
        let mut parts = version.split('.').map(|part| part.parse().unwrap());
        let mut next = || parts.next().unwrap();
        (kind, (next(), next(), next()))
    }

    /// A field of INFO's section, if it is there.
    pub fn info_field(&self, section: &str, field: &str) -> Option<String> {
        field_of(&self.text(&["INFO", section]), field)
    }

    /// How far the replication stream has come (on a replica: been applied). It moves only once a replica has joined.
    pub fn replication_offset(&self) -> u64 {
        let info = self.text(&["INFO", "replication"]);
        let offset = field_of(&info, "slave_repl_offset").or_else(|| field_of(&info, "master_repl_offset"));
        offset.unwrap().parse().unwrap()
    }

    /// Waits until this replica has applied all that `primary` has sent.
    #[track_caller]
    pub fn catch_up(&self, primary: &Server) {
        eventually(RESPONSE_LIMIT, || {
            self.info_field("replication", "master_link_status").as_deref() == Some("up")
                && self.replication_offset() == primary.replication_offset()
        });
    }

    /// DEBUG DIGEST: all keys and values, but no expiry times.
    pub fn digest(&self) -> String {
        self.text(&["DEBUG", "DIGEST"])
    }

    /// Every key's PEXPIRETIME (database 0): what the digest does not see.
    pub fn expiries(&self) -> BTreeMap<Vec<u8>, i64> {
        let keys: Vec<Vec<u8>> = redis::from_redis_value(self.reply(&["KEYS", "*"])).unwrap();
        let mut questions = redis::pipe();
        for key in &keys {
            questions.cmd("PEXPIRETIME").arg(key);
        }
        let instants: Vec<i64> = if keys.is_empty() {
            Vec::new()
        } else {
            self.on_kept_connection(|connection| questions.query(connection)).unwrap()
        };
        keys.into_iter().zip(instants).collect()
    }

    /// Stops without a dump (an append-only file is flushed) and starts again: same port, folder, settings, clock.
    #[track_caller]
    pub fn restart(&mut self) {
        self.shutdown_nosave();
        self.start_again();
    }

    /// SHUTDOWN SAVE.
    #[track_caller]
    pub fn shutdown_save(&mut self) {
        self.shutdown("SAVE");
    }

    /// SHUTDOWN NOSAVE.
    #[track_caller]
    pub fn shutdown_nosave(&mut self) {
        self.shutdown("NOSAVE");
    }

    /// Lets the process stand still, as one does that is starved or cut off.
    pub fn suspend(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).unwrap();
        // SAFETY: a plain system call, on a process that this handle started and has not yet waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Kills the process as a power cut would.
    pub fn kill9(&mut self) {
        self.disconnect();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a stopped server again: same port, folder, settings, clock.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server is still running");
        if let Err(log) = self.launch() {
            panic!("the server did not start again:\n{log}");
        }
    }

    /// The end of the server's log, or a crash report from its head.
    pub fn log_tail(&self) -> String {
        let log = String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        // What a panic said stands just before the report; the report itself ends in pages of INFO.
        let crash = lines.iter().rposition(|line| line.contains("BUG REPORT START"));
        let from = crash.map_or(lines.len().saturating_sub(40), |line| line.saturating_sub(15));
        lines[from..].iter().take(60).copied().collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn shutdown(&mut self, how: &str) {
        // The reply to success is that the connection ends.
        if let Err(error) = self.call(&["SHUTDOWN", how])
            && error.code().is_some()
        {
            panic!("SHUTDOWN {how}: {error}");
        }
        self.disconnect();
        let mut child = self.child.take().unwrap();
        eventually(START_LIMIT, || child.try_wait().unwrap().is_some());
    }

    fn disconnect(&mut self) {
        *self.kept.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Starts the process and waits until it serves; the error is its log.
    fn launch(&mut self) -> Result<(), String> {
        let conf = self.dir.join("redis.conf");
        fs::write(&conf, self.conf()).unwrap();
        let binary = server_binary();
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(&binary);
        command.arg(&conf).stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if self.options.sentinel {
            command.arg("--sentinel");
        }
        if self.options.preload_clock {
            self.clock.preload_into(&mut command);
        }
        // SAFETY: between fork and exec, prctl only; it is a plain system call.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        self.child =
            Some(spawn(command).unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display())));
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while !self.is_ready() {
            let gone = self.child.as_mut().unwrap().try_wait().unwrap().is_some();
            if gone || start.elapsed() > START_LIMIT {
                self.kill9();
                return Err(self.log_tail());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether our process (no other on the same port) has loaded its data and, as a replica, its primary's.
    fn is_ready(&self) -> bool {
        let Ok(mut connection) = connect(&self.client()) else {
            return false;
        };
        let Ok(info) = redis::cmd("INFO").query::<String>(&mut connection) else {
            return false;
        };
        let is = |field: &str, value: &str| field_of(&info, field).as_deref() == Some(value);
        is("process_id", &self.pid().to_string())
            && !is("loading", "1")
            && (self.options.primary.is_none() || is("master_link_status", "up"))
    }

    fn conf(&self) -> String {
        let mut conf = format!(
            "port {}\n\
             bind 127.0.0.1\n\
             dir {}\n\
             loglevel notice\n\
             save \"\"\n\
             appendonly no\n\
             enable-debug-command yes\n\
             enable-module-command yes\n\
             # A replica joins in 0.1 s (diskless: often 1 s) and leaves no dump behind;\n\
             # nothing but writes moves the offset, and no jump of the clock parts the two.\n\
             repl-diskless-sync no\n\
             rdb-del-sync-files yes\n\
             repl-ping-replica-period 3600\n\
             repl-timeout 2000000000\n",
            self.port,
            quoted(&self.dir.to_string_lossy()),
        );
        if let Some(port) = self.options.primary {
            conf += &format!("replicaof 127.0.0.1 {port}\n");
        }
        for (name, value) in &self.options.config {
            conf += &format!("{name} {value}\n");
        }
        if self.options.module {
            conf += &format!("loadmodule {}", quoted(&module_path().to_string_lossy()));
            for arg in &self.options.module_args {
                conf += &format!(" {}", quoted(arg));
            }
            conf += "\n";
        }
        conf
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill9();
        if thread::panicking() {
            // To stderr directly: the log belongs to the failure, even where output is captured.
            let _ =
                writeln!(io::stderr(), "--- {} ends:\n{}\n---", self.log_path().display(), self.log_tail());
        } else if self.own_dir {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn connect(client: &redis::Client) -> Result<Connection, RedisError> {
    let connection = client.get_connection_with_timeout(RESPONSE_LIMIT)?;
    connection.set_read_timeout(Some(RESPONSE_LIMIT))?;
    connection.set_write_timeout(Some(RESPONSE_LIMIT))?;
    Ok(connection)
}

fn field_of(info: &str, field: &str) -> Option<String> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(String::from)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn shown<A: AsRef<[u8]>>(args: &[A]) -> String {
    args.iter().map(|arg| String::from_utf8_lossy(arg.as_ref())).collect::<Vec<_>>().join(" ")
}

/// A port nobody listens on. Below the kernel's range for outgoing connections, so that none of those takes it while
/// the server restarts, and below 20,000, so that the cluster bus (port + 10,000) meets no other server's port.
fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(0)));
    loop {
        let port = 10_000 + (NEXT.fetch_add(1, Ordering::Relaxed) % 10_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Spawns from a thread that lives as long as the process: PDEATHSIG tells of the death of the spawning *thread*, and a
/// server that several tests share must outlive the test that started it.
fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in requests {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = mpsc::channel();
    SPAWNER.send((command, reply)).unwrap();
    child.recv().unwrap()
}

/// RL_TEST_SERVER, else the installed server, else one that `make test` brought.
fn server_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RL_TEST_SERVER") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file()));
    installed.or_else(brought_server).unwrap_or_else(|| {
        panic!("no redis-server found: run `make test`, or install redis-server");
    })
}

fn brought_server() -> Option<PathBuf> {
    let folders = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.servers")).ok()?;
    folders
        .flatten()
        .flat_map(|folder| ["redis-server", "valkey-server"].map(|name| folder.path().join(name)))
        .find(|path| path.is_file())
}

/// RL_TEST_MODULE, else the module that cargo built beside this test.
fn module_path() -> PathBuf {
    if let Some(path) = std::env::var_os("RL_TEST_MODULE") {
        return fs::canonicalize(&path)
            .unwrap_or_else(|error| panic!("RL_TEST_MODULE, {}: {error}", path.display()));
    }
    let test = std::env::current_exe().unwrap();
    test.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("libredis_limiter.so"))
        .find(|path| File::open(path).is_ok())
        .unwrap_or_else(|| panic!("no libredis_limiter.so beside {}", test.display()))
}

//! A wall clock for servers, which the test freezes and moves (see `clock.c`).

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that servers read and the test moves. Clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    /// `clock.c` says what the word means. Mapped for the life of the test process.
    word: &'static AtomicI64,
    file: Arc<ClockFile>,
}

struct ClockFile(PathBuf);

impl Drop for ClockFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Clock {
    /// A clock that shows the real time.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = super::tmp_dir().join(format!("clock-{}-{count}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        file.set_len(size_of::<i64>() as u64).unwrap();
        // SAFETY: a fresh shared mapping of a file of that size; the kernel chooses the address.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<i64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED, "cannot map {}", path.display());
        // SAFETY: page-aligned, zeroed, never unmapped, and every reader and writer uses it atomically.
        let word = unsafe { AtomicI64::from_ptr(address.cast()) };
        Self { word, file: Arc::new(ClockFile(path)) }
    }

    /// Stops the clock at `us` microseconds since 1970.
    pub fn freeze(&self, us: i64) {
        self.word.store((us << 1) | 1, Ordering::SeqCst);
    }

    /// Lets the clock run, `us` microseconds ahead of the real time (negative: behind).
    pub fn set_offset(&self, us: i64) {
        self.word.store(us << 1, Ordering::SeqCst);
    }

    /// Lets a frozen clock run on from where it stands.
    pub fn run(&self) {
        self.set_offset(self.now_us() - real_us());
    }

    /// Moves the clock forward, frozen or running.
    pub fn advance(&self, by: Duration) {
        self.shift(micros(by));
    }

    /// Moves the clock back, frozen or running.
    pub fn step_back(&self, by: Duration) {
        self.shift(-micros(by));
    }

    /// What the clock shows, in microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        let word = self.word.load(Ordering::SeqCst);
        if word & 1 == 1 { word >> 1 } else { real_us() + (word >> 1) }
    }

    /// Makes the server that `command` starts read this clock.
    pub(super) fn preload_into(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("RL_TEST_CLOCK", &self.file.0);
    }

    fn shift(&self, us: i64) {
        // The lowest bit tells frozen from running: it stays.
        self.word.fetch_add(us << 1, Ordering::SeqCst);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

fn real_us() -> i64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

/// The compiled `clock.c`: built once for each version of it.
fn library() -> &'static OsStr {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        let mut hasher = DefaultHasher::new();
        include_str!("clock.c").hash(&mut hasher);
        let library = super::tmp_dir().join(format!("clock-{:016x}.so", hasher.finish()));
        if !library.exists() {
            compile(Path::new(source), &library);
        }
        library
    });
    LIBRARY.as_os_str()
}

/// Compiles beside the target and renames, so that no other test process loads half a library.
fn compile(source: &Path, library: &Path) {
    let unfinished = library.with_extension(std::process::id().to_string());
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .args([&unfinished, source])
        .output()
        .unwrap_or_else(|error| panic!("the test clock needs a C compiler, `cc`: {error}"));
    assert!(
        output.status.success(),
        "cannot compile {}:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&unfinished, library).unwrap();
}

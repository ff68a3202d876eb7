//! A sliding log's entries in memory, in order of time and then of text, as a sorted set keeps them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use redis_limiter::algorithms::{Entry, Log, OtherData, Time};

/// The entries; clones share them, as handles on one key do.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    pub entries: Rc<RefCell<Vec<Entry>>>,
    /// Entries read, added and removed so far: what a server's work grows with.
    pub touched: Rc<Cell<usize>>,
}

impl MemoryLog {
    fn touch(&self) {
        self.touched.set(self.touched.get().saturating_add(1));
    }
}

impl Log for MemoryLog {
    fn newest(&self) -> Result<Option<Entry>, OtherData> {
        self.touch();
        Ok(self.entries.borrow().last().copied())
    }

    fn walk_after(&self, after: Time, mut visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData> {
        let entries = self.entries.borrow();
        let first = entries.partition_point(|entry| entry.at <= after);
        for entry in &entries[first..] {
            self.touch();
            if !visit(*entry) {
                break;
            }
        }
        Ok(())
    }

    fn length(&self) -> usize {
        self.entries.borrow().len()
    }

    fn add(&mut self, entry: &Entry) {
        self.touch();
        let mut entries = self.entries.borrow_mut();
        let at = entries.partition_point(|other| other.at <= entry.at);
        entries.insert(at, *entry);
    }

    fn remove(&mut self, gone: &[Entry]) {
        for entry in gone {
            self.touch();
            self.entries.borrow_mut().retain(|other| other != entry);
        }
    }

    fn remove_oldest(&mut self, until: Time, at_most: usize) {
        let mut entries = self.entries.borrow_mut();
        let stale = entries.partition_point(|entry| entry.at <= until).min(at_most);
        entries.drain(..stale);
        self.touched.set(self.touched.get().saturating_add(stale));
    }

    fn clear(&mut self) {
        self.touch();
        self.entries.borrow_mut().clear();
    }
}

//! A sliding log's entries in memory, in order of time and then of text, as a sorted set keeps them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use redis_limiter::algorithms::{Dropped, EARLIEST, Edit, Entry, Log, OtherData, Time};

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

impl MemoryLog {
    /// Makes an edit, as a server would.
    pub fn apply(&mut self, edit: &Edit) {
        let mut entries = self.entries.borrow_mut();
        if edit.clear {
            self.touched.set(self.touched.get().saturating_add(1));
            entries.clear();
        }
        for entry in &edit.added {
            let at = entries.partition_point(|other| other.at <= entry.at);
            entries.insert(at, *entry);
        }
        if let Some(gone) = edit.replaced {
            entries.retain(|other| *other != gone);
        }
        let gone = match edit.dropped {
            Dropped::None => 0,
            Dropped::Oldest(at_most, until) => {
                entries.partition_point(|entry| entry.at <= until).min(at_most)
            }
            Dropped::Before(at) => entries.partition_point(|entry| entry.at < at),
        };
        entries.drain(..gone);
        self.touched.set(self.touched.get().saturating_add(edit.added.len()).saturating_add(gone));
    }
}

impl Log for MemoryLog {
    fn newest(&self) -> Result<Option<Entry>, OtherData> {
        self.touch();
        Ok(self.entries.borrow().last().copied())
    }

    fn walk(&self, after: Option<Time>, mut visit: impl FnMut(Entry) -> bool) -> Result<(), OtherData> {
        let entries = self.entries.borrow();
        let first = after.map_or(0, |after| entries.partition_point(|entry| entry.at <= after));
        for entry in &entries[first..] {
            self.touch();
            if !visit(*entry) {
                break;
            }
        }
        Ok(())
    }

    fn has_more_below(&self) -> bool {
        self.touch();
        self.entries.borrow().first().is_some_and(|entry| entry.at < EARLIEST)
    }

    fn length(&self) -> usize {
        self.entries.borrow().len()
    }
}

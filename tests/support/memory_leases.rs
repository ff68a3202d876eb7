//! Leases in memory, in order of their ends and then of text, as a sorted set keeps them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use redis_limiter::algorithms::{LeaseEdit, Leases, OtherData, Time};

/// The leases of one key, as its holder sees them; others see the same.
#[derive(Clone, Debug, Default)]
pub struct MemoryLeases {
    pub own: u32,
    /// End and holder.
    pub leases: Rc<RefCell<Vec<(i64, u32)>>>,
    /// Leases read so far: what a server's work grows with.
    pub touched: Rc<Cell<usize>>,
}

impl MemoryLeases {
    fn touch(&self) {
        self.touched.set(self.touched.get() + 1);
    }

    fn read(&self, at: Option<usize>) -> Option<Time> {
        self.touch();
        at.and_then(|at| self.leases.borrow().get(at).map(|(end, _)| Time::from_us(*end)))
    }

    /// Makes an edit, as a server would.
    pub fn apply(&self, edit: &LeaseEdit, now: Time) {
        let mut leases = self.leases.borrow_mut();
        if edit.clear {
            leases.clear();
        }
        leases.retain(|(_, holder)| *holder != self.own);
        leases.push((edit.end.us(), self.own));
        leases.sort_unstable();
        let ended = leases.iter().filter(|(end, _)| *end <= now.us()).count();
        leases.drain(..ended.min(edit.dropped));
    }
}

impl Leases for MemoryLeases {
    fn own(&self) -> Result<Option<Time>, OtherData> {
        let at = self.leases.borrow().iter().position(|(_, holder)| *holder == self.own);
        Ok(self.read(at))
    }

    fn walk(&self, after: Option<Time>, mut visit: impl FnMut(Time) -> bool) -> Result<(), OtherData> {
        let leases = self.leases.borrow();
        let first = after.map_or(0, |after| leases.partition_point(|(end, _)| *end <= after.us()));
        for (end, _) in &leases[first..] {
            self.touch();
            if !visit(Time::from_us(*end)) {
                break;
            }
        }
        Ok(())
    }

    fn last(&self) -> Result<Option<Time>, OtherData> {
        Ok(self.read(self.length().checked_sub(1)))
    }

    fn last_but_one(&self) -> Result<Option<Time>, OtherData> {
        Ok(self.read(self.length().checked_sub(2)))
    }

    fn count_after(&self, at: Time) -> Result<usize, OtherData> {
        self.touch();
        Ok(self.leases.borrow().iter().filter(|(end, _)| *end > at.us()).count())
    }

    fn at_rank(&self, rank: usize) -> Result<Time, OtherData> {
        self.read(Some(rank)).ok_or(OtherData)
    }

    fn length(&self) -> usize {
        self.leases.borrow().len()
    }
}

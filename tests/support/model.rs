//! Slow, obvious models of the algorithms, to hold the quick ones against.
//!
//! A model keeps what happened and recounts it. It knows one question, how much is used at an instant; waits are
//! found by trying instants. Nothing here is shared with the code under test.

use std::collections::BTreeMap;
use std::sync::LazyLock;

const MICRO: i128 = 1_000_000;
const SECOND: i128 = 1_000_000;
/// Debt beyond this is refused.
pub const MAX_USED: i128 = 4_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    TokenBucket,
    LeakyBucket,
    Fixed,
    Aligned,
    Months,
    SlidingCounter,
    SlidingLog,
}

pub const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::TokenBucket,
    Algorithm::LeakyBucket,
    Algorithm::Fixed,
    Algorithm::Aligned,
    Algorithm::Months,
    Algorithm::SlidingCounter,
    Algorithm::SlidingLog,
];

/// A twelfth of the calendar's mean year: a window of so many of these stands for as many months.
pub const MONTH: i128 = 2_629_746 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Whole,
    Force,
    Partial,
}

/// A call's terms and what it asks. Times are microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub algorithm: Algorithm,
    pub limit: i128,
    pub refill: i128,
    pub window: i128,
    pub offset: i128,
    pub cost: i128,
    pub mode: Mode,
}

/// What a limiter remembers.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    /// Buckets: millionths used, and when.
    level: i128,
    at: i128,
    /// Fixed windows: the count and the end; sliding counters: the count of each window, by its start.
    count: i128,
    end: i128,
    windows: BTreeMap<i128, i128>,
    /// Sliding log: instant and units of every call still remembered.
    calls: Vec<(i128, i128)>,
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub reply: [i128; 7],
    /// Not allowed, and nothing charged.
    pub refuses: bool,
    pub charge: i128,
}

/// A forced cost that cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

impl Limiter {
    /// Whether nothing is remembered, so that no state is stored.
    pub fn is_unused(&self) -> bool {
        self.level == 0 && self.count == 0 && self.windows.values().all(|n| *n == 0) && self.calls.is_empty()
    }

    /// Units used at `t`, rounded up, if nobody charges until then.
    pub fn used(&self, call: &Call, t: i128) -> i128 {
        match call.algorithm {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => {
                let elapsed = (t - self.at).max(0);
                let drained = elapsed * call.refill * MICRO / call.window;
                ceil_div((self.level - drained).max(0), MICRO)
            }
            Algorithm::Fixed | Algorithm::Aligned | Algorithm::Months => {
                if t < self.end {
                    self.count
                } else {
                    0
                }
            }
            Algorithm::SlidingCounter => {
                // Until the clock has caught up with the newest window, time stands at its start.
                let newest = self.windows.keys().next_back().copied().unwrap_or(i128::MIN);
                let t = t.max(newest);
                let start = t.div_euclid(call.window) * call.window;
                let count = |start| self.windows.get(&start).copied().unwrap_or(0);
                let rest = call.window - (t - start);
                count(start) + ceil_div(count(start - call.window) * rest, call.window)
            }
            Algorithm::SlidingLog => {
                // Likewise with the newest call.
                let t = t.max(self.calls.last().map_or(t, |(at, _)| *at));
                self.calls.iter().filter(|(at, _)| t - at < call.window).map(|(_, units)| units).sum()
            }
        }
    }

    /// How long after `now` at most `level` units are used, found by trying.
    fn wait(&self, call: &Call, now: i128, level: i128) -> i128 {
        if self.used(call, now) <= level {
            return 0;
        }
        let (mut not_yet, mut enough) = (0, 1);
        while self.used(call, now + enough) > level {
            not_yet = enough;
            enough *= 2;
        }
        while enough - not_yet > 1 {
            let middle = (not_yet + enough) / 2;
            if self.used(call, now + middle) > level { not_yet = middle } else { enough = middle }
        }
        enough
    }

    /// Pulls state that lies more than a second ahead of `now` to the present. Whether there was any.
    pub fn pull(&mut self, call: &Call, now: i128) -> bool {
        let limit = now + SECOND;
        match call.algorithm {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => {
                let ahead = self.level > 0 && self.at > limit;
                if ahead {
                    self.at = now;
                }
                ahead
            }
            Algorithm::Fixed | Algorithm::Aligned | Algorithm::Months => {
                // Later than any window ends that a clock up to a second ahead would be in.
                let ahead = self.count > 0 && self.end > window_end(call, limit);
                if ahead {
                    self.end = window_end(call, now);
                }
                ahead
            }
            Algorithm::SlidingCounter => {
                let Some((&newest, _)) = self.windows.iter().next_back() else { return false };
                let ahead = newest > limit;
                if ahead {
                    let count = |start| self.windows.get(&start).copied().unwrap_or(0);
                    let (here, before) = (count(newest), count(newest - call.window));
                    let start = now.div_euclid(call.window) * call.window;
                    self.windows = BTreeMap::from([(start, here), (start - call.window, before)]);
                }
                ahead
            }
            Algorithm::SlidingLog => {
                let Some(&(newest, _)) = self.calls.last() else { return false };
                let ahead = newest > limit;
                if ahead {
                    self.calls = vec![(now, self.used(call, newest))];
                }
                ahead
            }
        }
    }

    /// Answers `call`, without charging it: `reply` is what stands after a charge only once that was made.
    pub fn judge(&self, call: &Call, now: i128) -> Result<Answer, TooMuch> {
        let used = self.used(call, now);
        let room = call.limit - used;
        let fits = call.cost <= room;
        let (allowed, charge) = match call.mode {
            _ if call.cost < 0 => (1, call.cost),
            _ if call.cost == 0 => (i128::from(fits), 0),
            Mode::Whole => (i128::from(fits), if fits { call.cost } else { 0 }),
            Mode::Force if used + call.cost > MAX_USED => return Err(TooMuch),
            Mode::Force => (i128::from(fits), call.cost),
            Mode::Partial => {
                let granted = call.cost.min(room).max(0);
                (granted, granted)
            }
        };
        let refuses = allowed == 0 && charge == 0;
        let mut reply = self.reply(call, now, allowed);
        if allowed > 0 && call.cost >= 0 && call.algorithm == Algorithm::LeakyBucket {
            // Its turn comes when all before it is done.
            reply[3] = ceil_ms(self.wait(call, now, 0));
        }
        Ok(Answer { reply, refuses, charge })
    }

    /// The seven integers as the state stands.
    fn reply(&self, call: &Call, now: i128, allowed: i128) -> [i128; 7] {
        let used = self.used(call, now);
        let wanted = if call.mode == Mode::Partial && call.cost > 0 { 1 } else { call.cost };
        let retry = match () {
            () if allowed > 0 => 0,
            () if wanted > call.limit => -1,
            () => ceil_ms(self.wait(call, now, call.limit - wanted)),
        };
        let next = match () {
            () if call.limit == 0 => -1,
            () if used == 0 => 0,
            () => ceil_ms(self.wait(call, now, used.min(call.limit) - 1)),
        };
        let remaining = (call.limit - used).max(0);
        [allowed, call.limit, remaining, retry, ceil_ms(self.wait(call, now, 0)), next, used]
    }

    /// Charges what `answer` says, and completes its reply.
    pub fn charge(&mut self, call: &Call, now: i128, answer: &mut Answer) {
        let units = answer.charge;
        if units != 0 {
            self.change(call, now, units);
        }
        let delay = answer.reply[3];
        answer.reply = self.reply(call, now, answer.reply[0]);
        if answer.reply[0] > 0 {
            answer.reply[3] = delay;
        }
    }

    fn change(&mut self, call: &Call, now: i128, units: i128) {
        match call.algorithm {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => {
                let refilled = (now - self.at).max(0) * call.refill * MICRO;
                let level = (self.level - refilled / call.window).max(0);
                let carried = refilled % call.window / (call.refill * MICRO);
                self.at = if level == 0 { now } else { now.max(self.at) - carried };
                self.level = (level + units * MICRO).max(0);
            }
            Algorithm::Fixed | Algorithm::Aligned | Algorithm::Months => {
                if self.used(call, now) == 0 {
                    self.count = 0;
                    self.end = window_end(call, now);
                }
                self.count = (self.count + units).max(0);
            }
            Algorithm::SlidingCounter => {
                let newest = self.windows.keys().next_back().copied().unwrap_or(i128::MIN);
                let start = now.max(newest).div_euclid(call.window) * call.window;
                let charged_now = self.windows.get(&start).copied().unwrap_or(0);
                if units < 0 && charged_now == 0 && self.used(call, now) > 0 {
                    return; // It takes nothing back.
                }
                self.windows = self.windows.split_off(&(start - call.window));
                let here = self.windows.entry(start).or_default();
                *here = (*here + units).max(0);
            }
            Algorithm::SlidingLog if units > 0 => {
                let newest = self.calls.last().map(|(at, _)| *at);
                self.calls.push((newest.map_or(now, |at| now.max(at + 1)), units));
            }
            Algorithm::SlidingLog => {
                let t = now.max(self.calls.last().map_or(now, |(at, _)| *at));
                self.calls.retain(|(at, _)| t - at < call.window);
                let mut rest = -units;
                for (_, units) in &mut self.calls {
                    let taken = rest.min(*units);
                    *units -= taken;
                    rest -= taken;
                }
                self.calls.retain(|(_, units)| *units > 0);
            }
        }
        if self.used(call, now) == 0 {
            *self = Self::default();
        }
    }
}

/// When the window ends that is open at `now`, or would be opened.
pub fn window_end(call: &Call, now: i128) -> i128 {
    match call.algorithm {
        Algorithm::Months => {
            let count = usize::try_from(call.window / MONTH).unwrap();
            // A hundred years before 1970 are a whole number of windows only of some lengths.
            let since_1970 =
                MONTHS.partition_point(|start| start + call.offset <= now) as i128 - 1 - BEFORE_1970;
            let next = (since_1970.div_euclid(count as i128) + 1) * count as i128;
            MONTHS[usize::try_from(next + BEFORE_1970).unwrap()] + call.offset
        }
        Algorithm::Aligned => {
            let start = (now - call.offset).div_euclid(call.window) * call.window + call.offset;
            start + call.window
        }
        _ => now + call.window,
    }
}

/// Months from 1870 to 1970.
const BEFORE_1970: i128 = 1200;

/// The instants at which the months of 1870 to 2370 begin, counted up day by day.
static MONTHS: LazyLock<Vec<i128>> = LazyLock::new(|| {
    let (mut starts, mut day) = (Vec::new(), 0);
    for year in 1870..2370 {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for days in [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            starts.push(day);
            day += days;
        }
    }
    let epoch = starts[BEFORE_1970 as usize];
    starts.into_iter().map(|day| (day - epoch) * 86_400 * SECOND).collect()
});

fn ceil_div(dividend: i128, divisor: i128) -> i128 {
    (dividend + divisor - 1).div_euclid(divisor)
}

fn ceil_ms(us: i128) -> i128 {
    ceil_div(us, 1000).min((1 << 53) - 1)
}

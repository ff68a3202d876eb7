//! Random calls at random instants, chosen to hit what matters: the ends of windows and waits, limits that are
//! nearly used up, and values at the ends of their ranges.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::model::{self, Algorithm, Call, Limiter, MONTH, Mode};

/// How the clock moves between calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Forward,
    BothWays,
}

pub struct Schedule {
    pub rng: StdRng,
    clock: Clock,
    pub now: i128,
    base: Call,
}

const MS: i128 = 1000;
const S: i128 = 1_000_000;
const DAY: i128 = 86_400 * S;
const WINDOWS: [i128; 12] =
    [MS, 7 * MS, 250 * MS, S, S, 10 * S, 60 * S, 90 * S, 3600 * S, DAY, 7 * DAY, 3660 * DAY];
/// How many months a window has.
const MONTHS: [i128; 6] = [1, 1, 3, 5, 12, 120];
/// A moment of 2025, in no window's favour.
pub const BEGIN: i128 = 1_763_902_012_345_678;

impl Schedule {
    pub fn new(algorithm: Algorithm, clock: Clock, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let window = match algorithm {
            Algorithm::Months => MONTHS[rng.random_range(0..MONTHS.len())] * MONTH,
            _ => WINDOWS[rng.random_range(0..WINDOWS.len())],
        };
        let mut this = Self {
            clock,
            now: BEGIN + rng.random_range(0..DAY),
            base: Call { algorithm, limit: 0, refill: 1, window, offset: 0, cost: 1, mode: Mode::Whole },
            rng,
        };
        this.new_limits();
        this.new_offset();
        this
    }

    fn new_offset(&mut self) {
        let Call { algorithm, window, .. } = self.base;
        self.base.offset = match self.rng.random_range(0..4) {
            0..=1 => 0,
            _ if algorithm == Algorithm::Months => self.rng.random_range(-DAY..=27 * DAY) / MS * MS,
            _ => self.rng.random_range(-3 * window..=3 * window).clamp(-3660 * DAY, 3660 * DAY) / MS * MS,
        };
    }

    fn new_limits(&mut self) {
        self.base.limit = self.amount();
        self.base.refill = self.amount().max(1);
    }

    /// Mostly small, at times up to the largest.
    fn amount(&mut self) -> i128 {
        match self.rng.random_range(0..10) {
            0 => 0,
            1 => 1,
            2..=5 => self.rng.random_range(1..=10),
            6..=7 => self.rng.random_range(1..=1000),
            8 => self.rng.random_range(1..=1_000_000_000_000),
            _ => 1_000_000_000_000,
        }
    }

    /// The next instant and call, given how the limiter stands.
    pub fn next(&mut self, limiter: &Limiter) -> (i128, Call) {
        self.step(limiter);
        (self.now, self.call(limiter))
    }

    /// The next call at this instant.
    pub fn call(&mut self, limiter: &Limiter) -> Call {
        if self.rng.random_bool(0.1) {
            self.new_limits();
        }
        if self.rng.random_bool(0.03) {
            self.new_offset();
        }
        let mut call = self.base;
        let used = limiter.used(&call, self.now);
        let room = (call.limit - used).max(0);
        let rng = &mut self.rng;
        let cost = match rng.random_range(0..20) {
            0 => 0,
            1 => -1,
            2 => -rng.random_range(1..=used.max(1)),
            3 => -used.max(1) - 1,
            4..=9 => 1,
            10..=12 => rng.random_range(1..=call.limit.max(1)),
            13..=14 => room,
            15 => room + 1,
            16..=17 => rng.random_range(1..=room.max(1)),
            18 => call.limit + 1,
            _ => rng.random_range(1..=1_000_000_000_000),
        };
        call.cost = cost.clamp(-1_000_000_000_000, 1_000_000_000_000);
        call.mode = match rng.random_range(0..8) {
            0..=4 => Mode::Whole,
            5..=6 => Mode::Partial,
            _ => Mode::Force,
        };
        call
    }

    /// Moves the clock.
    pub fn step(&mut self, limiter: &Limiter) {
        let Call { window, limit, .. } = self.base;
        let rng = &mut self.rng;
        let forward = match rng.random_range(0..12) {
            0..=1 => 0,
            2 => 1,
            3 => rng.random_range(0..2000),
            4..=5 => window / limit.clamp(1, 1000),
            6 => rng.random_range(0..=window),
            7 => window - 1,
            8 => window,
            // Just before, at, or just after a window's boundary.
            9 => {
                let end = match self.base.algorithm {
                    Algorithm::Aligned | Algorithm::Months => model::window_end(&self.base, self.now),
                    _ => self.now - self.now.rem_euclid(window) + window,
                };
                end - self.now + rng.random_range(-1..=1)
            }
            // As long as the answer to a denied call says, or a millisecond less.
            10 => {
                let call = Call { cost: 1, mode: Mode::Whole, ..self.base };
                let wait = limiter.judge(&call, self.now).map_or(0, |answer| answer.reply[3]);
                (wait.max(0) * MS - if rng.random_bool(0.5) { MS } else { 0 }).max(0)
            }
            _ => rng.random_range(0..=3 * window),
        };
        let back = match rng.random_range(0..8) {
            0 => rng.random_range(0..=100),
            1 => rng.random_range(0..=S),
            2 => S + rng.random_range(-1..=1),
            3 => rng.random_range(0..=2 * window),
            4 => 3600 * S,
            5 => 365 * DAY,
            _ => 0,
        };
        let backward = self.clock == Clock::BothWays && rng.random_bool(0.3);
        // Between 2010 and 2200, where scores are exact.
        self.now = (self.now + if backward { -back } else { forward })
            .clamp(BEGIN - 15 * 365 * DAY, BEGIN + 175 * 365 * DAY);
    }
}

//! The algorithms alone, without a server: against slow, obvious models, and what each promises.

mod algorithms;
mod calendar;
mod leases;
mod planted_logs;
mod properties;

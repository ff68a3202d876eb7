//! The commands that charge one limit: `RL.TOKENBUCKET`, `RL.LEAKYBUCKET`, `RL.FIXED`, `RL.SLIDINGCOUNTER`
//! and `RL.SLIDINGLOG`.

use super::execute::{self, Intent};
use super::grammar::{self, Grammar, Limit};
use super::request;
use crate::server::{Call, Handler};

/// Charges one limit of `grammar`.
fn charge(call: &Call<'_>, grammar: &'static Grammar) {
    let mut limit = Limit::new(grammar, 0);
    let key = request::one(call.arguments(), &mut limit);
    match key.and_then(|key| execute::one(call, key, &limit, Intent::Charge)) {
        Ok(answer) => call.reply_integers(&answer.integers()),
        Err(error) => error.reply(call),
    }
}

macro_rules! limit_commands {
    ($($command:ident is $grammar:ident),* $(,)?) => {
        $(
            #[doc = concat!("The command of [`grammar::", stringify!($grammar), "`].")]
            pub struct $command;

            impl Handler for $command {
                fn run(call: &Call<'_>) {
                    charge(call, &grammar::$grammar);
                }
            }
        )*
    };
}

limit_commands!(
    TokenBucket is TOKEN_BUCKET,
    LeakyBucket is LEAKY_BUCKET,
    Fixed is FIXED,
    SlidingCounter is SLIDING_COUNTER,
    SlidingLog is SLIDING_LOG,
);

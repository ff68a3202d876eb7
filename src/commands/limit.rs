//! The commands that charge one limit: `RL.TOKENBUCKET`, `RL.LEAKYBUCKET`, `RL.FIXED`, `RL.SLIDINGCOUNTER`
//! and `RL.SLIDINGLOG`.

use super::execute::{Intent, execute};
use super::grammar::{self, Grammar};
use super::request::Request;
use crate::server::{Call, Handler};

/// Charges one limit of `grammar`.
fn charge(call: &Call<'_>, grammar: &'static Grammar) {
    let words = call.words().get(1..).unwrap_or_default();
    let outcome = Request::one(grammar, words).and_then(|request| execute(call, &request, Intent::Charge));
    match outcome {
        Ok(outcome) => {
            if let Some(answer) = outcome.answers.first() {
                call.reply_integers(&answer.integers());
            }
        }
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

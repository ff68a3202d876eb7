//! The commands that charge one limit: `RL.TOKENBUCKET`, `RL.LEAKYBUCKET`, `RL.FIXED`, `RL.SLIDINGCOUNTER`
//! and `RL.SLIDINGLOG`.

use super::error::Error;
use super::execute::{self, Intent};
use super::grammar::{self, Grammar};
use super::request;
use crate::server::{Call, Handler};

/// Charges one limit of `grammar`.
#[inline(always)]
fn charge(call: &Call<'_>, grammar: &'static Grammar) -> Result<(), Error> {
    let (key, limit) = request::one(grammar, call.arguments())?;
    let answer = execute::one(call, key, &limit, Intent::Charge)?;
    call.reply_integers(&answer.integers());
    Ok(())
}

macro_rules! limit_commands {
    ($($command:ident is $grammar:ident),* $(,)?) => {
        $(
            #[doc = concat!("The command of [`grammar::", stringify!($grammar), "`].")]
            pub struct $command;

            impl Handler for $command {
                fn run(call: &Call<'_>) {
                    if let Err(error) = charge(call, grammar::$grammar) {
                        error.reply(call);
                    }
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

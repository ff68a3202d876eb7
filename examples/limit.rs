//! Three calls at once for each user, and five more a minute.

fn main() -> redis::RedisResult<()> {
    let url = std::env::var("REDIS_URL").unwrap_or("redis://localhost".into());
    let mut redis = redis::Client::open(url)?.get_connection()?;

    let reply: Vec<i64> =
        redis::cmd("RL.TOKENBUCKET").arg(&["rl:user:7", "3", "5", "1m"]).query(&mut redis)?;
    if let [allowed, _limit, remaining, retry_after_ms, ..] = reply[..] {
        match allowed {
            1 => println!("go ahead, {remaining} left"),
            _ => println!("wait {retry_after_ms} ms"),
        }
    }
    Ok(())
}

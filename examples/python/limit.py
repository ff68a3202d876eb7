# Three calls at once for each user, and five more a minute.
import os
import redis

client = redis.from_url(os.environ.get("REDIS_URL", "redis://localhost"))

allowed, limit, remaining, retry_after_ms, *_ = client.execute_command("RL.TOKENBUCKET", "rl:user:7", 3, 5, "1m")
print(f"go ahead, {remaining} left" if allowed else f"wait {retry_after_ms} ms")

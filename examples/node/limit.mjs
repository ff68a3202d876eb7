// Three calls at once for each user, and five more a minute.
import { createClient } from 'redis';

const redis = await createClient({ url: process.env.REDIS_URL }).connect();

const [allowed, limit, remaining, retryAfterMs] = await redis.sendCommand(
  ['RL.TOKENBUCKET', 'user:7', '3', '5', '1m']);
console.log(allowed ? `go ahead, ${remaining} left` : `wait ${retryAfterMs} ms`);

await redis.close();

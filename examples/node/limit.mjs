// Three calls at once for each user, and five more a minute.
import { createClient } from 'redis';

const redis = createClient({ url: process.env.REDIS_URL });
// Without this listener a lost connection ends the process.
redis.on('error', (error) => console.error(`redis: ${error.message}`));
await redis.connect();

// node-redis sends strings only, so numbers are strings here.
const [allowed, limit, remaining, retryAfterMs] = await redis.sendCommand(
  ['RL.TOKENBUCKET', 'rl:user:7', '3', '5', '1m']);
console.log(allowed ? `go ahead, ${remaining} left` : `wait ${retryAfterMs} ms`);

await redis.close();

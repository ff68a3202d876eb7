// The same with the package `ioredis`.
import Redis from 'ioredis';

const redis = new Redis(process.env.REDIS_URL);
redis.on('error', (error) => console.error(`redis: ${error.message}`));

const [allowed, limit, remaining, retryAfterMs] = await redis.call(
  'RL.TOKENBUCKET', 'rl:user:7', '3', '5', '1m');
console.log(allowed ? `go ahead, ${remaining} left` : `wait ${retryAfterMs} ms`);

await redis.quit();

// A Cloudflare Worker: 3 requests a minute for each address.
import { Redis } from 'ioredis';
import { createLimiter, fixedWindow } from 'redis-limiter-client';
import { withRateLimit } from 'redis-limiter-client/fetch';

// A Worker's socket serves one request only, so each request has a client of its own.
const limiterOf = (_request, env) => {
  const redis = new Redis(env.REDIS_URL, { maxRetriesPerRequest: 1 });
  redis.on('error', (error) => console.error(`redis: ${error.message}`));
  return createLimiter(redis);
};

export default {
  fetch: withRateLimit(
    limiterOf,
    {
      limits: fixedWindow({ limit: 3, window: '1m', name: 'edge' }),
      // The platform sets this header itself, whatever the client wrote.
      address: (request) => request.headers.get('cf-connecting-ip'),
    },
    () => new Response('hello from the edge\n'),
  ),
};

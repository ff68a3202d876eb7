// One route that costs more: 2 at once, and one more every 10 seconds.
import { tokenBucket } from 'redis-limiter-client';
import { withRateLimit } from 'redis-limiter-client/fetch';
import { address, limiter } from '../../../limiter.js';

export const GET = withRateLimit(
  limiter,
  { limits: tokenBucket({ capacity: 2, refill: 1, period: '10s', name: 'hello' }), address },
  () => Response.json({ hello: 'world' }),
);

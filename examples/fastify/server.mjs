// A Fastify application with limits by tier: a few requests at once, and a quota a day.
import Fastify from 'fastify';
import { createClient } from 'redis';
import { createLimiter, fixedWindow, tokenBucket } from 'redis-limiter-client';
import rateLimit from 'redis-limiter-client/fastify';

const redis = createClient({ url: process.env.REDIS_URL });
// Without this listener a lost connection ends the process.
redis.on('error', (error) => console.error(`redis: ${error.message}`));
await redis.connect();

const tier = (burst, daily) => [
  { limit: tokenBucket({ capacity: burst, refill: burst, period: '1s', name: 'burst' }) },
  { limit: fixedWindow({ limit: daily, window: '1d', align: true, name: 'daily' }) },
];
const tiers = { free: tier(2, 3), pro: tier(100, 1_000_000) };
const customers = new Map([
  ['key-of-ann', { id: 'ann', tier: 'free' }],
  ['key-of-bob', { id: 'bob', tier: 'pro' }],
]);

// Behind a proxy: Fastify({ trustProxy: 'loopback' }). Else every caller has the proxy's address.
const app = Fastify();
app.decorateRequest('user');
app.addHook('onRequest', async (request, reply) => {
  request.user = customers.get(request.headers['x-api-key']);
  if (!request.user) return reply.code(401).send('who are you?\n');
});

// After the hook above: so each customer is limited as `user:<id>`, whatever the address.
await app.register(rateLimit, {
  limiter: createLimiter(redis),
  limits: (request) => tiers[request.user.tier],
  headers: ['draft-10', 'draft-6'],
});

app.get('/report', async (request) => `a report for ${request.user.id}\n`);

await app.listen({ port: Number(process.env.PORT ?? 3000) });
console.log('listening');

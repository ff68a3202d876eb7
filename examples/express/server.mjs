// An Express application whose every caller has 100 requests a minute, and whose logins can be tried 3 times.
import express from 'express';
import { createClient } from 'redis';
import { createLimiter, fixedWindow, slidingLog } from 'redis-limiter-client';
import { rateLimit } from 'redis-limiter-client/express';

const redis = createClient({ url: process.env.REDIS_URL });
// Without this listener a lost connection ends the process.
redis.on('error', (error) => console.error(`redis: ${error.message}`));
// Without await, so that the application starts while Redis is down, too.
redis.connect().catch((error) => console.error(`redis: ${error.message}`));
// No request waits longer for Redis; while Redis is away, requests pass.
const limiter = createLimiter(redis, { timeoutMs: 1000, onUnavailable: 'open' });

const app = express();
// Behind a proxy: app.set('trust proxy', 1). Else every caller has the proxy's address.
app.use(rateLimit(limiter, { limits: fixedWindow({ limit: 100, window: '1m', name: 'api' }) }));

app.get('/hello', (req, res) => {
  res.send(`hello, ${req.rateLimit.decisions[0].remaining} left\n`);
});

// By the account that is tried, wherever the attempts come from. Only wrong passwords count.
const attempts = rateLimit(limiter, {
  limits: slidingLog({ limit: 3, window: '15m', name: 'login' }),
  key: (req) => `login:${String(req.body?.name).toLowerCase()}`,
  refundOn: (res) => res.statusCode < 400,
});
app.post('/login', express.urlencoded({ extended: false }), attempts, (req, res) => {
  if (req.body?.password === 'secret') res.send('welcome\n');
  else res.status(401).send('wrong\n');
});

app.listen(process.env.PORT ?? 3000, () => console.log('listening'));

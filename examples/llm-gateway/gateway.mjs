// A gateway to a language model: each customer has 1,000 tokens a minute, and 2 streams at a time.
import express from 'express';
import { createClient } from 'redis';
import { createLimiter, fixedWindow, lease, problem, rateLimitHeaders } from 'redis-limiter-client';

const MODEL = process.env.MODEL_URL ?? 'http://localhost:3001';
const customers = new Map([['key-of-ann', 'ann'], ['key-of-bob', 'bob']]);
const tokens = fixedWindow({ limit: 1000, window: '1m', name: 'tokens' });
const streams = lease({ limit: 2, ttl: '30s', name: 'streams' });

const redis = createClient({ url: process.env.REDIS_URL });
// Without this listener a lost connection ends the process.
redis.on('error', (error) => console.error(`redis: ${error.message}`));
await redis.connect();
const limiter = createLimiter(redis);

const app = express();
app.use(express.json(), (req, res, next) => {
  req.customer = customers.get(req.get('x-api-key'));
  if (req.customer) next();
  else res.status(401).send('who are you?\n');
});

app.post('/v1/completions', async (req, res) => {
  const { prompt, max_tokens: longest } = req.body;
  if (typeof prompt !== 'string' || !Number.isInteger(longest) || longest < 1) return res.sendStatus(400);
  const held = await limiter.acquire(req.customer, streams);
  if (!held.allowed) return deny(res, { limit: streams, decision: held });
  const renewing = setInterval(() => held.renew().catch(console.error), 10_000);
  try {
    // Reserve the worst case: the prompt, at 4 characters a token, and the longest answer.
    const asked = Math.ceil(prompt.length / 4);
    const reserved = asked + longest;
    const decision = await limiter.consume(req.customer, tokens, { cost: reserved });
    if (!decision.allowed) return deny(res, { limit: tokens, cost: reserved, decision });
    res.set(rateLimitHeaders([{ limit: tokens, decision }]));
    const answered = await relay(req, res);
    // The true cost: what is left over is given back, what is missing is charged by FORCE.
    await limiter.settle(req.customer, tokens, { reserved, actual: asked + answered });
  } finally {
    clearInterval(renewing);
    await held.release();
    res.end();
  }
});

app.get('/v1/usage', async (req, res) => {
  const { used, limit } = await limiter.peek(req.customer, tokens);
  res.send(`${used} of ${limit} tokens used\n`);
});

/** Streams the model's answer on, and tells how many tokens it had: those sent, if the client hangs up. */
async function relay(req, res) {
  const hungUp = new AbortController();
  res.once('close', () => hungUp.abort());
  let sent = 0;
  try {
    const { body } = await fetch(MODEL, { method: 'POST', body: JSON.stringify(req.body), signal: hungUp.signal });
    res.set('Content-Type', 'text/event-stream');
    for await (const part of body.pipeThrough(new TextDecoderStream())) {
      sent += part.split('data: ').length - 1;
      res.write(part);
    }
  } catch (error) {
    if (!hungUp.signal.aborted) console.error(`model: ${error.message}`);
    if (!res.headersSent) res.status(502);
  }
  return sent;
}

function deny(res, denied) {
  const { status, headers, body } = problem(denied);
  res.status(status).set(rateLimitHeaders([denied])).set(headers).send(Buffer.from(JSON.stringify(body)));
}

app.listen(process.env.PORT ?? 3000, () => console.log('listening'));

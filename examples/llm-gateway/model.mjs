// Stands in for a language model: it streams `max_tokens` words, at most 5, one every 50 ms.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

createServer(async (req, res) => {
  const { max_tokens: longest } = await json(req);
  res.setHeader('Content-Type', 'text/event-stream');
  for (const word of ['to', 'be', 'or', 'not', 'to'].slice(0, longest)) {
    res.write(`data: ${word}\n\n`);
    await sleep(50);
  }
  res.end();
}).listen(process.env.PORT ?? 3001, () => console.log('listening'));

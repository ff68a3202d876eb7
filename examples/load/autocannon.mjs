// 100 connections send 2,000 requests to one endpoint: exactly the limit must be answered 200, all others 429.
// Usage: node autocannon.mjs [url] [limit]. Start it when the limit is unused.
import autocannon from 'autocannon';

const [url = 'http://localhost:3000/hello', limit = '100'] = process.argv.slice(2);
const counts = {};
const wrong = new Set();

/** Each answer tells what is left; a denied one tells the wait too. */
function look({ statusCode, headers: list }) {
  const headers = new Map();
  for (let i = 0; i < list.length; i += 2) headers.set(list[i].toLowerCase(), list[i + 1]);
  const left = headers.get('ratelimit');
  const told = /;r=\d+;t=\d+$/.test(left) && (statusCode === 200 || (/;r=0;/.test(left) && headers.get('retry-after') >= 1));
  counts[statusCode] = (counts[statusCode] ?? 0) + 1;
  if (!told) wrong.add(`an answer with status ${statusCode} has RateLimit: ${left}`);
}

const { errors } = await autocannon({
  url,
  connections: 100,
  amount: 2000,
  setupClient: (client) => client.on('headers', look),
});
if (errors > 0) wrong.add(`${errors} requests failed`);
if (counts[200] !== Number(limit) || counts[429] !== 2000 - limit) wrong.add(`the limit is ${limit}`);
console.log(`200: ${counts[200]}, 429: ${counts[429]}`);
for (const text of wrong) console.error(text);
process.exit(wrong.size > 0 ? 1 : 0);

// The same in a cluster, with the package `redis`. REDIS_URL names one of its nodes.
import { createCluster } from 'redis';

const cluster = createCluster({ rootNodes: [{ url: process.env.REDIS_URL }] });
cluster.on('error', (error) => console.error(`redis: ${error.message}`));
await cluster.connect();

// The first key, whether the command only reads, the words.
const [allowed, limit, remaining, retryAfterMs] = await cluster.sendCommand(
  'rl:{user:7}', false, ['RL.TOKENBUCKET', 'rl:{user:7}', '3', '5', '1m']);
console.log(allowed ? `go ahead, ${remaining} left` : `wait ${retryAfterMs} ms`);

await cluster.close();

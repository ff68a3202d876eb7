// The same in a cluster, with the package `ioredis`. REDIS_URL names one of its nodes.
import { Cluster, Command } from 'ioredis';
import slotOf from 'cluster-key-slot';

const cluster = new Cluster([process.env.REDIS_URL]);
cluster.on('error', (error) => console.error(`redis: ${error.message}`));

// ioredis does not know which words of a module's command are keys, and would ask any node first. So tell it the slot.
function call(name, key, ...words) {
  const command = new Command(name, [key, ...words], { replyEncoding: 'utf8' });
  command.slot = slotOf(key);
  return cluster.sendCommand(command);
}

const [allowed, limit, remaining, retryAfterMs] = await call('RL.TOKENBUCKET', 'rl:{user:7}', '3', '5', '1m');
console.log(allowed ? `go ahead, ${remaining} left` : `wait ${retryAfterMs} ms`);

await cluster.quit();

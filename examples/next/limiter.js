import { Redis } from 'ioredis';
import { createLimiter } from 'redis-limiter-client';

// It connects at the first request, not while `next build` looks at this file.
const redis = new Redis(process.env.REDIS_URL, { lazyConnect: true });
redis.on('error', (error) => console.error(`redis: ${error.message}`));
export const limiter = createLimiter(redis);

// The proxy in front sets this header itself, whatever the client wrote: nginx by
// `proxy_set_header X-Real-IP $remote_addr`. Next.js alone does not know a request's address.
export const address = (request) => request.headers.get('x-real-ip');

// Node loads these two as they are.
export default { serverExternalPackages: ['ioredis', 'redis-limiter-client'] };

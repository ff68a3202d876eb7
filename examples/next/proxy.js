// Every request to the API, before it is routed: 100 a minute.
import { NextResponse } from 'next/server';
import { fixedWindow } from 'redis-limiter-client';
import { withRateLimit } from 'redis-limiter-client/fetch';
import { address, limiter } from './limiter.js';

export const proxy = withRateLimit(
  limiter,
  // Next.js lets the proxy's header fields win over a route's, so they are left to the route.
  { limits: fixedWindow({ limit: 100, window: '1m', name: 'api' }), address, headers: false },
  () => NextResponse.next(),
);

export const config = { matcher: '/api/:path*' };

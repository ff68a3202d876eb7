// The same with k6: k6 run k6.js (-e URL=…, -e LIMIT=…). Start it when the limit is unused.
import { check } from 'k6';
import http from 'k6/http';
import { Counter } from 'k6/metrics';

const url = __ENV.URL || 'http://localhost:3000/hello';
const limit = Number(__ENV.LIMIT || 100);
const allowed = new Counter('allowed');
const denied = new Counter('denied');

export const options = {
  scenarios: { burst: { executor: 'shared-iterations', vus: 100, iterations: 2000 } },
  thresholds: {
    checks: ['rate==1'],
    allowed: [`count==${limit}`],
    denied: [`count==${2000 - limit}`],
  },
};

// A denied request is an answer, not a failure.
http.setResponseCallback(http.expectedStatuses(200, 429));

export default function () {
  const { status, headers } = http.get(url);
  if (status === 200) allowed.add(1);
  if (status === 429) denied.add(1);
  check(status, { 'is 200 or 429': (s) => s === 200 || s === 429 });
  check(headers, {
    'tells what is left': ({ Ratelimit }) => /;r=\d+;t=\d+$/.test(Ratelimit),
    'a denied one tells when': (h) => status !== 429 || Number(h['Retry-After']) >= 1,
  });
}

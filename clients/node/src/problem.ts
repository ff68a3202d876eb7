import { type Answered, answered, type Decided, denies, policyName, secondsOf } from "./policy.js";

/** Why a call was denied, as a response: RFC 9457's `application/problem+json`, with the types of the RateLimit draft. */
export interface Problem {
  /** 429; 413 where the cost is above the limit, so that no wait helps; 503 where Redis is away (`'closed'`). */
  readonly status: 429 | 413 | 503;
  /** `Content-Type`; `Retry-After` in whole seconds, at least 1, where waiting helps. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly type: string;
    readonly title: string;
    readonly status: number;
    /** The names of the limits that deny. */
    readonly "violated-policies"?: readonly string[];
  };
}

/** The types that the RateLimit draft registers, with the titles of the registry. */
const KINDS = {
  quota: ["quota-exceeded", "Quota Exceeded"],
  capacity: ["temporary-reduced-capacity", "Temporary Reduced Capacity"],
  abnormal: ["abnormal-usage-detected", "Abnormal Usage Detected"],
} as const;

/**
 * What to answer to a call that was denied.
 *
 * @param decided - the limit with its decision, or several; those that do not deny are left aside
 * @example
 * const { status, headers, body } = problem({ limit, decision });
 * return new Response(JSON.stringify(body), { status, headers });
 */
export function problem(decided: Decided | readonly Decided[]): Problem {
  const all = answered(Array.isArray(decided) ? decided : [decided as Decided]);
  const denying = all.filter(denies);
  if (denying.some(neverFits)) return made(413, KINDS.quota, denying);
  if (denying.some(({ decision }) => decision.blocked !== false)) return made(429, KINDS.abnormal, denying);
  if (denying.some(({ decision }) => decision.source === "closed")) return made(503, KINDS.capacity, denying);
  return made(429, KINDS.quota, denying);
}

/** Not even an unused limit has room for the cost. A limit of 0 has room for none: that is no fault of the cost. */
function neverFits({ decision, cost = 1 }: Answered): boolean {
  return (
    decision.blocked === false &&
    decision.retryAfterMs === null &&
    cost > decision.limit &&
    decision.limit > 0
  );
}

function made(
  status: Problem["status"],
  [type, title]: readonly [string, string],
  denying: readonly Answered[],
): Problem {
  const waits = denying.map(({ decision }) => decision.retryAfterMs);
  const helps = waits.length > 0 && !waits.includes(null);
  const retryAfter = Math.max(1, ...waits.map((ms) => secondsOf(ms ?? 0)));
  return {
    status,
    headers: {
      "Content-Type": "application/problem+json",
      ...(helps ? { "Retry-After": String(retryAfter) } : {}),
    },
    body: {
      type: `https://iana.org/assignments/http-problem-types#${type}`,
      title,
      status,
      // While Redis is away no quota is known to be exceeded.
      ...(status === 503 ? {} : { "violated-policies": denying.map(({ limit }) => policyName(limit)) }),
    },
  };
}

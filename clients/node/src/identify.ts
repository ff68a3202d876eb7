import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";

/** What {@link identify} looks at: a request of Express, Fastify, or anything alike. */
export interface Identifiable {
  /** Whom the application has authenticated. */
  readonly user?: unknown;
  /** The client's address, by the framework's own setting of which proxies to trust. */
  readonly ip?: string | undefined;
}

/** Options of {@link identify}. */
export interface IdentifyOptions {
  /** Bits of an IPv6 address that tell callers apart, 1 to 128: one subscriber has a whole network. Default 56. */
  readonly ipv6Subnet?: number;
}

/**
 * Who is limited: the user whom the application has authenticated, `user:<id>` of `req.user.id`; else the address,
 * `ip:<v4>` or `ip:<v6 network>`. It reads no header: a token that nobody has verified names nobody, and would give an
 * attacker a new quota each time.
 *
 * @throws {@link LimiterError} where there is neither
 */
export function identify(req: Identifiable, options: IdentifyOptions = {}): string {
  const id = (req.user as { id?: unknown } | null | undefined)?.id;
  if ((typeof id === "string" && id !== "") || typeof id === "number" || typeof id === "bigint") {
    return `user:${id}`;
  }
  return addressKey(req.ip, options);
}

/**
 * Who is limited, by an API key **that the application has already checked**: `key:<32 hex digits>`, a SHA-256 of
 * `X-API-Key`, else of `Authorization: Bearer …`. Without either, as {@link identify}. Never use it where keys are not
 * checked first: each random key would have a quota of its own.
 */
export async function apiKey(
  req: Identifiable & { readonly headers: unknown },
  options: IdentifyOptions = {},
): Promise<string> {
  const secret =
    header(req.headers, "x-api-key") ||
    /^Bearer +(\S+)$/i.exec(header(req.headers, "authorization") ?? "")?.[1];
  return secret ? `key:${(await sha256(secret)).slice(0, 32)}` : identify(req, options);
}

/** The key of an address. What is none, as a proxy may pass it on, shares one key: it must not give a new quota each. */
export function addressKey(
  address: string | null | undefined,
  { ipv6Subnet = 56 }: IdentifyOptions = {},
): string {
  if (!address) {
    throw new LimiterError("the request has no address to limit by: give the option key (or address)");
  }
  checkSubnet("ipv6Subnet", ipv6Subnet);
  return `ip:${network(address, ipv6Subnet) ?? "invalid"}`;
}

/** Checks the option. */
export function checkSubnet(argument: string, bits: unknown): void {
  if (typeof bits !== "number" || !Number.isInteger(bits) || bits < 1 || bits > 128) {
    throw new LimiterError(`${argument} must be a whole number from 1 to 128, not ${shown(bits)}`);
  }
}

const V4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** The IPv4 address, or the network of the IPv6 address; undefined where it is neither. */
function network(address: string, bits: number): string | undefined {
  // Some proxies write the port too: `192.0.2.1:443`, `[2001:db8::1]:443`.
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(address)?.[1] ?? address.replace(/^([\d.]+):\d+$/, "$1");
  if (V4.test(bare)) return bare;
  const text = canonical(bare.replace(/%.*$/s, ""));
  if (text === undefined) return undefined;
  const groups = groupsOf(text);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped)
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 255])
      .join(".");
  const kept = groups.map((group, i) => {
    const free = Math.min(Math.max((i + 1) * 16 - bits, 0), 16);
    return (group >> free) << free;
  });
  const prefix = canonical(kept.map((group) => group.toString(16)).join(":"));
  return bits === 128 ? prefix : `${prefix}/${bits}`;
}

/** An IPv6 address in the one spelling of RFC 5952, which is how URLs have it. */
function canonical(address: string): string | undefined {
  if (address.length > 45 || !/^[\da-f:.]+$/i.test(address) || !address.includes(":")) return undefined;
  try {
    return new URL(`http://[${address}]`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
}

/** The eight groups of a canonical address. */
function groupsOf(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const parse = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  if (tail === undefined) return parse(head);
  const [first, last] = [parse(head), parse(tail)];
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
}

/** One header of Node's or of fetch's. */
function header(headers: unknown, name: string): string | undefined {
  const value =
    typeof (headers as Headers)?.get === "function"
      ? (headers as Headers).get(name)
      : (headers as Record<string, unknown> | undefined)?.[name];
  return typeof value === "string" ? value : undefined;
}

/** Web Crypto's, since it is there in Workers too. */
export async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

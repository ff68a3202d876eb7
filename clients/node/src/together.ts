import { slotOf } from "./clients/slot.js";
import { ask, type Core, unavailable } from "./core.js";
import { type AllDecision, allFrom, combine, type Decision } from "./decision.js";
import { UnavailableError } from "./errors.js";
import { within } from "./within.js";
import { type Item, stateKey, together } from "./words.js";

/** An item and what it was answered. */
interface Charged {
  readonly item: Item;
  readonly decision: Decision;
}

/** Charges several limits, all or none: at one instant where one slot holds them, else slot by slot. */
export async function chargeAll(core: Core, items: readonly Item[]): Promise<AllDecision> {
  for (const { limit } of items) core.regions?.check(limit);
  const known = core.denials?.findAll(items);
  if (known) return known;
  const epoch = core.denials?.epoch ?? 0;
  const refunds = items.filter(({ charge: { cost = 1 } }) => cost < 0);
  try {
    const groups = bySlot(core, items);
    const all = groups.length === 1 ? await atOnce(core, items) : await inTurn(core, items, groups);
    if (!all.allowed) core.denials?.keepAll(items, all, epoch);
    else tellRegions(core, items, all);
    return all;
  } finally {
    for (const item of refunds) core.denials?.forget(item);
  }
}

/** Asks about several limits; slots are asked side by side, since there is nothing to take back. */
export async function peekAll(core: Core, items: readonly Item[]): Promise<AllDecision> {
  const groups = bySlot(core, items);
  const only = groups.length === 1;
  const decisions: (Decision | null)[] = items.map(() => null);
  const answers = groups.map(async (group) => {
    const part = group.map((i) => items[i] as Item);
    const all = await send(core, "RL.PEEK", part).catch((error) =>
      core.fallback.all(unavailable(error), part, only, true),
    );
    for (const [n, i] of group.entries()) decisions[i] = all.decisions[n] ?? null;
    return all;
  });
  const [first] = await Promise.all(answers);
  return only && first ? first : combine(decisions, items, false);
}

async function atOnce(core: Core, items: readonly Item[]): Promise<AllDecision> {
  try {
    return await send(core, "RL.ALL", items);
  } catch (error) {
    const reason = unavailable(error);
    const all = await core.fallback.all(reason, items, true);
    if (!all.allowed && reason.mayHaveRun) for (const release of releases(core, items)) void release;
    return all;
  }
}

/** One slot after the other, within one `timeoutMs`; a denial or a failure gives back what was charged before it. */
async function inTurn(
  core: Core,
  items: readonly Item[],
  groups: readonly (readonly number[])[],
): Promise<AllDecision> {
  const parts = groups.map((group) => group.map((i) => items[i] as Item));
  for (const part of parts) together("RL.ALL", part); // A mistake in the last one is thrown before the first is charged.
  const end = performance.now() + core.redis.timeoutMs;
  const decisions: (Decision | null)[] = items.map(() => null);
  const charged: Charged[][] = [];
  for (const [at, part] of parts.entries()) {
    const group = groups[at] as readonly number[];
    let all: AllDecision;
    try {
      all = await send(core, "RL.ALL", part, end - performance.now());
    } catch (error) {
      if (!(error instanceof UnavailableError && core.fallback.keeps)) await giveBack(core, charged, end);
      const reason = unavailable(error);
      if (!core.fallback.keeps) {
        if (reason.mayHaveRun) for (const release of releases(core, part)) void release;
        return core.fallback.all(reason, items, false);
      }
      all = await core.fallback.all(reason, part, false);
    }
    for (const [n, i] of group.entries()) decisions[i] = all.decisions[n] ?? null;
    if (!all.allowed) {
      await giveBack(core, charged, end);
      const given = new Set(charged.flat().map(({ decision }) => decision));
      const shown = decisions.map(
        (decision) => decision && (given.has(decision) ? uncharged(decision) : decision),
      );
      return combine(shown, items, false);
    }
    charged.push(part.map((item, n) => ({ item, decision: all.decisions[n] as Decision })));
  }
  return combine(decisions, items, false);
}

/** Waits for it as long as the call has time; it goes on behind. */
async function giveBack(core: Core, charged: readonly Charged[][], end: number): Promise<void> {
  const given = charged.flatMap((group) => {
    const taken = group.filter(({ decision }) => decision.source === "redis" && decision.granted > 0);
    const units = taken.filter(({ item }) => item.limit.algorithm !== "lease");
    const back = units.map(({ item, decision }) => ({ ...item, charge: { cost: -decision.granted } }));
    return [
      ...releases(
        core,
        taken.map(({ item }) => item),
      ),
      ...(back.length === 0 ? [] : [send(core, "RL.ALL", back).catch(() => {})]),
    ];
  });
  if (given.length > 0) await within(end - performance.now(), Promise.all(given));
}

/** Leases that nobody shall hold. Where Redis is away they end with their ttl. */
function releases(core: Core, items: readonly Item[]): Promise<unknown>[] {
  const leases = items.filter(({ limit }) => limit.algorithm === "lease");
  return leases.map(async (item) => {
    const key = stateKey(item);
    await ask(core, ["RL.RELEASE", key, item.id ?? ""], key, item.limit).catch(() => {});
  });
}

async function send(
  core: Core,
  name: "RL.ALL" | "RL.PEEK",
  items: readonly Item[],
  leftMs = core.redis.timeoutMs,
): Promise<AllDecision> {
  const peek = name === "RL.PEEK";
  const first = items[0] as Item;
  const words = together(name, items);
  const timeoutMs = Math.ceil(leftMs);
  if (timeoutMs <= 0) throw new UnavailableError("timeout", "no time is left for this slot");
  const reply = await ask(core, words, stateKey(first), first.limit, { readonly: peek, timeoutMs });
  return allFrom(reply, items, peek);
}

/**
 * The places of the items, by slot, in order. Refunds come last and by themselves: what follows them cannot deny, so that
 * they need not be taken back.
 */
function bySlot(core: Core, items: readonly Item[]): number[][] {
  const all = items.map((_, i) => i);
  if (!core.redis.cluster) return [all];
  const slots = items.map((item) => slotOf(stateKey(item)));
  if (new Set(slots).size === 1) return [all];
  const groups = new Map<string, number[]>();
  const isRefund = (i: number) => (items[i]?.charge.cost ?? 1) < 0;
  for (const i of [...all.filter((i) => !isRefund(i)), ...all.filter(isRefund)]) {
    const id = `${slots[i]}${isRefund(i) ? " refund" : ""}`;
    const group = groups.get(id);
    if (group) group.push(i);
    else groups.set(id, [i]);
  }
  return [...groups.values()];
}

function tellRegions({ regions }: Core, items: readonly Item[], { decisions }: AllDecision): void {
  for (const [i, item] of items.entries()) {
    const decision = decisions[i];
    const { cost = 1 } = item.charge;
    if (decision?.source === "redis") regions?.add(item, cost < 0 ? cost : decision.granted);
  }
}

/** As it stands once it was given back, as far as this process can tell. */
function uncharged(decision: Decision): Decision {
  const used = Math.max(decision.used - decision.granted, 0);
  return { ...decision, granted: 0, used, remaining: Math.max(decision.limit - used, 0), delayMs: 0 };
}

/**
 * A mistake: a wrong argument, a wrong command, a missing right, data of somebody else on the key, a module that is not
 * loaded. It is always thrown, whatever `onUnavailable` says: a mistake must not mean no limit.
 */
export class LimiterError extends Error {
  override readonly name = "LimiterError";
  /** The command that failed, such as `RL.FIXED`; absent where none was sent. */
  readonly command: string | undefined;
  /** The Redis key of that command. */
  readonly key: string | undefined;

  constructor(message: string, details: { command?: string; key?: string; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.command = details.command;
    this.key = details.key;
  }
}

/** Why Redis gave no decision. Error codes of the server are in lower case. */
export type UnavailableKind =
  | "connection"
  | "timeout"
  | "breaker"
  | "loading"
  | "clusterdown"
  | "masterdown"
  | "readonly"
  | "oom"
  | "noreplicas"
  | "tryagain"
  | "busy"
  | "misconf"
  | "moved";

/**
 * Redis gave no decision: it is away, slow, starting, full, or failing over. The limiter follows `onUnavailable` instead
 * of throwing it; `block`, `override`, `reset` and the drop-in stores throw it.
 */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
  /** What was the matter: a label for metrics, one of few. */
  readonly kind: UnavailableKind;

  constructor(kind: UnavailableKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }

  /** Whether Redis may have run the command all the same: it timed out, or the connection broke after it was written. */
  get mayHaveRun(): boolean {
    return this.kind === "timeout" || (this.kind === "connection" && this.cause !== undefined);
  }
}

/** The codes of error replies that tell of the server's state, not of the caller's mistake. */
const UNAVAILABLE_CODES: Readonly<Record<string, UnavailableKind>> = {
  LOADING: "loading",
  CLUSTERDOWN: "clusterdown",
  MASTERDOWN: "masterdown",
  READONLY: "readonly",
  OOM: "oom",
  NOREPLICAS: "noreplicas",
  TRYAGAIN: "tryagain",
  BUSY: "busy",
  MISCONF: "misconf",
  // A client gave up following redirects: the cluster has not settled.
  MOVED: "moved",
  ASK: "moved",
};

/** An error reply begins with a code in capitals; what clients say about connections does not. */
const REPLY_CODE = /^([A-Z][A-Z0-9_]+)(?: |$)/;

/** Errors of programs, not of connections: a wrong type that a client would not send, say. */
const PROGRAM_ERRORS = [TypeError, RangeError, SyntaxError, ReferenceError];

/**
 * Tells what a client threw: {@link UnavailableError} (no decision can be had now) or {@link LimiterError} (a mistake).
 * All error replies but those of {@link UnavailableKind} are mistakes; what is no error reply is a lost connection.
 */
export function classify(error: unknown, command: string, key: string): LimiterError | UnavailableError {
  if (error instanceof LimiterError || error instanceof UnavailableError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = REPLY_CODE.exec(message)?.[1];
  const mistake = (text: string) =>
    new LimiterError(`${command} ${key}: ${text}`, { command, key, cause: error });
  if (code !== undefined && !hasSystemCode(error)) {
    const kind = UNAVAILABLE_CODES[code];
    if (kind !== undefined) return new UnavailableError(kind, message, error);
    if (/^ERR unknown command/i.test(message)) {
      return mistake(`${message} (the server has not loaded the module redis-limiter: see loadmodule)`);
    }
    return mistake(message);
  }
  if (PROGRAM_ERRORS.some((kind) => error instanceof kind) && !hasSystemCode(error)) return mistake(message);
  if (WRONG_MODE.test(message)) return mistake(message);
  return new UnavailableError("connection", message || "no connection", error);
}

/** ioredis' and iovalkey's, of a client that listens: it will never send another command. */
const WRONG_MODE = /^Connection in \w+ mode/;

/** Whether Node's network layer made the error (`ECONNREFUSED` and the like). */
function hasSystemCode(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^E[A-Z_]+$/.test(error.code)
  );
}

import { UnavailableError } from "../errors.js";

/** A client as far as its connection goes. */
export interface Connecting {
  once(event: string, listener: () => void): unknown;
}

/**
 * Lets a call through once its client is ready. A client that connects for the first time is waited for, as long as the
 * call has time; one that has lost its connection is not. So nothing waits in a client's own queue, from where it would be
 * sent when nobody wants it any more.
 */
export class Readiness {
  readonly #client: Connecting;
  readonly #isReady: () => boolean;
  readonly #event: string;
  readonly #waiting = new Set<() => void>();
  #listens = false;
  #wasReady = false;

  /** @param event - what the client emits once it is ready */
  constructor(client: Connecting, isReady: () => boolean, event = "ready") {
    this.#client = client;
    this.#isReady = isReady;
    this.#event = event;
  }

  /** Whether the client has been seen ready. */
  get wasReady(): boolean {
    this.#wasReady ||= this.#isReady();
    return this.#wasReady;
  }

  /**
   * Resolves once the client is ready.
   *
   * @throws {@link UnavailableError} where it has been ready and is so no more
   */
  async ready(signal: AbortSignal): Promise<void> {
    if (this.#isReady()) {
      this.#wasReady = true;
      return;
    }
    if (this.#wasReady) throw new UnavailableError("connection", "the client is not connected");
    await new Promise<void>((resolve, reject) => {
      const go = () => resolve();
      this.#waiting.add(go);
      const giveUp = () => {
        this.#waiting.delete(go);
        reject(new UnavailableError("connection", "the client has not connected"));
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.#listen();
    });
  }

  /** One listener for all calls: many would be taken for a leak. */
  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    this.#client.once(this.#event, () => {
      this.#wasReady = true;
      for (const go of this.#waiting) go();
      this.#waiting.clear();
    });
  }
}

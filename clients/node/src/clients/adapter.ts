/** What a client is told with the words of a command. */
export interface SendOptions {
  /** The first key: it decides the cluster slot. */
  readonly key: string;
  /** Whether a replica may answer. */
  readonly readonly: boolean;
  /** Aborted once nobody waits any more: what is not yet written must then not be sent. */
  readonly signal: AbortSignal;
}

/** Any client that can send a command: for those that this package does not know. */
export interface CustomClient {
  /**
   * Sends a command and answers its reply; error replies are thrown, their text as `message`.
   *
   * @param args - the words, the command's name first
   */
  send(args: string[], options: SendOptions): Promise<unknown>;
  /** Whether keys lie in the slots of a cluster. */
  readonly cluster?: boolean;
}

/** A client as the limiter sees it. */
export interface Adapter {
  readonly cluster: boolean;
  /** The client's own prefix, which it does not put before the keys of commands that it does not know. */
  readonly keyPrefix: string;
  send(words: string[], options: SendOptions): Promise<unknown>;
}

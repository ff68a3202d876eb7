import { connect, createServer, type Server as NetServer, type Socket } from "node:net";

interface State {
  cut: boolean;
  /** Ends the connection on which it comes, once it has passed, before its answer does. */
  fatal: string | undefined;
}

/** A network between a client and a server, which the test cuts. */
export class Network {
  readonly port: number;
  readonly #server: NetServer;
  readonly #sockets: Set<Socket>;
  readonly #state: State;

  private constructor(server: NetServer, sockets: Set<Socket>, state: State) {
    this.#server = server;
    this.#sockets = sockets;
    this.#state = state;
    this.port = (server.address() as { port: number }).port;
  }

  static async to(port: number): Promise<Network> {
    const sockets = new Set<Socket>();
    const state: State = { cut: false, fatal: undefined };
    const server = createServer((near) => {
      if (state.cut) {
        near.destroy();
        return;
      }
      const far = connect(port, "127.0.0.1");
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on("error", () => {});
        socket.once("close", () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on("data", (bytes) => {
        if (state.fatal === undefined || !bytes.includes(state.fatal)) return;
        state.fatal = undefined;
        far.unpipe(near);
        far.once("data", () => near.destroy()).resume();
      });
      near.pipe(far);
      far.pipe(near);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Network(server, sockets, state);
  }

  /** Ends what is connected, and lets nobody through. */
  cut(): void {
    this.#state.cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Lets the next command that holds these bytes through, and ends its connection when the answer comes. */
  cutAnswerOf(bytes: string | undefined): void {
    this.#state.fatal = bytes;
  }

  /** Swallows what is sent, both ways, and says nothing: a cable that was pulled. */
  swallow(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.resume();
    }
  }

  /** Lets everybody through again; connections that were swallowed end. */
  mend(): void {
    this.#state.cut = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

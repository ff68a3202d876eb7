import type { Server as HttpServer, IncomingMessage } from "node:http";
import { createServer, request } from "node:http";
import { createClient } from "redis";
import { Server } from "../support/server.js";

export type NodeRedis = ReturnType<typeof createClient>;

/** For a machine that is busy: what is tested is not how long a call takes. */
export const PATIENT_MS = 5000;

/** A server with the module on a clock that stands still, and a client of it. */
export async function startRedis(): Promise<{ server: Server; client: NodeRedis }> {
  const server = await Server.start();
  server.clock.freeze();
  const client: NodeRedis = createClient({ url: server.url });
  client.on("error", () => {});
  await client.connect();
  return { server, client };
}

/** What a request over real HTTP was answered. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

const serving = new Set<HttpServer>();

/** Serves an application on a port of its own, and answers how to call it. */
export async function serve(
  handler: Parameters<typeof createServer>[1],
): Promise<(path?: string, headers?: Record<string, string>) => Promise<Answer>> {
  const server = createServer(handler as never);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  serving.add(server);
  return caller((server.address() as { port: number }).port);
}

/** How to call an application that listens. */
export function caller(port: number) {
  return (path = "/", headers: Record<string, string> = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      request({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (part) => {
          body += part;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      })
        .on("error", reject)
        .end();
    });
}

/** Ends what {@link serve} began. */
export async function stopServing(): Promise<void> {
  for (const server of serving) await new Promise((resolve) => server.close(resolve));
  serving.clear();
}

/** The status codes of `count` calls, one after the other. */
export async function statuses(call: () => Promise<Answer>, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) found.push((await call()).status);
  return found;
}

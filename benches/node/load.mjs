// Load: connections that are kept alive, each with one request at a time.
import { connect } from "node:net";

/**
 * Calls an application for some time.
 *
 * @param users - how many callers there are, by turns
 * @returns requests a second, the 99th percentile in ms, and how many answers had which status
 */
export async function load(port, { ms, connections = 32, users }) {
  const times = [];
  const statuses = {};
  const end = performance.now() + ms;
  let turn = 0;
  const request = () =>
    `GET / HTTP/1.1\r\nHost: localhost\r\nX-User: user-${turn++ % users}\r\nConnection: keep-alive\r\n\r\n`;
  const start = performance.now();
  await Promise.all(
    Array.from(
      { length: connections },
      () =>
        new Promise((resolve, reject) => {
          const socket = connect(port, "127.0.0.1");
          let sent = 0;
          let got = "";
          const next = () => {
            if (performance.now() > end) {
              socket.destroy();
              resolve();
              return;
            }
            sent = performance.now();
            socket.write(request());
          };
          socket.setNoDelay(true).setEncoding("latin1").once("connect", next).once("error", reject);
          socket.on("data", (part) => {
            got += part;
            const head = got.indexOf("\r\n\r\n");
            if (head < 0) return;
            const length = Number(/content-length: (\d+)/i.exec(got)?.[1] ?? 0);
            if (got.length < head + 4 + length) return;
            const status = got.slice(9, 12);
            statuses[status] = (statuses[status] ?? 0) + 1;
            times.push(performance.now() - sent);
            got = "";
            next();
          });
        }),
    ),
  );
  const seconds = (performance.now() - start) / 1000;
  times.sort((a, b) => a - b);
  return {
    rps: times.length / seconds,
    p99: times[Math.floor(times.length * 0.99)] ?? 0,
    requests: times.length,
    statuses,
  };
}

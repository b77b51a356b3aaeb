// `fetch` for names that end in .localhost: to 127.0.0.1 with the name in `host`, because a system's resolver may not know them.
// Redirects are not followed, as wallets must not. With `port` it goes there, whatever the address says.
import http from 'node:http';

export async function localFetch(input, init = {}, port = undefined) {
  const url = new URL(String(input?.url ?? input));
  const headers = Object.fromEntries(new Headers(init.headers ?? {}).entries());
  const body = init.body === undefined || init.body === null ? undefined : String(init.body);
  if (init.body instanceof URLSearchParams && !headers['content-type']) {
    headers['content-type'] = 'application/x-www-form-urlencoded;charset=UTF-8';
  }
  if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
  return await new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port: port ?? url.port, path: url.pathname + url.search, method: init.method ?? 'GET', headers: { ...headers, host: url.host } },
      (reply) => {
        const parts = [];
        reply.on('data', (part) => parts.push(part));
        reply.on('end', () => {
          const all = new Headers();
          for (let i = 0; i < reply.rawHeaders.length; i += 2) all.append(reply.rawHeaders[i], reply.rawHeaders[i + 1]);
          const empty = [101, 204, 205, 304].includes(reply.statusCode);
          const response = new Response(empty ? null : Buffer.concat(parts), { status: reply.statusCode, headers: all });
          Object.defineProperty(response, 'url', { value: url.href });
          resolve(response);
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** Reads the task of a script: one JSON text on standard input. */
export async function task() {
  const parts = [];
  for await (const part of process.stdin) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

/** Says the result of a script: one JSON text on standard output. */
export function done(result) {
  process.stdout.write(JSON.stringify(result));
}

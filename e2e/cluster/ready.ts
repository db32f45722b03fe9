import { readFile } from 'node:fs/promises';
import { get } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pair } from './certificates.ts';

/**
 * Asks again until it gives something that isn't undefined. Errors count as not yet; the last one is told where time runs out.
 * What takes long to ask (a kubectl) is asked less often: others wait for the same processors.
 */
export async function waitFor<T>(what: string, ask: () => Promise<T | undefined>, limitMs = 120_000, everyMs = 100): Promise<T> {
  let last: unknown = 'no answer';
  let tookMs = 0;
  for (const deadline = Date.now() + limitMs; Date.now() < deadline; await sleep(Math.max(everyMs, Math.min(tookMs * 2, 1000)))) {
    const asked = Date.now();
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    tookMs = Date.now() - asked;
  }
  throw new Error(`waited ${limitMs / 1000} s for ${what}: ${last instanceof Error ? last.message : String(last)}`);
}

/** A port that nobody listens on at this moment. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** A client that asks over TLS for a path; resolves with true where the answer is 200. */
export async function probe(caFile: string, client: Pair): Promise<(url: string) => Promise<true | undefined>> {
  const [ca, cert, key] = await Promise.all([caFile, client.certificate, client.key].map((path) => readFile(path)));
  if (ca === undefined || cert === undefined || key === undefined) throw new Error('a certificate is empty');
  return (url) =>
    new Promise((resolve, reject) => {
      const request = get(url, { ca, cert, key, agent: false, timeout: 2000 }, (response) => {
        response.resume();
        if (response.statusCode === 200) resolve(true);
        else reject(new Error(`${url} answers ${response.statusCode}`));
      });
      request.on('timeout', () => request.destroy(new Error(`${url}: timeout`)));
      request.on('error', reject);
    });
}

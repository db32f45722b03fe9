/** `npm run demo`: an agent, a PostgreSQL, a sidecar; what each step claims is checked, and the exit code tells. */
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../postgres/server.ts';
import { startSidecar } from './chaperone.ts';
import { showProof } from './proof.ts';
import { aside, heading, line, verdict } from './say.ts';
import { makeSecrets, SAMPLE_SQL, startBilling, writeManifests } from './stage.ts';
import { makeTokens, stayUp } from './stay.ts';
import { showApproval, showBilling, showBlocked, showMasked, showPolicyEdit } from './steps.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

async function main(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-demo-'));
  const stay = process.argv.includes('--stay');
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const cleanUp = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step().catch(() => {});
  };
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      interrupted = true;
      void cleanUp().then(() => process.exit(130));
    });
  }
  try {
    const secrets = makeSecrets();
    heading('A PostgreSQL with customers and orders, a billing service, and the sidecar before both');
    const postgres = await startPostgres({
      database: 'shop',
      roles: [{ name: 'shop_app', password: secrets.password }],
      initSql: SAMPLE_SQL,
    });
    undo.push(() => postgres.stop());
    const billing = await startBilling(secrets.token);
    undo.push(() => billing.stop());
    const manifests = join(folder, 'manifests');
    const state = join(folder, 'state');
    await writeManifests(manifests, { postgresPort: postgres.port, httpPort: billing.port, ...secrets });
    const ports = { postgres: await freePort(), http: await freePort() };
    const listen = ['--listen', `shop-db=127.0.0.1:${ports.postgres}`, '--listen', `billing-api=127.0.0.1:${ports.http}`];
    const args = ['--manifests', manifests, '--state', state, '--workload', 'shop/agent', ...listen];
    line('chaperone run --manifests examples/quickstart --workload shop/agent');
    const sidecar = await startSidecar(args, [ports.postgres, ports.http], aside);
    undo.push(() => sidecar.stop());
    const tokens = await makeTokens(folder, state);
    const stage = { folder, manifests, state, ports, postgres, billing, tokens, secrets };
    if (stay) return await stayUp(stage);

    await showMasked(stage);
    await showBlocked(stage);
    await showApproval(stage);
    await showPolicyEdit(stage);
    await showBilling(stage);
    const code = await sidecar.stop();
    await showProof(stage, code);
    return verdict();
  } finally {
    if (!interrupted) await cleanUp();
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : 'the demo failed');
  return 1;
});

import { spawn } from 'node:child_process';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { EGRESS_POLICIES, POD_PORTS, SIDECAR_UID } from '#crds/control/names.ts';
import { type RulesetOptions, ruleset } from './ruleset.ts';

const NFT_TIMEOUT_MS = 10_000;

/** The rules container's own: it ends with a failure, and the pod does not start, unless all rules are in force. */
export class ConfinementError extends Error {
  override readonly name = 'ConfinementError';
}

/** `confine.js rules --uid 64123 --port 15001 --dns ADDRESS... --egress Deny`. Rejects with ConfinementError. */
export async function applyRules(args: readonly string[]): Promise<void> {
  await nft(['-f', '-'], ruleset(readRuleArguments(args)));
}

export function readRuleArguments(args: readonly string[]): RulesetOptions {
  const { uid, port, dns = [], egress } = parsed(args);
  const policy = EGRESS_POLICIES.find((one) => one === (egress ?? 'Deny'));
  if (policy === undefined) throw new ConfinementError(`--egress ${egress}: write ${EGRESS_POLICIES.join(' or ')}`);
  const bad = dns.find((address) => isIP(address) === 0);
  if (bad !== undefined) throw new ConfinementError(`--dns ${bad}: must be an IP address`);
  if (dns.length === 0) throw new ConfinementError("--dns is needed: an address of the cluster's resolver");
  return { uid: number('--uid', uid, SIDECAR_UID), port: number('--port', port, POD_PORTS.transparent), dns, egress: policy };
}

function parsed(args: readonly string[]) {
  try {
    const options = {
      uid: { type: 'string' },
      port: { type: 'string' },
      dns: { type: 'string', multiple: true },
      egress: { type: 'string' },
    } as const;
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error: unknown) {
    throw new ConfinementError(error instanceof Error ? error.message : 'wrong use');
  }
}

function number(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value === 0 || value > 65_535)
    throw new ConfinementError(`${option} ${text}: must be a number from 1 to 65535`);
  return value;
}

/** Rejects with ConfinementError, which holds what `nft` said. */
export function nft(args: readonly string[], input: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', [...args], {
      stdio: ['pipe', 'ignore', 'pipe'],
      timeout: NFT_TIMEOUT_MS,
      env: { PATH: '/usr/sbin:/sbin:/usr/bin' },
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (said.length < 4096) said += text;
    });
    child.on('error', (error) => reject(new ConfinementError(`nft can't be run: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new ConfinementError(`nft failed (${signal ?? code}): ${said.trim()}`));
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

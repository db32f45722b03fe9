import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { ALGORITHMS, type Algorithm, AUDIENCE, type Jwks, type TokenIssuer } from './issuers.ts';

const MEMBERS = ['issuer', 'audience', 'jwksFile', 'jwksUrl', 'algorithms', 'groupsClaim', 'clockToleranceSeconds'];

/** A configuration of issuers that can't be used. The message says which entry and what is wrong with it. */
export class IssuersError extends Error {
  override readonly name = 'IssuersError';
}

/**
 * Reads `{"issuers": [{issuer, audience?, jwksFile | jwksUrl, algorithms?, groupsClaim?, clockToleranceSeconds?}]}`.
 * Files are relative to `baseDir`. Defaults: audience `chaperone`, EdDSA, ES256 and RS256, claim `groups`, 5 seconds.
 */
export function readIssuers(text: string, baseDir: string): TokenIssuer[] {
  const root = parsed(text);
  if (!isObject(root) || !Array.isArray(root['issuers'])) throw new IssuersError('must be an object with a list "issuers"');
  const issuers = root['issuers'].map((entry: unknown, index) => readIssuer(entry, `issuers[${index}]`, baseDir));
  if (new Set(issuers.map((issuer) => issuer.issuer)).size < issuers.length) throw new IssuersError('an issuer is listed twice');
  return issuers;
}

function readIssuer(entry: unknown, at: string, baseDir: string): TokenIssuer {
  if (!isObject(entry)) throw new IssuersError(`${at}: must be an object`);
  const unknown = Object.keys(entry).find((member) => !MEMBERS.includes(member));
  if (unknown !== undefined) throw new IssuersError(`${at}: unknown member ${JSON.stringify(unknown)}`);
  return {
    issuer: text(entry['issuer'], `${at}.issuer`),
    audience: entry['audience'] === undefined ? AUDIENCE : text(entry['audience'], `${at}.audience`),
    keys: readKeys(entry, at, baseDir),
    algorithms: readAlgorithms(entry['algorithms'], `${at}.algorithms`),
    groupsClaim: entry['groupsClaim'] === undefined ? 'groups' : text(entry['groupsClaim'], `${at}.groupsClaim`),
    clockToleranceSeconds: readTolerance(entry['clockToleranceSeconds'], `${at}.clockToleranceSeconds`),
  };
}

function readKeys(entry: { readonly [member: string]: unknown }, at: string, baseDir: string): TokenIssuer['keys'] {
  const { jwksFile, jwksUrl } = entry;
  if ((jwksFile === undefined) === (jwksUrl === undefined)) throw new IssuersError(`${at}: give one of jwksFile and jwksUrl`);
  if (jwksUrl !== undefined) return { type: 'url', url: checkedUrl(text(jwksUrl, `${at}.jwksUrl`), `${at}.jwksUrl`) };
  const file = text(jwksFile, `${at}.jwksFile`);
  const path = isAbsolute(file) ? file : resolve(baseDir, file);
  try {
    return { type: 'jwks', jwks: readJwks(readFileSync(path, 'utf8'), `${at}.jwksFile`) };
  } catch (error) {
    throw error instanceof IssuersError ? error : new IssuersError(`${at}.jwksFile: ${path} can't be read`);
  }
}

/** Keys that could be a shared secret are refused: only public keys belong in a JWKS. */
export function readJwks(json: string, at: string): Jwks {
  const root = parsed(json);
  if (!isObject(root) || !Array.isArray(root['keys']) || root['keys'].length === 0) throw new IssuersError(`${at}: not a JWKS`);
  const keys = root['keys'].map((key: unknown, index) => {
    if (!isObject(key)) throw new IssuersError(`${at}: keys[${index}] is not an object`);
    if (key['kty'] === 'oct' || 'k' in key || 'd' in key) throw new IssuersError(`${at}: keys[${index}] is not a public key`);
    return key;
  });
  return { keys };
}

/** Plain HTTP is for loopback only: whoever can change the keys on the way can be anybody. */
function checkedUrl(value: string, at: string): string {
  const url = URL.parse(value);
  const loopback = url !== null && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url === null || !(url.protocol === 'https:' || (url.protocol === 'http:' && loopback)))
    throw new IssuersError(`${at}: must be an https URL`);
  return url.href;
}

function readAlgorithms(value: unknown, at: string): readonly Algorithm[] {
  if (value === undefined) return ['EdDSA', 'Ed25519', 'ES256', 'RS256'];
  if (!Array.isArray(value) || value.length === 0 || !value.every(isAlgorithm))
    throw new IssuersError(`${at}: must be a list of ${ALGORITHMS.join(', ')}`);
  return value;
}

function readTolerance(value: unknown, at: string): number {
  if (value === undefined) return 5;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 300) throw new IssuersError(`${at}: must be 0 to 300`);
  return value;
}

const isAlgorithm = (value: unknown): value is Algorithm => ALGORITHMS.some((algorithm) => algorithm === value);
const isObject = (value: unknown): value is { readonly [member: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function text(value: unknown, at: string): string {
  if (typeof value !== 'string' || value === '') throw new IssuersError(`${at}: must be a text`);
  return value;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new IssuersError('not JSON');
  }
}

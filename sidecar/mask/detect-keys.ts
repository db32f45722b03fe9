import { BASE64URL, characterSet, DIGIT, LOWER, runEnd, UPPER, WORD } from './detect-finder.ts';

type Found = (start: number, end: number) => void;

export const JWT_BEGIN = 'eyJ';

/** JSON Web Tokens in compact form: JWS (three parts, the last may be empty) and JWE (five). RFC 7515, RFC 7516. */
export function findJwts(text: string, found: Found): void {
  for (let at = text.indexOf(JWT_BEGIN); at !== -1; ) {
    const header = runEnd(text, at, BASE64URL);
    const end = header - at < 8 ? -1 : partsEnd(text, header);
    if (end !== -1) found(at, end);
    // A later beginning in the same run would have the same rest.
    at = text.indexOf(JWT_BEGIN, end === -1 ? header : end);
  }
}

function partsEnd(text: string, header: number): number {
  let at = header;
  let parts = 1;
  let second = 0;
  while (parts < 5 && text.charCodeAt(at) === 0x2e) {
    const end = runEnd(text, at + 1, BASE64URL);
    parts++;
    if (parts === 2) second = end - at - 1;
    at = end;
  }
  return parts === 5 || (parts >= 3 && second > 1) ? at : -1;
}

export const PEM_BEGIN = '-----BEGIN ';
const PEM_LABEL = /^[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/;

/** PEM private keys of any kind (RFC 7468, OpenSSH, OpenPGP). One whose end is missing goes to the end of the text. */
export function findPrivateKeys(text: string, found: Found): void {
  let at = text.indexOf(PEM_BEGIN);
  while (at !== -1) {
    const label = at + PEM_BEGIN.length;
    if (!PEM_LABEL.test(text.slice(label, label + 70))) {
      at = text.indexOf(PEM_BEGIN, label);
      continue;
    }
    const close = text.indexOf('-----END ', label);
    const dashes = close === -1 ? -1 : text.indexOf('-----', close + 9);
    const end = dashes === -1 ? text.length : dashes + 5;
    found(at, end);
    at = text.indexOf(PEM_BEGIN, end);
  }
}

export interface KeyShape {
  readonly prefix: string;
  readonly set: Uint8Array;
  /** Characters after the prefix. */
  readonly min: number;
  readonly max: number;
}

const ANY = Number.POSITIVE_INFINITY;
const BASE32 = characterSet(UPPER, '234567');
const HEX = characterSet(DIGIT, 'abcdefABCDEF');
const BASE64 = characterSet(DIGIT | UPPER | LOWER, '+/=');
const DOTTED = characterSet(DIGIT | UPPER | LOWER, '-_.');

/** Keys that say what they are by their first characters. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html and the like */
export const KEY_SHAPES: readonly KeyShape[] = [
  ...['AKIA', 'ASIA', 'ABIA', 'ACCA'].map((prefix) => ({ prefix, set: BASE32, min: 16, max: 16 })),
  { prefix: 'AIza', set: BASE64URL, min: 35, max: 35 },
  { prefix: 'GOCSPX-', set: BASE64URL, min: 24, max: ANY },
  { prefix: 'ya29.', set: BASE64URL, min: 20, max: ANY },
  { prefix: 'AccountKey=', set: BASE64, min: 40, max: ANY },
  { prefix: 'SharedAccessKey=', set: BASE64, min: 20, max: ANY },
  ...['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'].map((prefix) => ({ prefix, set: WORD, min: 30, max: ANY })),
  { prefix: 'github_pat_', set: BASE64URL, min: 22, max: ANY },
  { prefix: 'glpat-', set: BASE64URL, min: 20, max: ANY },
  ...['xoxa-', 'xoxb-', 'xoxe-', 'xoxp-', 'xoxr-', 'xoxs-', 'xoxc-', 'xoxd-', 'xapp-'].map((prefix) => ({
    prefix,
    set: DOTTED,
    min: 10,
    max: ANY,
  })),
  ...['sk_live_', 'rk_live_', 'sk_test_', 'rk_test_', 'whsec_'].map((prefix) => ({ prefix, set: WORD, min: 16, max: ANY })),
  { prefix: 'sk-ant-', set: BASE64URL, min: 20, max: ANY },
  { prefix: 'sk-proj-', set: BASE64URL, min: 20, max: ANY },
  { prefix: 'SG.', set: DOTTED, min: 50, max: ANY },
  { prefix: 'npm_', set: WORD, min: 36, max: ANY },
  { prefix: 'pypi-AgEI', set: BASE64URL, min: 20, max: ANY },
  { prefix: 'dop_v1_', set: HEX, min: 64, max: ANY },
  { prefix: 'dapi', set: HEX, min: 32, max: 32 },
  { prefix: 'hvs.', set: BASE64URL, min: 20, max: ANY },
  { prefix: 'AGE-SECRET-KEY-1', set: WORD, min: 50, max: ANY },
];

/** Words before a key that has no form of its own: AWS secret access keys (40 characters). */
export const SECRET_WORDS = ['secret_access_key', 'SecretAccessKey', 'secretAccessKey', 'SECRET_ACCESS_KEY'] as const;
const SECRET_GAP = characterSet(0, ' \t"\'=:>\\');
const SECRET_LENGTH = 40;
/** Azure client secrets: three characters, `8Q~`, and 31 or more. */
export const AZURE_MARK = '8Q~';
const AZURE = characterSet(DIGIT | UPPER | LOWER, '-_.~');

const SHAPES_BY_PREFIX: ReadonlyMap<string, KeyShape> = new Map(KEY_SHAPES.map((shape) => [shape.prefix, shape]));
const PREFIXES = [...KEY_SHAPES.map((shape) => shape.prefix), ...SECRET_WORDS, AZURE_MARK];
const PREFIX_PATTERN = PREFIXES.map((prefix) => prefix.replace(/[.~]/g, '\\$&')).join('|');

/** Keys and tokens of AWS, Google Cloud, Azure, GitHub, GitLab, Slack, Stripe and others that have a form. */
export function findCloudKeys(text: string, found: Found): void {
  const pattern = new RegExp(PREFIX_PATTERN, 'g');
  let past = 0;
  for (let hit = pattern.exec(text); hit !== null; hit = pattern.exec(text)) {
    const [start, end] = keyAround(text, hit.index, hit[0], past);
    if (end === -1) pattern.lastIndex = hit.index + 1;
    else {
      found(start, end);
      past = end;
      pattern.lastIndex = end;
    }
  }
}

const NONE: readonly [number, number] = [-1, -1];

function keyAround(text: string, at: number, prefix: string, past: number): readonly [number, number] {
  const from = at + prefix.length;
  if (prefix === AZURE_MARK) {
    const end = runEnd(text, from, AZURE, 64);
    return at - past >= 3 && runEnd(text, at - 3, AZURE, 3) === at && end - from >= 31 ? [at - 3, end] : NONE;
  }
  const shape = SHAPES_BY_PREFIX.get(prefix);
  if (shape === undefined) {
    const start = runEnd(text, from, SECRET_GAP, 8);
    const end = runEnd(text, start, BASE64, SECRET_LENGTH);
    return start > from && end - start === SECRET_LENGTH ? [start, end] : NONE;
  }
  const end = runEnd(text, from, shape.set, shape.max);
  return end - from >= shape.min ? [at, end] : NONE;
}

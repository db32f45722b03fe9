/** Pure helpers over bytes: no Buffer here, the contract runs anywhere. */
const ENCODER = new TextEncoder();
const NEWLINE = 0x0a;

export function utf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** Null where the bytes are not UTF-8. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Null where the hex is not lower case, or not of whole bytes. */
export function unhex(text: string): Uint8Array | null {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) return null;
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

export interface Line {
  /** Without the newline. */
  readonly bytes: Uint8Array;
  /** False in a last line that has no newline. */
  readonly whole: boolean;
}

export function* linesOf(bytes: Uint8Array): Generator<Line> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start);
    yield end < 0 ? { bytes: bytes.subarray(start), whole: false } : { bytes: bytes.subarray(start, end), whole: true };
    start = end < 0 ? bytes.length : end + 1;
  }
}

/** A JSON object, or null for everything else. */
export function jsonObject(bytes: Uint8Array): { readonly [member: string]: unknown } | null {
  const text = textOf(bytes);
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as { readonly [member: string]: unknown }) : null;
  } catch {
    return null;
  }
}

/**
 * Stored JSON whose last member is a hash or a signature over the bytes before it: `{…,"member":"HEX"}`.
 * `body` is all that stands before the comma. Null where the bytes do not end so.
 */
export function splitLastMember(
  bytes: Uint8Array,
  member: string,
  hexDigits: number,
): { readonly body: Uint8Array; readonly hex: string } | null {
  const tail = member.length + hexDigits + 7;
  if (bytes.length <= tail) return null;
  const text = textOf(bytes.subarray(bytes.length - tail));
  const before = `,"${member}":"`;
  if (text === null || !text.startsWith(before) || !text.endsWith('"}')) return null;
  const hex = text.slice(before.length, -2);
  return /^[0-9a-f]+$/.test(hex) ? { body: bytes.subarray(0, bytes.length - tail), hex } : null;
}

/** The JSON of `body` with the member as its last. */
export function withLastMember(body: string, member: string, hex: string): string {
  return `${body.slice(0, -1)},"${member}":"${hex}"}`;
}

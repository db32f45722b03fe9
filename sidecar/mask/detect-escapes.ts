/** Characters that are written as escapes: `\u0040` of JSON and many languages, `%40` of URLs, `&#64;` and `&#x40;` of HTML and XML. */

/** A text without its escapes; `at[i]` is where character `i` of it begins in the text as it was written, with the end as the last entry. */
export interface Unescaped {
  readonly text: string;
  readonly at: Uint32Array;
}

/** Backslashes are doubled where a text with escapes stands in a COPY or in another text with escapes. */
const ESCAPE = /\\{1,4}u([0-9a-fA-F]{4})|%([0-9a-fA-F]{2})|&#(?:([0-9]{1,7})|[xX]([0-9a-fA-F]{1,6}));/g;

/** Null where there is none. One pass: what an escape gives is not looked at again. */
export function unescaped(text: string): Unescaped | null {
  ESCAPE.lastIndex = 0;
  let escape = ESCAPE.exec(text);
  if (escape === null) return null;
  const at = new Uint32Array(text.length + 1);
  let out = '';
  let from = 0;
  const copy = (to: number): void => {
    for (let index = from; index < to; index++) at[out.length + index - from] = index;
    out += text.slice(from, to);
  };
  for (; escape !== null; escape = ESCAPE.exec(text)) {
    copy(escape.index);
    const code = Number.parseInt(escape[1] ?? escape[2] ?? escape[4] ?? '', 16) || Number(escape[3] ?? 0);
    at[out.length] = escape.index;
    // What is looked for is ASCII; one character for whatever else it may be keeps the places.
    out += code > 0 && code < 0x80 ? String.fromCharCode(code) : '\ufffd';
    from = ESCAPE.lastIndex;
  }
  copy(text.length);
  at[out.length] = text.length;
  return { text: out, at: at.subarray(0, out.length + 1) };
}

/** For the prefilter: an escape may begin at `at`. */
export function escapeMayBegin(bytes: Uint8Array, at: number, end: number): boolean {
  const next = at + 1 < end ? bytes[at + 1] : 0;
  switch (bytes[at]) {
    case 0x5c:
      return next === 0x75;
    case 0x25:
      return isHex(next) && at + 2 < end && isHex(bytes[at + 2]);
    case 0x26:
      return next === 0x23;
    default:
      return false;
  }
}

function isHex(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66));
}

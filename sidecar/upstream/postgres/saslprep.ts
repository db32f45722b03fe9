import { isUtf8 } from 'node:buffer';

/**
 * SASLprep (RFC 4013) as PostgreSQL applies it to passwords: a password that is not valid UTF-8, or holds what the profile
 * prohibits, is used as it is. Gives a new buffer, which the caller clears.
 */
export function saslprep(password: Buffer): Buffer {
  if (isAscii(password) || !isUtf8(password)) return Buffer.from(password);
  const mapped = password.toString('utf8').replace(NON_ASCII_SPACE, ' ').replace(MAPPED_TO_NOTHING, '');
  const normal = mapped.normalize('NFKC');
  if (normal === '' || PROHIBITED.test(normal) || !bidirectionalIsFine(normal)) return Buffer.from(password);
  return Buffer.from(normal);
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80);
}

/** RFC 3454 C.1.2 */
const NON_ASCII_SPACE = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g;
/** RFC 3454 B.1. The characters join on purpose: each is mapped alone. */
const MAPPED_TO_NOTHING = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g;
/** RFC 3454 C.2.1, C.2.2, C.3 to C.9, as RFC 4013 section 2.3 lists them. */
// oxlint-disable-next-line no-control-regex, no-misleading-character-class -- control and combining characters are what it is about
const PROHIBITED =
  /[\u0000-\u001f\u007f-\u009f\u06dd\u070f\u180e\u200c-\u200f\u2028-\u202e\u2060-\u2063\u206a-\u206f\ufdd0-\ufdef\ufeff\ufff9-\uffff\u0340\u0341\u2ff0-\u2ffb\ue000-\uf8ff\ud800-\udfff]|[\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}\u{f0000}-\u{10ffff}]|[\u{1fffe}\u{1ffff}\u{2fffe}\u{2ffff}]/u;

const RIGHT_TO_LEFT =
  /[\u05be\u05c0\u05c3\u05d0-\u05f4\u061b-\u064a\u066d-\u06d5\u06e5\u06e6\u06fa-\u074f\u0780-\u07b1\u200f\ufb1d-\ufdfc\ufe70-\ufefc]/u;
const STARTS_AND_ENDS =
  /^[\u05be\u05c0\u05c3\u05d0-\u05f4\u061b-\u064a\u066d-\u06d5\u06e5\u06e6\u06fa-\u074f\u0780-\u07b1\ufb1d-\ufdfc\ufe70-\ufefc](?:.*[\u05be\u05c0\u05c3\u05d0-\u05f4\u061b-\u064a\u066d-\u06d5\u06e5\u06e6\u06fa-\u074f\u0780-\u07b1\ufb1d-\ufdfc\ufe70-\ufefc])?$/su;
const LEFT_TO_RIGHT = /[A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8]/u;

/** RFC 3454 section 6: text from right to left holds none from left to right, and starts and ends so. */
function bidirectionalIsFine(text: string): boolean {
  if (!RIGHT_TO_LEFT.test(text)) return true;
  return !LEFT_TO_RIGHT.test(text) && STARTS_AND_ENDS.test(text);
}

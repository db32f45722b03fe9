const MAX_NUMERIC_GROUPS = 64;

/** The digits of an eight-byte integer, without its sign; null for another length. */
export function integerText(buffer: Buffer, start: number, length: number): string | null {
  if (length !== 8) return null;
  const value = buffer.readBigInt64BE(start);
  return String(value < 0n ? -value : value);
}

/** The digits of an eight-byte float before its point, without its sign; null for another length. What is not finite has none. */
export function floatText(buffer: Buffer, start: number, length: number): string | null {
  if (length !== 8) return null;
  const value = Math.abs(buffer.readDoubleBE(start));
  return Number.isFinite(value) && value < 1e19 ? String(BigInt(Math.trunc(value))) : '';
}

/**
 * The digits of a binary numeric, with a point where it has a fraction; null where it is malformed or longer than 256 digits.
 * Layout: int16 number of base-10000 groups, weight of the first, sign, display scale, then the groups (numeric_send in numeric.c).
 */
export function numericText(buffer: Buffer, start: number, length: number): string | null {
  if (length < 8) return null;
  const groups = buffer.readUInt16BE(start);
  const weight = buffer.readInt16BE(start + 2);
  if (length !== 8 + 2 * groups || groups > MAX_NUMERIC_GROUPS || Math.abs(weight) > MAX_NUMERIC_GROUPS) return null;
  let whole = '';
  let fraction = '';
  for (let power = Math.max(weight, 0); power >= Math.min(weight - groups + 1, 0); power--) {
    const index = weight - power;
    const group = index >= 0 && index < groups ? buffer.readUInt16BE(start + 8 + 2 * index) : 0;
    if (group > 9999) return null;
    const text = String(group).padStart(4, '0');
    if (power >= 0) whole += text;
    else fraction += text;
  }
  const scale = buffer.readUInt16BE(start + 6);
  const shown = fraction.slice(0, scale);
  return `${whole.replace(/^0+(?=\d)/, '')}${shown === '' ? '' : `.${shown}`}`;
}

import { isAlphanumeric, isDigit, isLetter, separatorLength } from './detect-finder.ts';

/** Lengths by country, from the SWIFT IBAN registry. */
const LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 ' +
    'GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 ' +
    'MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 ' +
    'TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry): [string, number] => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** IBANs (ISO 13616), also in groups and in lower case, with the right length for their country and check digits (mod 97). */
export function findIbans(text: string, found: (start: number, end: number) => void): void {
  for (let at = 0; at + 14 < text.length; at++) {
    if (!isLetter(text.charCodeAt(at)) || isAlphanumeric(text.charCodeAt(at - 1)) || !ibanMayBegin(text, at)) continue;
    const end = ibanAt(text, at);
    if (end === -1) continue;
    found(at, end);
    at = end;
  }
}

function ibanMayBegin(text: string, at: number): boolean {
  return isLetter(text.charCodeAt(at + 1)) && isDigit(text.charCodeAt(at + 2)) && isDigit(text.charCodeAt(at + 3));
}

function ibanAt(text: string, start: number): number {
  const length = LENGTHS.get(text.slice(start, start + 2).toUpperCase());
  if (length === undefined) return -1;
  let iban = '';
  let at = start;
  while (iban.length < length) {
    if (!isAlphanumeric(text.charCodeAt(at))) return -1;
    iban += text.charAt(at);
    at++;
    if (iban.length < length) at += separatorLength(text, at);
  }
  return !isAlphanumeric(text.charCodeAt(at)) && checkDigitsAreRight(iban) ? at : -1;
}

function checkDigitsAreRight(iban: string): boolean {
  return remainder97(iban.slice(4) + iban.slice(0, 4)) === 1;
}

/** The two check digits that make it right, whatever stands in their place. Separators are passed over. */
export function ibanCheckDigits(iban: string): string {
  const plain = iban.replace(/[^0-9A-Za-z]/g, '');
  return String(98 - remainder97(`${plain.slice(4)}${plain.slice(0, 2)}00`)).padStart(2, '0');
}

/** ISO 7064, MOD 97-10. */
function remainder97(text: string): number {
  let remainder = 0;
  for (const character of text) {
    const value = Number.parseInt(character, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder;
}

/** For the prefilter: the two bytes are the letters of a country that has IBANs. */
export function isIbanCountry(first: number, second: number): boolean {
  return LENGTHS.has(String.fromCharCode(first, second).toUpperCase());
}

/** COPY FROM STDIN into a table with masked columns: what the masks themselves show may not be written back, and so the fields are looked at. */
import { looksLikeMask } from './placeholder.ts';

export interface CopyIn {
  readonly csv: boolean;
  readonly delimiter: string;
  readonly header: boolean;
  /** Of the masked columns, among those that are given. */
  readonly masked: readonly number[];
}

/** Of one field; what is longer is looked at up to here. */
const MAX_FIELD = 64 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const BACKSLASH = 0x5c;
const QUOTE = 0x22;

/** Takes the data as it comes, in whatever pieces. */
export class CopyInCheck {
  readonly #form: CopyIn;
  readonly #delimiter: number;
  readonly #masked: ReadonlySet<number>;
  #field: number[] = [];
  #index = 0;
  #quoted = false;
  #escaped = false;
  #empty = true;
  #header: boolean;

  constructor(form: CopyIn) {
    this.#form = form;
    this.#delimiter = form.delimiter.charCodeAt(0);
    this.#masked = new Set(form.masked);
    this.#header = form.header;
  }

  /** False where a masked column would be given what a mask shows. */
  push(data: Buffer): boolean {
    for (const byte of data) if (!this.#take(byte)) return false;
    return true;
  }

  /** The last row may lack its end. */
  end(): boolean {
    return this.#endField();
  }

  #take(byte: number): boolean {
    if (this.#form.csv) {
      if (byte === QUOTE) {
        this.#quoted = !this.#quoted;
        return true;
      }
      if (this.#quoted) return this.#keep(byte);
    } else if (this.#escaped) {
      this.#escaped = false;
      return this.#keep(byte);
    } else if (byte === BACKSLASH) {
      this.#escaped = true;
      return this.#keep(byte);
    }
    if (byte === this.#delimiter) return this.#endField();
    if (byte === LF || byte === CR) return this.#endRow();
    return this.#keep(byte);
  }

  #keep(byte: number): boolean {
    this.#empty = false;
    if (this.#masked.has(this.#index) && this.#field.length < MAX_FIELD) this.#field.push(byte);
    return true;
  }

  #endField(): boolean {
    const index = this.#index++;
    const field = this.#field;
    this.#empty = false;
    if (field.length === 0) return true;
    this.#field = [];
    if (this.#header || !this.#masked.has(index)) return true;
    const text = Buffer.from(field).toString('utf8');
    return !looksLikeMask(this.#form.csv ? text : unescaped(text));
  }

  /** CR LF ends one row, and an empty one after it. */
  #endRow(): boolean {
    if (this.#empty) return true;
    const ok = this.#endField();
    this.#index = 0;
    this.#empty = true;
    this.#header = false;
    return ok;
  }
}

const LETTERS: { readonly [letter: string]: string } = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** The text format's escapes: letters, octal and hexadecimal bytes. */
function unescaped(text: string): string {
  return text.replace(/\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|([\s\S]))/g, (_, octal?: string, hex?: string, letter?: string) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return LETTERS[letter ?? ''] ?? letter ?? '';
  });
}

/** What a case sends: its bytes, or what its title tells where it has none. */

export interface ProtocolCase {
  readonly id: string;
  readonly phase: 'startup' | 'session' | 'server-side';
  readonly title: string;
  readonly proxyMust: string;
  readonly hex?: string;
}

export interface ProtocolInput {
  readonly type: 'startup' | 'session';
  readonly bytes: Buffer;
  /** Startup parameters of the session, beside user and database. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The TLS handshake is done after the answer. */
  readonly thenTls: boolean;
}

const TYPES: Readonly<Record<string, string>> = {
  Query: 'Q',
  Parse: 'P',
  Bind: 'B',
  Describe: 'D',
  Execute: 'E',
  Close: 'C',
  Sync: 'S',
  Flush: 'H',
  Terminate: 'X',
  CopyData: 'd',
  CopyDone: 'c',
  CopyFail: 'f',
  FunctionCall: 'F',
};

/** SSLRequest, and a StartupMessage in the same segment. */
const PLAINTEXT_BEHIND = Buffer.from('0000000804d2162f0000002200030000757365720061707000646174616261736500636f727075730000', 'hex');

/** Empty where a case can't be understood. */
export function inputsOf(each: ProtocolCase): ProtocolInput[] {
  const thenTls = /handshake is completed/i.test(each.title);
  const type = each.phase === 'startup' ? 'startup' : 'session';
  const bytes = each.hex === undefined ? (thenTls ? PLAINTEXT_BEHIND : built(each.title)) : Buffer.from(each.hex, 'hex');
  if (bytes === null) return [];
  const plain = { type, bytes, parameters: {}, thenTls } as const;
  if (type === 'startup') return [plain];
  if (/injected|duplicate/i.test(each.title)) return [{ ...plain, parameters: { application_name: 'x\0user\0app' } }];
  const options = [...each.title.matchAll(/-c ([\w.]+)/g)].map(([, name]) => `-c ${name}=evil`);
  return options.length > 0 ? options.map((value) => ({ ...plain, parameters: { options: value } })) : [plain];
}

/** `Sync with a 30 001-byte body`. */
function built(title: string): Buffer | null {
  const [, name = '', size = ''] = /\b([A-Z]\w+) with an? (?:body of )?([\d ]+)[- ]byte/.exec(title) ?? [];
  const type = TYPES[name];
  if (type === undefined) return null;
  const body = Number(size.replaceAll(' ', ''));
  const bytes = Buffer.alloc(5 + body);
  bytes.write(type, 'latin1');
  bytes.writeUInt32BE(4 + body, 1);
  return bytes;
}

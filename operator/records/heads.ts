import { withLastMember } from '#crds/record/bytes.ts';
import { HEAD_DOMAIN, type HeadStatement, headFile, isHash, isUuid, NO_HASH } from '#crds/record/format.ts';
import { parseHead } from '#crds/record/parse.ts';
import type { Refusal } from './allow.ts';
import type { Bucket } from './bucket.ts';
import { RateLimits } from './rate.ts';
import type { RecordingAuthority, RecordsPeer } from './records.ts';

/** Recorders whose pod and latest head are kept in memory. Beyond, the bucket is asked again. */
const MAX_KNOWN = 20_000;
const RECORDERS = { perMinute: 2, burst: 60 };
const MAX_ENTRIES = 999_999_999_999n;

export type Signed = { readonly type: 'signed'; readonly statement: Uint8Array } | { readonly type: 'refused'; readonly refusal: Refusal };

interface Known {
  readonly podUid: string;
  readonly entries: number;
  readonly head: string;
}

/**
 * Statements of how far recorders' ledgers have come. The bucket is the memory: what one replica signed another finds there, and a restart forgets nothing.
 * The statement of no entry is a recorder's first: it says of which pod the recorder is, and no other pod is believed from then on.
 */
export class Heads {
  readonly #bucket: Bucket;
  readonly #cluster: string;
  readonly #authority: () => RecordingAuthority;
  readonly #clock: () => number;
  readonly #known = new Map<string, Known>();
  /** Recorders that a pod may begin: each is an object that stays. A sidecar has one for each start. */
  readonly #begun: RateLimits;

  constructor(bucket: Bucket, cluster: string, authority: () => RecordingAuthority, clock: () => number) {
    this.#bucket = bucket;
    this.#cluster = cluster;
    this.#authority = authority;
    this.#clock = clock;
    this.#begun = new RateLimits(RECORDERS.perMinute, RECORDERS.burst, clock);
  }

  /** True where the recorder is of the caller's pod. The first pod that asks has it; `limited` where it began too many. Rejects where the bucket does. */
  async owns(peer: RecordsPeer, recorder: string): Promise<boolean | 'limited'> {
    const known = this.#known.get(recorder);
    if (known !== undefined) return known.podUid === peer.podUid;
    if (!this.#begun.take(peer.podUid, 1)) return 'limited';
    const path = headFile(recorder, 0);
    const claim = this.#statement(peer, recorder, 0, NO_HASH);
    const podUid = (await this.#bucket.putOnce(path, claim)) ? peer.podUid : podOf(await this.#bucket.read(path));
    if (podUid === null) return false;
    this.#remember(recorder, { podUid, entries: 0, head: NO_HASH });
    return podUid === peer.podUid;
  }

  /** Never signs a head that goes back. Rejects where the bucket does. */
  async sign(peer: RecordsPeer, recorder: string, entriesBig: bigint, head: string): Promise<Signed> {
    if (!isUuid(recorder) || entriesBig < 1n || entriesBig > MAX_ENTRIES || !isHash(head))
      return refused({ code: 'HeadInvalid', message: 'not the head of a ledger' });
    const owned = await this.owns(peer, recorder);
    if (owned !== true) return refused(notOwned(owned));
    const entries = Number(entriesBig);
    const known = this.#known.get(recorder);
    if (known !== undefined && known.entries > entries) return goesBack(known.entries);
    const path = headFile(recorder, entries);
    const later = await this.#bucket.listAfter(`heads/recorder=${recorder}/`, headFile(recorder, entries - 1), 2);
    const latest = later.find((name) => name !== path);
    if (latest !== undefined) return goesBack(Number(/(\d+)\.json$/.exec(latest)?.[1]));
    const statement = this.#statement(peer, recorder, entries, head);
    const isNew = !later.includes(path) && (await this.#bucket.putOnce(path, statement));
    const stored = isNew ? statement : await this.#bucket.read(path);
    if (stored === null || parseHead(stored)?.value.head !== head)
      return refused({ code: 'HeadGoesBack', message: `another head was signed for entry ${entries}` });
    this.#remember(recorder, { podUid: peer.podUid, entries, head });
    return { type: 'signed', statement: stored };
  }

  #statement(peer: RecordsPeer, recorder: string, entries: number, head: string): Uint8Array {
    const { keyId, certificates, sign } = this.#authority();
    const { namespace, serviceAccount, pod, podUid } = peer;
    const statement: Omit<HeadStatement, 'signature'> = {
      v: 1,
      format: 'chaperone-recording-head',
      recorder,
      entries,
      head,
      time: new Date(this.#clock()).toISOString(),
      cluster: this.#cluster,
      namespace,
      serviceAccount,
      pod,
      podUid,
      keyId,
      certificates,
    };
    const body = JSON.stringify(statement);
    const signature = Buffer.from(sign(Buffer.from(HEAD_DOMAIN + body.slice(0, -1)))).toString('hex');
    return Buffer.from(withLastMember(body, 'signature', signature));
  }

  #remember(recorder: string, known: Known): void {
    this.#known.delete(recorder);
    this.#known.set(recorder, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }
}

export function notOwned(owned: false | 'limited'): Refusal {
  return owned === 'limited'
    ? { code: 'RateLimited', message: `more than ${RECORDERS.burst} recorders of one pod` }
    : { code: 'RecorderForeign', message: 'the recorder is of another pod' };
}

function podOf(stored: Uint8Array | null): string | null {
  return stored === null ? null : (parseHead(stored)?.value.podUid ?? null);
}

function refused(refusal: Refusal): Signed {
  return { type: 'refused', refusal };
}

function goesBack(entries: number): Signed {
  return refused({ code: 'HeadGoesBack', message: `entry ${entries} was signed before` });
}

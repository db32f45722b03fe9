/** Kubernetes Events with stable codes. The same about the same object is one Event that counts; nothing here ever fails its caller. */
import type { KubeClient } from './client.ts';
import { isKubeError } from './error.ts';
import { EVENT_CODES, type EventReason } from './event-codes.ts';
import { microTime } from './lease.ts';
import type { KubeObject, ResourceRef } from './resource.ts';
import { apiVersionOf } from './resource.ts';
import { EVENTS } from './resources.ts';

/** What an Event is about. */
export interface Regarding {
  readonly ref: ResourceRef;
  /** Absent for an object of the whole cluster. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface EventRecorder {
  /** `note`: one sentence without secrets; cut at 1 kB. Returns at once. */
  emit(reason: EventReason, regarding: Regarding, note: string): void;
  /** Writes what still waits. */
  stop(): Promise<void>;
}

export interface EventOptions {
  readonly kube: KubeClient;
  /** Name of this replica. */
  readonly instance: string;
  readonly log: { warn(fields: object, message: string): void };
  /** Between two writes of one Event's count. */
  readonly seriesMs?: number;
}

const CONTROLLER = 'chaperone.dev/operator';
const MAX_NOTE = 1024;
/** The API server forgets Events after an hour; then the same one is a new one. */
const FORGET_MS = 30 * 60_000;
const SERIES_MS = 30_000;
/** Different Events about one object in `FORGET_MS`; what goes beyond is only in the log. */
const MAX_PER_OBJECT = 25;
/** At the same time. */
const MAX_KNOWN = 5_000;

interface Known {
  readonly key: { readonly namespace: string; readonly name: string };
  readonly object: string;
  readonly firstAt: number;
  count: number;
  written: number;
  timer: NodeJS.Timeout | null;
}

export function createEvents({ kube, instance, log, seriesMs = SERIES_MS }: EventOptions): EventRecorder {
  const known = new Map<string, Known>();
  const pending = new Set<Promise<void>>();
  let stopped = false;

  const doing = (work: Promise<unknown>) => {
    const quiet = work.then(
      () => {},
      (error: unknown) => {
        // A namespace that is being deleted takes no Events.
        const why = error instanceof Error ? error.message : 'unknown';
        if (!isKubeError(error, 'NotFound', 'Forbidden')) log.warn({}, `an Event could not be written: ${why}`);
      },
    );
    pending.add(quiet);
    void quiet.finally(() => pending.delete(quiet));
  };

  const writeSeries = (entry: Known) => {
    if (entry.timer !== null) clearTimeout(entry.timer);
    entry.timer = null;
    if (entry.written === entry.count) return;
    entry.written = entry.count;
    doing(kube.patch(EVENTS, entry.key, { series: { count: entry.count, lastObservedTime: microTime() } }));
  };

  const forgetOld = (now: number) => {
    for (const [id, entry] of known) {
      if (now - entry.firstAt < FORGET_MS && known.size <= MAX_KNOWN) break;
      writeSeries(entry);
      known.delete(id);
    }
  };

  const emit: EventRecorder['emit'] = (reason, regarding, given) => {
    const { ref, namespace, name, uid } = regarding;
    const note = cut(given);
    const object = `${ref.kind}/${namespace ?? ''}/${name}/${uid ?? ''}`;
    const { type, action } = EVENT_CODES[reason];
    const fields = { event: reason, kind: ref.kind, ...(namespace === undefined ? {} : { namespace }), name };
    if (type === 'Warning') log.warn(fields, note);
    if (stopped) return;
    const now = performance.now();
    forgetOld(now);
    const id = `${object}/${reason}/${note}`;
    const entry = known.get(id);
    if (entry !== undefined) {
      entry.count++;
      entry.timer ??= setTimeout(() => writeSeries(entry), seriesMs);
      return;
    }
    if ([...known.values()].filter((other) => other.object === object).length >= MAX_PER_OBJECT) return;
    const key = { namespace: namespace ?? 'default', name: `${name.slice(0, 200)}.${uniqueSuffix()}` };
    known.set(id, { key, object, firstAt: now, count: 1, written: 1, timer: null });
    const event: KubeObject & Record<string, unknown> = {
      metadata: key,
      eventTime: microTime(),
      type,
      reason,
      action,
      note,
      reportingController: CONTROLLER,
      reportingInstance: instance,
      regarding: {
        apiVersion: apiVersionOf(ref),
        kind: ref.kind,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
      },
    };
    doing(kube.create(EVENTS, event));
  };

  return {
    emit,
    stop: async () => {
      stopped = true;
      for (const entry of known.values()) writeSeries(entry);
      await Promise.all(pending);
    },
  };
}

let last = 0;

/** As client-go names them: a time in hexadecimal, here never twice. */
function uniqueSuffix(): string {
  last = Math.max(last + 1, Date.now() * 1000);
  return last.toString(16);
}

function cut(note: string): string {
  const bytes = Buffer.from(note, 'utf8');
  if (bytes.length <= MAX_NOTE) return note;
  // A character that was cut in two is left out.
  return new TextDecoder('utf-8').decode(bytes.subarray(0, MAX_NOTE - 4)).replace(/\uFFFD$/, '') + '…';
}

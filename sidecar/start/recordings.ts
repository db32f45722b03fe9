import { openRecordings, type RecordingOptions, type Recordings } from '../record/store.ts';
import { startUploader, type UploaderOptions, type UploadStats } from '../record/upload.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { UPLOAD_FAILURES, UPLOAD_OLDEST, UPLOAD_SPOOL, UPLOAD_STORED, UPLOAD_STUCK } from '../telemetry/names.ts';

/** Who gives places in the bucket, and countersigns. */
export interface UploadSettings extends Pick<UploaderOptions, 'slots' | 'countersign' | 'ca' | 'limits'> {
  /** How long the end waits for what is not in the bucket yet. */
  readonly graceMs?: number;
}

export interface SidecarRecordings extends Recordings {
  /** Null where nothing is uploaded. */
  uploads(): UploadStats | null;
}

/** A pod's recordings are worth as much as is in the bucket when it dies. */
const SEGMENT_AGE_MS = 10_000;
const GRACE_MS = 15_000;

/** Recordings that are brought to a bucket while they are made, where `upload` is given. `close` seals, and waits for the rest. Rejects with RecordingError. */
export async function openSidecarRecordings(
  options: RecordingOptions,
  upload: UploadSettings | undefined,
  metrics: Metrics,
): Promise<SidecarRecordings> {
  if (upload === undefined) return withUploads(await openRecordings(options), () => null);
  const { graceMs = GRACE_MS, ...settings } = upload;
  let isFull = () => false;
  const recordings = await openRecordings({
    ...options,
    isFull: () => isFull(),
    limits: { segmentAgeMs: SEGMENT_AGE_MS, ...options.limits },
  });
  const { dir, log, clock } = options;
  const uploader = startUploader({ dir, recorder: recordings.recorder, log, clock, ...settings });
  isFull = () => uploader.isFull();
  const gauge = (metric: Parameters<Metrics['gauge']>[0], read: (stats: UploadStats) => number) =>
    metrics.gauge(metric, () => [{ labels: {}, value: read(uploader.stats()) }]);
  gauge(UPLOAD_SPOOL, (stats) => stats.spoolBytes);
  gauge(UPLOAD_OLDEST, (stats) => stats.oldestMs / 1000);
  gauge(UPLOAD_STORED, (stats) => stats.storedObjects);
  gauge(UPLOAD_FAILURES, (stats) => stats.failures);
  gauge(UPLOAD_STUCK, (stats) => stats.stuck);
  const close = async () => {
    await recordings.close();
    await uploader.drain(graceMs);
  };
  return withUploads(recordings, () => uploader.stats(), close);
}

function withUploads(recordings: Recordings, uploads: () => UploadStats | null, close = () => recordings.close()): SidecarRecordings {
  const { recorder, publicKeyFile } = recordings;
  return {
    recorder,
    publicKeyFile,
    open: (start, session) => recordings.open(start, session),
    certify: (certificates) => recordings.certify(certificates),
    head: () => recordings.head(),
    flush: () => recordings.flush(),
    close,
    uploads,
  };
}

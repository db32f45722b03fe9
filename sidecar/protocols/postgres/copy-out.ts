import { createTextMasker, type TextMasker } from '../../mask/text.ts';
import { decodeCopyResponse, encodeCopyData } from '../../wire/postgres/messages/copy.ts';
import type { Run } from './run.ts';
import type { PgSession } from './session.ts';

/** COPY TO STDOUT on its way back, through the detectors where there are any. */
export class CopyOut {
  readonly #session: PgSession;
  #masker: TextMasker | null = null;

  constructor(session: PgSession) {
    this.#session = session;
  }

  /** True while the data is looked into. */
  get masks(): boolean {
    return this.#masker !== null;
  }

  /** CopyOutResponse. False where it was not asked for. */
  begin(run: Run, buffer: Buffer, start: number, end: number): boolean {
    const session = this.#session;
    if (run.copy === 'in' || !run.analysis.effects.copyOut) return false;
    const { detectors } = session;
    if (detectors !== null && decodeCopyResponse(buffer, start, end).format === 1) {
      const text = 'COPY in binary format can not be filtered by the detectors of this target';
      session.fatal('42501', text, 'policy', 'Use the text format.');
      return true;
    }
    if (detectors !== null) this.#masker = createTextMasker(detectors);
    run.copyStarted('out');
    session.toClient.forward(buffer, start, end);
    return true;
  }

  /** CopyData, whole. False outside of COPY. */
  data(run: Run, buffer: Buffer, start: number, end: number): boolean {
    const session = this.#session;
    if (run.copy !== 'out') return false;
    run.bytesOut += end - start;
    session.meter.returned(1, end - start);
    if (this.#masker === null) {
      session.toClient.forward(buffer, start, end);
      return true;
    }
    const masked = this.#masker.push(buffer.subarray(start + 5, end));
    if (masked.length > 0) session.toClient.add(encodeCopyData(masked));
    run.copyMasked = this.#masker.maskedValues;
    return true;
  }

  /** CopyDone: what was held back, since it might have been the start of something, goes out. */
  finish(run: Run): void {
    if (this.#masker === null) return;
    const rest = this.#masker.end();
    if (rest.length > 0) this.#session.toClient.add(encodeCopyData(rest));
    run.copyMasked = this.#masker.maskedValues;
    this.#masker = null;
  }

  reset(): void {
    this.#masker = null;
  }
}

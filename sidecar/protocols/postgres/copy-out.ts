import { CopyTokens } from '../../mask/postgres/copy-tokens.ts';
import { cellsOf } from '../../mask/postgres/result-plan.ts';
import { createTextMasker, type TextMasker } from '../../mask/text.ts';
import { decodeCopyResponse, encodeCopyData } from '../../wire/postgres/messages/copy.ts';
import type { Run } from './run.ts';
import type { PgSession } from './session.ts';

/** COPY TO STDOUT on its way back: tokens are put in, and the detectors look into it, where there are any. */
export class CopyOut {
  readonly #session: PgSession;
  #masker: TextMasker | null = null;
  #tokens: CopyTokens | null = null;

  constructor(session: PgSession) {
    this.#session = session;
  }

  /** True while the data is looked into. */
  get masks(): boolean {
    return this.#masker !== null || this.#tokens !== null;
  }

  /** CopyOutResponse. False where it was not asked for. */
  begin(run: Run, buffer: Buffer, start: number, end: number): boolean {
    const session = this.#session;
    if (run.copy === 'in' || !run.analysis.effects.copyOut) return false;
    const { detectors } = session;
    const { plan } = run.analysis;
    const { format, columnFormats } = decodeCopyResponse(buffer, start, end);
    if (plan !== null && (format !== 0 || plan.copy === null || columnFormats.length !== plan.columns)) {
      session.fatal('42501', 'the result is refused: it is not the one that the statement was rewritten for', 'policy');
      return true;
    }
    if (detectors !== null && format === 1) {
      const text = 'COPY in binary format can not be filtered by the detectors of this target';
      session.fatal('42501', text, 'policy', 'Use the text format.');
      return true;
    }
    if (plan !== null) this.#tokens = new CopyTokens(plan, cellsOf(plan, [], [], session.pseudonyms), detectors);
    else if (detectors !== null) this.#masker = createTextMasker(detectors);
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
    if (this.#tokens !== null) {
      session.toClient.add(encodeCopyData(this.#tokens.row(buffer.subarray(start + 5, end))));
      run.copyMasked = this.#tokens.maskedValues;
      return true;
    }
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
    this.#tokens = null;
    if (this.#masker === null) return;
    const rest = this.#masker.end();
    if (rest.length > 0) this.#session.toClient.add(encodeCopyData(rest));
    run.copyMasked = this.#masker.maskedValues;
    this.#masker = null;
  }

  reset(): void {
    this.#tokens = null;
    this.#masker = null;
  }
}

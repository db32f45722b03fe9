/** Times as `Date.toISOString` writes them. Many events share a millisecond, and more a second. */
export class TimeText {
  #ms = Number.NaN;
  #text = '';
  #second = Number.NaN;
  /** `2026-01-02T03:04:05.` */
  #secondText = '';

  /** Of a Unix time in milliseconds, cut to whole ones. */
  of(timeMs: number): string {
    const nowMs = Math.trunc(timeMs);
    if (nowMs === this.#ms) return this.#text;
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, -4);
    }
    const ms = nowMs - second * 1000;
    this.#ms = nowMs;
    this.#text = `${this.#secondText}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
    return this.#text;
  }
}

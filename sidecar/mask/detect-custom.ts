import { RE2JS } from 're2js';
import type { Finder } from './detect-finder.ts';
import { cpuMs, slow } from './slow.ts';

/** `test` runs at 150 MB/s, `find` at 5: past this many characters a text with a hit is masked as a whole. */
const MAX_FIND_CHARACTERS = 1_048_576;
/** A text is tried in slices first where it is longer, so that a pattern that is slow is given up early. */
const SLICE_CHARACTERS = 65_536;
/** Of a shorter text no pattern that validation lets pass takes long. */
const MEASURED_CHARACTERS = 2048;
/** How many slices' time a whole text may take. */
const MOST_SLICES = 20;

/** A user's pattern, on RE2: linear in the text whatever the pattern. What it matches of no length is no value. What takes too long is masked as a whole. */
export function compileCustom(pattern: string): Finder {
  const compiled = RE2JS.compile(pattern);
  const find: Finder = (text, found) => {
    if (!compiled.test(text)) return;
    if (text.length > MAX_FIND_CHARACTERS) return found(0, text.length);
    const matcher = compiled.matcher(text);
    while (matcher.find()) if (matcher.end() > matcher.start()) found(matcher.start(), matcher.end());
  };
  return (text, found) => {
    if (text.length <= MEASURED_CHARACTERS) return find(text, found);
    if (text.length > SLICE_CHARACTERS && isSlow(compiled, text)) return found(0, text.length);
    const begun = cpuMs();
    find(text, found);
    const allowed = slow.detectorMs * Math.min(MOST_SLICES, Math.ceil(text.length / SLICE_CHARACTERS));
    if (isOver(cpuMs() - begun, allowed)) found(0, text.length);
  };
}

/** What it finds in a slice says nothing: a match may be longer. Only its time does. */
function isSlow(compiled: RE2JS, text: string): boolean {
  let total = 0;
  for (let at = 0; at < text.length; at += SLICE_CHARACTERS) {
    const begun = cpuMs();
    compiled.test(text.slice(at, at + SLICE_CHARACTERS));
    const took = cpuMs() - begun;
    total += took;
    if (isOver(took, slow.detectorMs) || isOver(total, slow.detectorMs * MOST_SLICES)) return true;
  }
  return false;
}

function isOver(ms: number, allowedMs: number): boolean {
  if (ms <= allowedMs) return false;
  slow.onDetector(ms);
  return true;
}

import { StringDecoder } from 'node:string_decoder';
import { KubeError } from './error.ts';

/** An object is at most 1.5 MiB in etcd; escapes make its JSON larger. */
const MAX_LINE_CHARS = 16 * 1024 * 1024;

/** Lines of UTF-8 text, without empty ones. A line that is not ended when the stream is, is thrown away: it is cut. */
export async function* lines(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest: string[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const text = decoder.write(chunk);
    let from = 0;
    for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
      const line = rest.join('') + text.slice(from, to);
      [rest, length, from] = [[], 0, to + 1];
      if (line !== '') yield line;
    }
    if (from === text.length) continue;
    rest.push(text.slice(from));
    length += text.length - from;
    if (length > MAX_LINE_CHARS) throw new KubeError('Unavailable', 'a line of the watch is too long');
  }
}

import type { NewEvent, RecordedAction } from '#crds/record/event.ts';

/** Cuts `text` to `maxBytes` of UTF-8, between characters. */
export function cutText(text: string, maxBytes: number): { readonly text: string; readonly cut: boolean } {
  // A UTF-16 unit takes at most three bytes.
  if (text.length * 3 <= maxBytes) return { text, cut: false };
  // A unit takes at least one byte: what is further back is cut anyhow, and never encoded.
  const bytes = Buffer.from(text.slice(0, maxBytes + 1));
  if (bytes.length <= maxBytes) return { text, cut: false };
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return { text: bytes.toString('utf8', 0, end), cut: true };
}

/** The action with its texts, and its parameters together, cut at `maxBytes` each. Digests are the driver's, and of all. */
export function limitAction(action: RecordedAction, maxBytes: number): RecordedAction {
  switch (action.type) {
    case 'sql': {
      const received = cutText(action.received, maxBytes);
      const sent = action.sent === undefined ? undefined : cutText(action.sent, maxBytes);
      const parameters = action.parameters === undefined ? undefined : cutList(action.parameters, maxBytes);
      if (!received.cut && !sent?.cut && !parameters?.cut) return action;
      return {
        ...action,
        received: received.text,
        ...(sent === undefined ? {} : { sent: sent.text }),
        ...(parameters === undefined ? {} : { parameters: parameters.list }),
        truncated: true,
      };
    }
    case 'http': {
      const path = cutText(action.path, maxBytes);
      const query = action.query === undefined ? undefined : cutText(action.query, maxBytes);
      if (!path.cut && !query?.cut) return action;
      return { ...action, path: path.text, ...(query === undefined ? {} : { query: query.text }), truncated: true };
    }
    case 'connect':
    case 'protocol':
      return action;
    default:
      throw action satisfies never;
  }
}

/** Values up to a budget that they share; the one that meets it is cut, and those after it are left out. */
function cutList(list: readonly (string | null)[], maxBytes: number): { readonly list: readonly (string | null)[]; readonly cut: boolean } {
  const kept: (string | null)[] = [];
  let left = maxBytes;
  for (const value of list) {
    if (left <= 0) return { list: kept, cut: true };
    const { text, cut } = value === null ? { text: null, cut: false } : cutText(value, left);
    kept.push(text);
    // Each value costs its quotes and comma, too: a list of nulls has an end.
    left -= 5 + (text === null ? 0 : Buffer.byteLength(text));
    if (cut) return { list: kept, cut: true };
  }
  return { list: kept, cut: false };
}

/** The event with every text that a client or a target can make long cut at `maxBytes`. */
export function limitEvent(event: NewEvent, maxBytes: number): NewEvent {
  switch (event.type) {
    case 'action': {
      const action = limitAction(event.action, maxBytes);
      return action === event.action ? event : { ...event, action };
    }
    case 'result':
      return event.error === undefined ? event : { ...event, error: cutText(event.error, maxBytes).text };
    case 'approval':
      return event.reason === undefined ? event : { ...event, reason: cutText(event.reason, maxBytes).text };
    case 'note':
      return { ...event, message: cutText(event.message, maxBytes).text };
    case 'end':
      return event.message === undefined ? event : { ...event, message: cutText(event.message, maxBytes).text };
    case 'rows':
    case 'start':
      return event;
    default:
      throw event satisfies never;
  }
}

type Rows = Extract<NewEvent, { type: 'rows' }>;

/** Rows in events of about twice `maxBytes`, so that one large result is many lines; cells cut at `maxBytes`, and all cells of a row together at twice that. */
export function* splitRows(event: Rows, maxBytes: number): Generator<Rows> {
  let rows: (readonly (string | null)[])[] = [];
  let bytes = 0;
  let truncated = event.truncated === true;
  const batch = (): Rows => ({ ...event, rows, ...(truncated ? { truncated } : {}) });
  for (const row of event.rows) {
    const cells = row.map((cell) => (cell === null ? { text: null, cut: false } : cutText(cell, maxBytes)));
    const kept = cutList(
      cells.map((cell) => cell.text),
      2 * maxBytes,
    );
    truncated ||= kept.cut || cells.some((cell) => cell.cut);
    rows.push(kept.list);
    bytes += kept.list.reduce((sum, cell) => sum + 5 + Buffer.byteLength(cell ?? ''), 2);
    if (bytes >= 2 * maxBytes) {
      yield batch();
      rows = [];
      bytes = 0;
      truncated = event.truncated === true;
    }
  }
  if (rows.length > 0 || event.rows.length === 0) yield batch();
}

import type { ActionEvent, RecordEvent, RecordedAction, ResultEvent, RowsEvent } from '#crds/record/event.ts';
import { type Paint, printable, table } from './table.ts';

/** One event as a person reads it; several lines for rows. Ends with a newline. */
export function renderEvent(event: RecordEvent, startedMs: number, paint: Paint): string {
  const at = paint('dim', clock(Date.parse(event.time) - startedMs));
  return `${at}  ${safeLines(event, paint).join('\n             ')}\n`;
}

/** What is shown was not verified: it may have any shape. */
function safeLines(event: RecordEvent, paint: Paint): readonly string[] {
  try {
    return lines(event, paint);
  } catch {
    return [paint('red', printable(`event ${event.seq} (${event.type}) is not as a recorder writes it: verify the recording`))];
  }
}

function lines(event: RecordEvent, paint: Paint): readonly string[] {
  switch (event.type) {
    case 'start': {
      const who = event.principals.map((one) => `${one.kind} ${one.subject}`).join(', ');
      const to = `${event.resource.namespace}/${event.resource.name}${event.database === undefined ? '' : ` (database ${event.database})`}`;
      return [
        paint('bold', printable(`session of ${who || 'nobody'} to ${to}`)),
        printable(`policy ${event.snapshot}, which promises assurance ${event.assurance}`),
      ];
    }
    case 'action':
      return [paint('bold', describe(event.action)), ...parameters(event.action), verdict(event, paint)];
    case 'result':
      return [result(event, paint)];
    case 'rows':
      return rows(event);
    case 'approval': {
      const by = event.by === undefined ? '' : ` by ${event.by.subject}`;
      return [
        paint('yellow', printable(`approval ${event.name} ${event.event}${by}${event.reason === undefined ? '' : `: ${event.reason}`}`)),
      ];
    }
    case 'note':
      return [printable(`${event.code}: ${event.message}`)];
    case 'end':
      return [paint('bold', printable(`end (${event.reason})${event.message === undefined ? '' : `: ${event.message}`}`))];
    default:
      throw event satisfies never;
  }
}

function describe(action: RecordedAction): string {
  switch (action.type) {
    case 'sql': {
      const step = action.step === 'Query' ? '' : `${action.step}: `;
      const sent = action.sent === undefined || action.sent === action.received ? '' : `\n             sent as: ${printable(action.sent)}`;
      return `${printable(`${step}${action.received}`)}${action.truncated === true ? ' […]' : ''}${sent}`;
    }
    case 'http':
      return printable(`${action.method} ${action.host}${action.path}${action.query ? `?${action.query}` : ''}`);
    case 'connect':
      return printable(
        `connect${action.database === undefined ? '' : ` to database ${action.database}`}${action.user === undefined ? '' : ` as ${action.user}`}`,
      );
    case 'protocol':
      return printable(`protocol message ${action.message}`);
    default:
      throw action satisfies never;
  }
}

function parameters(action: RecordedAction): readonly string[] {
  if (action.type !== 'sql' || action.parameters === undefined || action.parameters.length === 0) return [];
  return [
    printable(action.parameters.map((value, index) => `$${index + 1} = ${value === null ? 'NULL' : JSON.stringify(value)}`).join(', ')),
  ];
}

const STYLES = { Allow: 'green', Deny: 'red', Hold: 'yellow' } as const;

function verdict(event: ActionEvent, paint: Paint): string {
  const authors = event.authors.map((author) => `${author.kind} ${author.namespace}/${author.name} ${author.rule}`).join('; ');
  const audit = (event.audit ?? []).map((one) => `; audit: would ${one.decision} (${one.code})`).join('');
  const head = paint(STYLES[event.decision] ?? 'red', printable(event.decision.toUpperCase()));
  return `${head} ${printable(`${event.code}: ${event.message}${authors === '' ? '' : ` [${authors}]`}${audit}`)}`;
}

function result(event: ResultEvent, paint: Paint): string {
  const facts = [
    event.tag,
    event.rows === undefined ? undefined : `${event.rows} ${event.rows === 1 ? 'row' : 'rows'}`,
    event.maskedValues ? `${event.maskedValues} masked` : undefined,
    event.sqlstate,
    event.error,
    `${event.durationMs} ms`,
  ].filter((fact) => fact !== undefined);
  return `${paint(event.status === 'ok' ? 'cyan' : 'red', `→ ${printable(event.status)}`)} ${printable(facts.join(', '))}`;
}

function rows(event: RowsEvent): readonly string[] {
  const cells = event.rows.map((row) => row.map((cell) => cell ?? 'NULL'));
  const text = table(event.columns.map(printable), cells).trimEnd().split('\n');
  return event.truncated === true ? [...text, '[…] cells were cut at the recorder’s limit'] : text;
}

/** `+00:01.234`: since the session's start. */
function clock(ms: number): string {
  const total = Math.max(0, Number.isFinite(ms) ? ms : 0);
  const minutes = Math.floor(total / 60_000);
  return `+${String(minutes).padStart(2, '0')}:${((total % 60_000) / 1000).toFixed(3).padStart(6, '0')}`;
}

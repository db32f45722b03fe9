import { decodeErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import { UpstreamError } from '../errors.ts';

const KNOWN_REASONS: Readonly<Record<string, string>> = {
  '28P01': 'the target rejected the password',
  '28000': 'the target does not let this user in',
  '3D000': 'the target has no such database',
  '42501': 'the target does not let this user in',
  '42704': 'the target does not know a startup parameter',
  '22023': 'the target does not take a startup parameter',
  '53300': 'the target has too many connections',
  '57P03': 'the target is starting up or shutting down',
  '0A000': 'the target does not speak this protocol',
};

/** Its own text stays out: before the login is over it could be anybody's. */
export function refusalOf(buffer: Buffer, start: number, end: number): UpstreamError {
  const { sqlstate } = decodeErrorFields(buffer, start, end);
  const code = sqlstate === '28P01' ? 'password_rejected' : 'refused';
  return new UpstreamError(code, `${KNOWN_REASONS[sqlstate] ?? 'the target refused the login'} (SQLSTATE ${sqlstate})`, sqlstate);
}

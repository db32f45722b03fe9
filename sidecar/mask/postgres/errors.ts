import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import type { NotificationResponse } from '../../wire/postgres/messages/notification_response.ts';
import type { ParameterStatus } from '../../wire/postgres/messages/parameter_status.ts';
import type { Detectors } from '../detect.ts';

export interface ErrorMaskOptions {
  /** The statement reads or writes something that has masked columns. */
  readonly touchesMasked: boolean;
  readonly detectors: Detectors | null;
}

/**
 * A server's error or notice as the client may see it. Where the statement touches masked data, SQLSTATE and severity stay, the message is a
 * fixed text for its class (but for syntax and name errors, class 42), and everything that may hold a value is dropped.
 */
export function maskError(_fields: ErrorFields, _options: ErrorMaskOptions): ErrorFields {
  throw new Error('not yet');
}

export function maskNotification(_message: NotificationResponse, _detectors: Detectors | null): NotificationResponse {
  throw new Error('not yet');
}

export function maskParameterStatus(_message: ParameterStatus, _detectors: Detectors | null): ParameterStatus {
  throw new Error('not yet');
}

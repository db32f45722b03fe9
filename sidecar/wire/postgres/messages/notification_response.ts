import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame, int32 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NOTIFICATIONRESPONSE */
export interface NotificationResponse {
  readonly pid: number;
  readonly channel: string;
  readonly payload: string;
}

export function decodeNotificationResponse(buffer: Buffer, start: number, end: number): NotificationResponse {
  const body = new Body(buffer, start, end);
  return { pid: body.int32(), channel: body.cstring(), payload: body.lastCstring() };
}

export function encodeNotificationResponse(message: NotificationResponse): Buffer {
  return frame(BACKEND.NotificationResponse, int32(message.pid), cstring(message.channel), cstring(message.payload));
}

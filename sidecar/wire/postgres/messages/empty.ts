import { BACKEND, FRONTEND } from '../types.ts';
import { Body } from './body.ts';
import { frame } from './encode.ts';

/**
 * Messages that are nothing but a type: Sync, Flush, Terminate, CopyDone from the client; ParseComplete, BindComplete, CloseComplete,
 * NoData, EmptyQueryResponse, PortalSuspended, CopyDone from the server.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SYNC
 */
export function decodeEmpty(buffer: Buffer, start: number, end: number): void {
  new Body(buffer, start, end).finish();
}

export function encodeSync(): Buffer {
  return frame(FRONTEND.Sync);
}

export function encodeFlush(): Buffer {
  return frame(FRONTEND.Flush);
}

export function encodeTerminate(): Buffer {
  return frame(FRONTEND.Terminate);
}

type EmptyBackend = 'ParseComplete' | 'BindComplete' | 'CloseComplete' | 'NoData' | 'EmptyQueryResponse' | 'PortalSuspended' | 'CopyDone';

export function encodeEmpty(name: EmptyBackend): Buffer {
  return frame(BACKEND[name]);
}

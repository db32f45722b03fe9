/** The open streams of one kind: one for each pod, ended when the pod, its key or its certificate is no longer good. */
import { status } from '@grpc/grpc-js';
import type { Caller, Peers } from './peers.ts';
import { CallError } from './rpc.ts';

export interface OpenStream {
  readonly caller: Caller;
  end(error: CallError): void;
}

export interface Streams<S extends OpenStream> {
  /** The one that was there for the pod is ended. */
  add(stream: S): void;
  /** True where it was still the pod's. */
  remove(stream: S): boolean;
  all(): IterableIterator<S>;
  readonly size: number;
  /** Ends those that are no longer good. */
  review(peers: Peers): Promise<void>;
  endAll(error: CallError): void;
}

export function createStreams<S extends OpenStream>(): Streams<S> {
  const streams = new Map<string, S>();
  return {
    add(stream) {
      const { podUid } = stream.caller.peer;
      streams.get(podUid)?.end(new CallError(status.ABORTED, 'replaced by a newer stream of the same pod'));
      streams.set(podUid, stream);
    },
    remove(stream) {
      const { podUid } = stream.caller.peer;
      return streams.get(podUid) === stream && streams.delete(podUid);
    },
    all: () => streams.values(),
    get size() {
      return streams.size;
    },
    async review(peers) {
      for (const stream of [...streams.values()]) {
        if (!(await peers.stillGood(stream.caller)))
          stream.end(new CallError(status.UNAUTHENTICATED, 'the pod, its key or its certificate is gone'));
      }
    },
    endAll(error) {
      for (const stream of [...streams.values()]) stream.end(error);
    },
  };
}

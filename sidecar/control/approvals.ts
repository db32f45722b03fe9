/** The stream of approvals, as long as the sidecar lives. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { type ApprovalCallSchema, type ApprovalState, Sidecar } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import { openDuplex } from './rpc.ts';
import { type KeptStream, keepStream } from './stream.ts';

type Message = MessageInitShape<typeof ApprovalCallSchema>;
type ApprovalsCall = ClientDuplexStream<Message, ApprovalState>;

export interface ApprovalsStream {
  readonly stream: KeptStream;
  /** Dropped where the stream is not open. */
  send(call: Message): void;
  onState(listener: (state: ApprovalState) => void): () => void;
  /** Called each time that a stream has been opened, the first included. */
  onReconnect(listener: () => void): () => void;
}

export function createApprovalsStream(): ApprovalsStream {
  const states = new Set<(state: ApprovalState) => void>();
  const reconnects = new Set<() => void>();
  let open: ApprovalsCall | null = null;
  const stream = keepStream<ApprovalState, ApprovalsCall>({
    open: (client) => openDuplex(client, Sidecar.method.approvals),
    onOpen(call) {
      open = call;
      for (const listener of [...reconnects]) listener();
    },
    onMessage(state) {
      for (const listener of [...states]) listener(state);
    },
  });
  const subscribe = <T>(listeners: Set<T>, listener: T) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  return {
    stream,
    send(call) {
      if (stream.connected) open?.write(call);
    },
    onState: (listener) => subscribe(states, listener),
    onReconnect: (listener) => subscribe(reconnects, listener),
  };
}

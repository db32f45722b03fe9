import type { ApprovalCallMessage, ApprovalStateMessage } from '#crds/control/approvals.ts';

/** The stream `Approvals` of crds/proto, as long as the sidecar lives: it is opened again when it breaks. */
export interface ApprovalChannel {
  readonly connected: boolean;
  /** Dropped where the stream is not open. */
  send(call: ApprovalCallMessage): void;
  onState(listener: (state: ApprovalStateMessage) => void): () => void;
  /** Called each time that a stream has been opened, the first included. */
  onReconnect(listener: () => void): () => void;
}

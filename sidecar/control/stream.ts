/** A stream that is opened again whenever it ends, on whatever channel is the current one. */
import type { Client, ClientDuplexStream, ClientReadableStream } from '@grpc/grpc-js';
import { createBackoff } from './backoff.ts';
import type { ControlError } from './errors.ts';
import { controlError } from './rpc.ts';

type Call<Out> = ClientReadableStream<Out> | ClientDuplexStream<never, Out>;

export interface StreamOptions<Out, C extends Call<Out>> {
  readonly open: (client: Client) => C;
  /** The operator took it. */
  readonly onOpen?: (call: C) => void;
  readonly onMessage: (message: Out, call: C) => void;
  readonly onEnd?: (error: ControlError | null) => void;
  readonly firstRetryMs?: number;
  readonly longestRetryMs?: number;
}

export interface KeptStream {
  readonly connected: boolean;
  /** Ends what is open, and opens it on this channel. */
  use(client: Client): void;
  close(): void;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;

export function keepStream<Out, C extends Call<Out>>(options: StreamOptions<Out, C>): KeptStream {
  const { firstRetryMs = FIRST_RETRY_MS, longestRetryMs = LONGEST_RETRY_MS } = options;
  const backoff = createBackoff(firstRetryMs, longestRetryMs);
  let client: Client | null = null;
  let call: C | null = null;
  let connected = false;
  let timer: NodeJS.Timeout | undefined;

  const open = () => {
    clearTimeout(timer);
    if (client === null) return;
    const opened = options.open(client);
    const openedAt = performance.now();
    call = opened;
    let failure: ControlError | null = null;
    opened.on('metadata', () => {
      if (call !== opened) return;
      connected = true;
      options.onOpen?.(opened);
    });
    opened.on('data', (message: Out) => {
      if (call !== opened) return;
      backoff.reset();
      options.onMessage(message, opened);
    });
    opened.on('error', (error: unknown) => {
      failure = controlError(error);
      over(opened, failure, openedAt);
    });
    opened.on('end', () => over(opened, failure, openedAt));
  };
  const over = (ended: C, error: ControlError | null, openedAt: number) => {
    if (call !== ended) return;
    if (performance.now() - openedAt > longestRetryMs) backoff.reset();
    call = null;
    connected = false;
    timer = setTimeout(open, backoff.next());
    options.onEnd?.(error);
  };
  const drop = () => {
    clearTimeout(timer);
    const dropped = call;
    call = null;
    connected = false;
    dropped?.cancel();
  };
  return {
    get connected() {
      return connected;
    },
    use(next) {
      drop();
      client = next;
      backoff.reset();
      open();
    },
    close() {
      drop();
      client = null;
    },
  };
}

/** protobuf-es messages on a @grpc/grpc-js server. */
import { create, type DescMethod, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf';
import {
  Metadata,
  type Server,
  type ServerDuplexStream,
  type ServerErrorResponse,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';

/** A call that is refused or fails, as the caller is told. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** The stream of a call as the server writes it: what a handler sends, and how it ends. */
export interface Sink<T> {
  /** `flushed` is called when it has left this process, and not after the stream has ended. */
  send(message: T, flushed?: () => void): void;
  end(error: CallError): void;
  readonly ended: AbortSignal;
}

export type Call = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;
type Receive<M extends DescMethod> = (message: MessageShape<M['input']>) => void;

/** DER of the certificate that TLS has verified. */
export function peerCertificateOf(call: Call): Uint8Array | undefined {
  return call.getAuthContext().sslPeerCertificate?.raw;
}

export function serveUnary<M extends DescMethod>(
  server: Server,
  method: M,
  answer: (request: MessageShape<M['input']>, call: Call) => Promise<MessageInitShape<M['output']>>,
): void {
  const handler = (
    call: ServerUnaryCall<MessageShape<M['input']>, MessageInitShape<M['output']>>,
    done: sendUnaryData<MessageInitShape<M['output']>>,
  ) =>
    void answer(call.request, call).then(
      (response) => done(null, response),
      (error: unknown) => done(errorResponse(error)),
    );
  server.register(pathOf(method), handler, serializer(method), deserializer(method), 'unary');
}

export function serveStream<M extends DescMethod>(
  server: Server,
  method: M,
  open: (request: MessageShape<M['input']>, sink: Sink<MessageInitShape<M['output']>>, call: Call) => Promise<void>,
): void {
  const handler = (call: ServerWritableStream<MessageShape<M['input']>, MessageInitShape<M['output']>>) => {
    const sink = sinkOf(call);
    open(call.request, sink, call).then(
      () => accept(call, sink),
      (error: unknown) => sink.end(callError(error)),
    );
  };
  server.register(pathOf(method), handler, serializer(method), deserializer(method), 'serverStream');
}

/** `open` gives what receives the messages; none is read before. With `serialize` the handler sends bytes that it made itself. */
export function serveDuplex<M extends DescMethod, Out = MessageInitShape<M['output']>>(
  server: Server,
  method: M,
  open: (sink: Sink<Out>, call: Call) => Promise<Receive<M>>,
  serialize: (message: Out) => Buffer,
): void {
  const handler = (call: ServerDuplexStream<MessageShape<M['input']>, Out>) => {
    const sink = sinkOf(call);
    open(sink, call).then(
      (receive) => {
        accept(call, sink);
        call.on('data', (message: MessageShape<M['input']>) => {
          try {
            if (!sink.ended.aborted) receive(message);
          } catch (error: unknown) {
            sink.end(callError(error));
          }
        });
        // A sidecar that says no more has no use for the answers.
        call.on('end', () => sink.end(new CallError(status.OK, '')));
      },
      (error: unknown) => sink.end(callError(error)),
    );
  };
  server.register(pathOf(method), handler, serialize, deserializer(method), 'bidi');
}

export function serializer<M extends DescMethod>({ output }: M): (message: MessageInitShape<M['output']>) => Buffer {
  return (message) => Buffer.from(toBinary(output, create(output, message)));
}

interface Writable<T> {
  write(message: T, flushed: (error?: Error | null) => void): boolean;
  end(): unknown;
  emit(event: 'error', error: ServerErrorResponse): boolean;
  on(event: 'cancelled' | 'close' | 'error', listener: () => void): unknown;
}

function sinkOf<T>(call: Writable<T>): Sink<T> {
  const ended = new AbortController();
  const over = () => ended.abort();
  call.on('cancelled', over);
  call.on('close', over);
  call.on('error', over);
  return {
    ended: ended.signal,
    send(message, flushed) {
      if (!ended.signal.aborted) call.write(message, (error) => !error && !ended.signal.aborted && flushed?.());
    },
    end(error) {
      if (ended.signal.aborted) return;
      over();
      if (error.code === status.OK) call.end();
      else call.emit('error', errorResponse(error));
    },
  };
}

/** The headers go out now and not with the first message, so that the caller knows that it is connected. */
function accept(call: { sendMetadata(metadata: Metadata): void }, { ended }: Sink<never>): void {
  if (!ended.aborted) call.sendMetadata(new Metadata());
}

function deserializer<M extends DescMethod>({ input }: M): (bytes: Buffer) => MessageShape<M['input']> {
  return (bytes) => fromBinary(input, bytes) as MessageShape<M['input']>;
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function callError(error: unknown): CallError {
  return error instanceof CallError ? error : new CallError(status.INTERNAL, 'the operator could not answer');
}

function errorResponse(error: unknown): ServerErrorResponse {
  const { code, message } = callError(error);
  return Object.assign(new Error(message), { code, details: message, metadata: new Metadata() });
}

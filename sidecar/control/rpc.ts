/** protobuf-es messages on a @grpc/grpc-js client. */
import { create, type DescMethod, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { type Client, type ClientDuplexStream, type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js';
import { ControlError } from './errors.ts';

export function callUnary<M extends DescMethod>(
  client: Client,
  method: M,
  request: MessageInitShape<M['input']>,
  timeoutMs: number,
): Promise<MessageShape<M['output']>> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    client.makeUnaryRequest(pathOf(method), serializer(method), deserializer(method), request, { deadline }, (error, response) => {
      if (error !== null) reject(controlError(error));
      else if (response === undefined) reject(new ControlError('Malformed', 'the operator answered nothing'));
      else resolve(response);
    });
  });
}

export function openStream<M extends DescMethod>(
  client: Client,
  method: M,
  request: MessageInitShape<M['input']>,
): ClientReadableStream<MessageShape<M['output']>> {
  return client.makeServerStreamRequest(pathOf(method), serializer(method), deserializer(method), request);
}

export function openDuplex<M extends DescMethod>(
  client: Client,
  method: M,
): ClientDuplexStream<MessageInitShape<M['input']>, MessageShape<M['output']>> {
  return client.makeBidiStreamRequest(pathOf(method), serializer(method), deserializer(method));
}

export function controlError(error: unknown): ControlError {
  if (error instanceof ControlError) return error;
  const { code, details } = error as Partial<ServiceError>;
  const text = typeof details === 'string' && details !== '' ? details.slice(0, 500) : 'no reason given';
  return new ControlError(typeof code === 'number' && REFUSALS.has(code) ? 'Refused' : 'Unavailable', text);
}

const REFUSALS: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.FAILED_PRECONDITION,
  status.UNIMPLEMENTED,
  status.NOT_FOUND,
]);

function serializer<M extends DescMethod>({ input }: M): (message: MessageInitShape<M['input']>) => Buffer {
  return (message) => Buffer.from(toBinary(input, create(input, message)));
}

function deserializer<M extends DescMethod>({ output }: M): (bytes: Buffer) => MessageShape<M['output']> {
  return (bytes) => fromBinary(output, bytes) as MessageShape<M['output']>;
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/**
 * The listening socket of a gRPC server. Everybody in the cluster may knock, and grpc-js lets in whoever does: here is how many at once, how many from
 * one address, and how long one may stay.
 */
import { createServer, type Socket } from 'node:net';
import type { Server, ServerCredentials } from '@grpc/grpc-js';
import { createPlaces } from './rate.ts';

export interface DoorLimits {
  readonly connections: number;
  readonly perAddress: number;
  /** From its begin to its end; no limit where absent. */
  readonly lifeMs?: number;
}

export interface Door {
  readonly port: number;
  /** Lets nobody in any more. Who is inside stays until the server ends it, or `clear`. */
  shut(): void;
  /** Ends what is left: what never became a connection of the server's. */
  clear(): void;
}

export interface DoorOptions {
  readonly server: Server;
  readonly credentials: ServerCredentials;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly limits: DoorLimits;
  /** Told once in ten seconds at most, with how many were turned away since. */
  readonly onTurnedAway: (count: number) => void;
}

const TELL_EVERY_MS = 10_000;

/** Rejects where the port can't be had. */
export function openDoor({ server, credentials, host, port, limits, onTurnedAway }: DoorOptions): Promise<Door> {
  const injector = server.createConnectionInjector(credentials);
  const inside = new Set<Socket>();
  const places = createPlaces(limits.perAddress);
  let turnedAway = 0;
  let toldAt = Number.NEGATIVE_INFINITY;

  const turnAway = () => {
    turnedAway++;
    if (performance.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = performance.now();
    onTurnedAway(turnedAway);
    turnedAway = 0;
  };
  const enter = (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    if (inside.size >= limits.connections || !places.take(address)) {
      turnAway();
      socket.on('error', () => {}).destroy();
      return;
    }
    inside.add(socket);
    const timer = limits.lifeMs === undefined ? undefined : setTimeout(() => socket.destroy(), limits.lifeMs).unref();
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      inside.delete(socket);
      places.give(address);
    });
    injector.injectConnection(socket);
  };

  const listener = createServer({ noDelay: true }, enter);
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, host, () => {
      listener.off('error', reject);
      listener.on('error', () => {});
      const bound = listener.address();
      resolve({
        port: typeof bound === 'object' && bound !== null ? bound.port : port,
        shut: () => void listener.close(),
        clear: () => {
          for (const socket of inside) socket.destroy();
        },
      });
    });
  });
}

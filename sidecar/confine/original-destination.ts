import { type Socket, SocketAddress } from 'node:net';
import { endianness } from 'node:os';
import { libc } from '../system/libc.ts';

/** Where a redirected connection was going. */
export interface Destination {
  readonly ip: string;
  readonly port: number;
}

/** linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h: both are 80, each of its own level. */
const SO_ORIGINAL_DST = 80;
const SOL_IP = 0;
const SOL_IPV6 = 41;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCKADDR_IN6_BYTES = 28;

/** Null where it can't be known: the connection has been closed, or the kernel knows no such one. */
export function originalDestination(socket: Socket): Destination | null {
  const fd = fdOf(socket);
  if (fd === null) return null;
  const value = Buffer.alloc(SOCKADDR_IN6_BYTES);
  const level = socket.localFamily === 'IPv6' ? SOL_IPV6 : SOL_IP;
  const result = libc().getsockopt(fd, level, SO_ORIGINAL_DST, value);
  return 'errno' in result ? null : readSocketAddress(value.subarray(0, result.bytes));
}

/** `struct sockaddr_in` or `sockaddr_in6`; null for anything else. */
export function readSocketAddress(bytes: Buffer): Destination | null {
  if (bytes.length < 8) return null;
  const family = endianness() === 'BE' ? bytes.readUInt16BE(0) : bytes.readUInt16LE(0);
  const port = bytes.readUInt16BE(2);
  if (family === AF_INET) return { ip: [...bytes.subarray(4, 8)].join('.'), port };
  if (family !== AF_INET6 || bytes.length < 24) return null;
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(8 + 2 * i).toString(16));
  // In its shortest form, as DNS answers are written.
  return { ip: new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address, port };
}

/** Node shows no file descriptor: this is the one way, and it may be gone in a later version, which must then be told and not crash. */
function fdOf(socket: Socket): number | null {
  const { _handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = _handle?.fd;
  return typeof fd === 'number' && Number.isInteger(fd) && fd >= 0 ? fd : null;
}

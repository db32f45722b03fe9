import { readFileSync } from 'node:fs';
import { clusterNumber } from './config.ts';

/**
 * Each cluster of the machine has a block of 198.18.0.0/15, which is set aside for benchmarks (RFC 2544), and one of fd00::/8:
 * nobody's office or cloud uses these.
 */
export function addresses(n = clusterNumber()) {
  const block = n * 16;
  return {
    host: { v4: `198.18.${block}.1`, v6: `fd18:c4a9:${n}::1` },
    node: { v4: `198.18.${block}.2`, v6: `fd18:c4a9:${n}::2` },
    pods: { v4: `198.18.${block + 1}.0/24`, v6: `fd18:c4a9:${n}:1::/64` },
    services: { v4: `198.18.${block + 8}.0/21`, v6: `fd18:c4a9:${n}:8::/112` },
    /** Of the Services `kubernetes` and `kube-dns`. */
    api: `198.18.${block + 8}.1`,
    dns: `198.18.${block + 8}.10`,
  } as const;
}

export function hasIpv6(): boolean {
  try {
    return readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').trim() === '0';
  } catch {
    return false;
  }
}

/** The range, or both where the machine has IPv6, as Kubernetes' flags want them. */
export function ranges({ v4, v6 }: { readonly v4: string; readonly v6: string }): string {
  return hasIpv6() ? `${v4},${v6}` : v4;
}

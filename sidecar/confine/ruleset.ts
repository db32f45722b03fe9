import { isIP } from 'node:net';
import type { EgressPolicy } from '#crds/control/names.ts';

export interface RulesetOptions {
  /** The sidecar's: the only user whose packets leave as they are. */
  readonly uid: number;
  /** Where the sidecar takes redirected connections, on loopback. */
  readonly port: number;
  /** Addresses of the cluster's resolvers; nothing else may be asked by UDP or TCP 53. */
  readonly dns: readonly string[];
  /** `Allow` lets out what is not TCP; otherwise only the sidecar could record it, and it can't. */
  readonly egress: EgressPolicy;
}

/**
 * The pod's nftables rules, for `nft -f`: applied as a whole or not at all, and again without harm. One table for IPv4 and IPv6.
 *
 * A redirected packet comes out of the nat hook with a loopback address and still the first route's interface, so it is known by its
 * translation. TCP that was not redirected (it has no connection tracking, or is of no connection) is reset and never let out. A socket
 * that is bound to the outer interface would send even loopback addresses to the node: that is dropped where the packet leaves.
 */
export function ruleset({ uid, port, dns, egress }: RulesetOptions): string {
  const [v4, v6] = [4, 6].map((family) => dns.filter((address) => isIP(address) === family).join(', '));
  const toResolver = [v4 && `ip daddr { ${v4} }`, v6 && `ip6 daddr { ${v6} }`].filter((match) => match !== '');
  const resolver = (verdict: string) => toResolver.map((match) => `    ${match} meta l4proto { tcp, udp } th dport 53 ${verdict}`);
  return [
    'table inet chaperone {}',
    'delete table inet chaperone',
    'table inet chaperone {',
    '  chain to_sidecar {',
    '    type nat hook output priority -100; policy accept;',
    `    meta skuid ${uid} return`,
    '    oif lo return',
    '    ip daddr 127.0.0.0/8 return',
    '    ip6 daddr ::1 return',
    ...resolver('return'),
    `    meta l4proto tcp redirect to :${port}`,
    '  }',
    '  chain egress {',
    '    type filter hook output priority 0; policy drop;',
    '    oif lo accept',
    `    ct status dnat ip daddr 127.0.0.1 tcp dport ${port} accept`,
    `    ct status dnat ip6 daddr ::1 tcp dport ${port} accept`,
    `    meta skuid ${uid} accept`,
    '    ct state established,related accept',
    '    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept',
    ...resolver('accept'),
    '    meta l4proto tcp reject with tcp reset',
    egress === 'Allow' ? '    accept' : '    reject with icmpx type admin-prohibited',
    '  }',
    '  chain leaving {',
    '    type filter hook postrouting priority 0; policy accept;',
    '    oif != lo ip daddr 127.0.0.0/8 drop',
    '    oif != lo ip6 daddr ::1 drop',
    '  }',
    '  chain ingress {',
    '    type filter hook input priority 0; policy accept;',
    '    iif lo accept',
    `    tcp dport ${port} reject with tcp reset`,
    '  }',
    '}',
    '',
  ].join('\n');
}

/** What an attacker runs in a container: Python, as the tests' Debian has it and as an agent would. */

/** Over TCP and UDP the port says which; ICMP has none. */
export type Try = readonly [how: 'tcp' | 'udp' | 'icmp' | 'sctp' | 'raw', host: string, port: number];

/**
 * One line for each try: what the other side said, `silence`, or the name of the error. `outside` (stage.ts) answers `outside`, so this
 * word and no other means that a packet got there and back. ARGV: JSON of Try[], and a word that the datagrams carry.
 */
export const TRY = `
import errno, json, socket, sys
def tried(how, host, port, word):
    six = ':' in host
    kind, proto = {'tcp': (socket.SOCK_STREAM, 0), 'udp': (socket.SOCK_DGRAM, 0), 'sctp': (socket.SOCK_STREAM, 132),
        'icmp': (socket.SOCK_DGRAM, 58 if six else 1), 'raw': (socket.SOCK_RAW, 58 if six else 1)}[how]
    try:
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind, proto) as s:
            s.settimeout(3)
            if how in ('icmp', 'raw'):
                s.sendto(bytes([128 if six else 8, 0, 0, 0, 0, 1, 0, 1]) + word.encode(), (host, 0))
                return 'outside' if s.recv(999).endswith(word.encode()) else 'something else'
            s.connect((host, port))
            if how == 'udp': s.send(word.encode())
            return s.recv(999).decode(errors='replace') or 'closed'
    except TimeoutError: return 'silence'
    except OSError as e: return errno.errorcode.get(e.errno, str(e))
for how, host, port in json.loads(sys.argv[1]): print(tried(how, host, port, sys.argv[2]), flush=True)
`;

/** Answers whoever comes by TCP or UDP, and says on standard output what datagrams said. ARGV: ports. */
export const OUTSIDE = `
import socket, sys, threading
def tcp(s):
    while True:
        c, _ = s.accept()
        try: c.sendall(b'outside')
        except OSError: pass
        c.close()
def udp(s):
    while True:
        data, who = s.recvfrom(999)
        print('datagram', data.decode(errors='replace'), flush=True)
        s.sendto(b'outside', who)
def listen(kind, proto, port, serve):
    try:
        s = socket.socket(socket.AF_INET6, kind, proto)
        s.setsockopt(41, socket.IPV6_V6ONLY, 0)
    except OSError: s = socket.socket(socket.AF_INET, kind, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('::' if s.family == socket.AF_INET6 else '0.0.0.0', port))
    if kind == socket.SOCK_STREAM: s.listen(1024)
    threading.Thread(target=serve, args=(s,)).start()
for port in map(int, sys.argv[1:]):
    listen(socket.SOCK_STREAM, 0, port, tcp)
    listen(socket.SOCK_DGRAM, 0, port, udp)
    try: listen(socket.SOCK_STREAM, 132, port, tcp)
    except OSError: pass
print('ready', flush=True)
`;

/** Where somebody listens by TCP in this network namespace, a line for each: `ADDRESS PORT`. */
export const LISTENERS = `
import os, socket
def shown(text):
    raw = b''.join(bytes.fromhex(text[i:i + 8])[::-1] for i in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
found = []
for family in filter(os.path.exists, ('/proc/net/tcp', '/proc/net/tcp6')):
    for _, local, _, state, *_ in map(str.split, list(open(family))[1:]):
        address, port = local.split(':')
        if state == '0A': found.append(f'{shown(address)} {int(port, 16)}')
print('\\n'.join(sorted(found)), flush=True)
`;

/** Binds and listens at each address that is given, as a squatter does: `ADDRESS PORT listening|ERROR`. ARGV: ADDRESS PORT pairs. */
export const SQUAT = `
import errno, socket, sys
held = []
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT): s.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        s.bind((host, int(port)))
        s.listen()
        held.append(s)
        said = 'listening'
    except OSError as e: said = errno.errorcode.get(e.errno, str(e))
    print(host, port, said, flush=True)
`;

/** 4.9: an agent that is root in its container, where Pod Security lets it, gets no further than another. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { SIDECAR_UID } from '#crds/control/names.ts';
import { apply } from '#e2e/cluster/test-cluster.ts';
import { agentPod, MODES, OUTSIDE_PORT, PASSWORD, SSN, type Stage } from './stage.ts';
import { TRY, type Try } from './tries.ts';

/** Becomes the user, by itself and by a program that it gives the capability to as a file's. A line each. ARGV: the UID. */
const BECOME = `
import os, shutil, struct, subprocess, sys
uid = int(sys.argv[1])
become = f'import os; os.setuid({uid}); print("became", os.getuid())'
def tried(how, program):
    done = subprocess.run([program, '-c', become], capture_output=True, text=True)
    print(how, (done.stdout + done.stderr).strip().splitlines()[-1], flush=True)
tried('itself', sys.executable)
shutil.copy(os.path.realpath(sys.executable), '/tmp/capable')
# VFS_CAP_REVISION_2, effective; permitted: CAP_SETGID, CAP_SETUID, CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_PTRACE.
permitted = 1 << 6 | 1 << 7 | 1 << 12 | 1 << 13 | 1 << 19
try: os.setxattr('/tmp/capable', 'security.capability', struct.pack('<5I', 0x02000001, permitted, 0, 0, 0))
except OSError as e: print('no capability on a file:', e.strerror)
try: tried('capable', '/tmp/capable')
except OSError as e: print('capable', e.strerror)
`;
/** Of the kernel, without a program for it: what NET_ADMIN would be needed for. Removes nothing, for it adds a table; a line each. */
const CHANGE_RULES = `
import socket, struct
def nft(kind, flags, body=b'', seq=1): return struct.pack('<IHHII', 20 + len(body), kind, flags, seq, 0) + struct.pack('>BBH', 2, 0, 10 if kind in (16, 17) else 0) + body
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0)); s.settimeout(3)
name = struct.pack('<HH', 10, 1) + b'mine1\\0' + b'\\0\\0'
s.send(nft(16, 1) + nft(10 << 8, 5, name, 2) + nft(17, 1, b'', 3))
try: print('nftables', struct.unpack('<i', s.recv(999)[16:20])[0])
except OSError as e: print('nftables', e)
r = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
r.bind((0, 0)); r.settimeout(3)
r.send(struct.pack('<IHHII', 28, 24, 5, 1, 0) + struct.pack('<BBBBBBBBI', 2, 8, 0, 0, 254, 3, 0, 1, 0))
print('route', struct.unpack('<i', r.recv(999)[16:20])[0])
`;
const EPERM = -1;

export function attacksAsRoot(stageOf: () => Stage): void {
  describe('4.9 an agent that is root', () => {
    const rootPod = { pod: 'root' };

    before(async () => {
      const { cluster, kubectl, namespaces } = stageOf();
      for (const agent of ['free', ...MODES] as const) {
        const plain = agentPod(cluster, 'root');
        const containers = plain.spec.containers.map((container) => ({ ...container, securityContext: { runAsUser: 0, runAsGroup: 0 } }));
        await apply(cluster, namespaces[agent], [{ ...plain, spec: { ...plain.spec, containers } }]);
        await kubectl(['-n', namespaces[agent], 'wait', '--for=condition=Ready', 'pod/root', '--timeout=90s'], { timeoutMs: 100_000 });
      }
    });

    it('4.9 control: root in a pod without a sidecar becomes who it wants to be, and makes raw packets', async () => {
      assert.match((await stageOf().run('free', ['python3', '-c', BECOME, String(SIDECAR_UID)], rootPod)).out, /^itself became 64123$/m);
      const raw: Try[] = stageOf()
        .addresses.outside.slice(0, 1)
        .map((host) => ['raw', host, 0]);
      // The kernel fills in no checksum for it, so nobody answers.
      assert.match((await stageOf().run('free', ['python3', '-c', TRY, JSON.stringify(raw), 'root'], rootPod)).out, /^(silence|outside)$/m);
    });

    for (const mode of MODES) {
      it(`4.9 ${mode}: root does not become the sidecar's user, by itself or by a capable file, and makes no raw packets`, async () => {
        const { out } = await stageOf().run(mode, ['python3', '-c', BECOME, String(SIDECAR_UID)], rootPod);
        assert.match(out, /^itself PermissionError/m, out);
        assert.match(out, /^capable .*(Operation not permitted|PermissionError)/m, out);
        assert.doesNotMatch(out, /became/);
        const raw: Try[] = stageOf().addresses.outside.map((host) => ['raw', host, 0]);
        for (const line of (await stageOf().run(mode, ['python3', '-c', TRY, JSON.stringify(raw), 'root'], rootPod)).out.trim().split('\n'))
          assert.equal(line, 'EPERM');
      });

      it(`4.9 ${mode}: root changes neither the rules nor the routes of its pod`, async () => {
        const { out } = await stageOf().run(mode, ['python3', '-c', CHANGE_RULES], rootPod);
        assert.deepEqual(out.trim().split('\n'), [`nftables ${EPERM}`, `route ${EPERM}`]);
      });

      it(`4.9 ${mode}: root finds no credential and sees no process of the sidecar`, async () => {
        const search = `grep -rslF -e "$1" /etc /root /home /tmp /run /var /app /mnt /dev/shm; for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done; true`;
        const { out } = await stageOf().run(mode, ['bash', '-c', search, '-', PASSWORD], rootPod);
        assert.doesNotMatch(out, /^\//m, out);
        assert.doesNotMatch(out, /sidecar\.js/);
      });
    }

    it('4.9 transparent: root reaches nothing that nobody names, and the target only through the sidecar', async () => {
      const tries: Try[] = stageOf().addresses.outside.flatMap((host): Try[] => [
        ['tcp', host, OUTSIDE_PORT],
        ['udp', host, OUTSIDE_PORT],
      ]);
      const { out } = await stageOf().run('transparent', ['python3', '-c', TRY, JSON.stringify(tries), 'root'], rootPod);
      assert.doesNotMatch(out, /^(outside|silence)$/m);
      const query = ['psql', '-w', '-h', stageOf().host, '-U', 'app', '-d', 'shop', '-Atc', 'SELECT ssn FROM customers'];
      const said = await stageOf().run('transparent', query, rootPod);
      assert.equal(said.code, 0, said.out);
      assert.ok(!said.out.includes(SSN));
    });
  });
}

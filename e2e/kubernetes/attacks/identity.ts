/** 4.6: as the sidecar, towards the operator. What enrolment itself refuses is tried one by one in e2e/operator/enrolment.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply } from '#e2e/cluster/test-cluster.ts';
import { agentPod, MODES, type Stage, said } from './stage.ts';

const OPERATOR = 'chaperone.chaperone-system.svc';
/** TLS without a certificate of its own: whether the other side goes on talking. ARGV: host, port. */
const HELLO = `
import socket, ssl, sys
context = ssl._create_unverified_context()
context.set_alpn_protocols(['h2'])
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as raw, context.wrap_socket(raw, server_hostname=sys.argv[1]) as s:
        s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        print('talks' if s.recv(99) else 'closed')
except OSError as e: print(type(e).__name__, e)
`;

export function attacksOnIdentity(stageOf: () => Stage): void {
  describe('4.6 the operator’s endpoints', () => {
    it("4.6 explicit: the agent's own rights to create tokens make no token for the operator; they do make others", async () => {
      const { kubectl, namespaces } = stageOf();
      const namespace = namespaces.explicit;
      await kubectl(['-n', namespace, 'create', 'role', 'minter', '--verb=create', '--resource=serviceaccounts/token']);
      await kubectl(['-n', namespace, 'create', 'rolebinding', 'minter', '--role=minter', `--serviceaccount=${namespace}:agent`]);
      // From the agent's container, with its own token, as an agent that wants to be its sidecar would.
      const ask = async (audience: string) => {
        const uid = (await kubectl(['-n', namespace, 'get', 'pod', 'agent', '-o', 'jsonpath={.metadata.uid}'])).stdout;
        const bound = { apiVersion: 'v1', kind: 'Pod', name: 'agent', uid };
        const body = {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: { audiences: [audience], boundObjectRef: bound },
        };
        const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
        const url = `https://kubernetes.default.svc/api/v1/namespaces/${namespace}/serviceaccounts/agent/token`;
        const script = `curl -s --cacert ${folder}/ca.crt -H "Authorization: Bearer $(cat ${folder}/token)" -H 'Content-Type: application/json' -d "$1" ${url}`;
        return (await stageOf().run('explicit', ['bash', '-c', script, '-', JSON.stringify(body)])).out;
      };
      await waitFor('the right', async () => /"token":/.test(await ask('vault')) || undefined, 20_000);
      const answer = await ask('chaperone.dev');
      assert.match(answer, /guard\.token\.chaperone\.dev.*for the sidecar alone/s);
      assert.doesNotMatch(answer, /"token":/);
    });

    it('4.6 transparent: it does not even reach the API server or the operator', async () => {
      const { kubectl } = stageOf();
      const ip = (await kubectl(['-n', 'chaperone-system', 'get', 'service', 'chaperone', '-o', 'jsonpath={.spec.clusterIP}'])).stdout;
      for (const result of await stageOf().tries('transparent', [
        ['tcp', ip, 8443],
        ['tcp', ip, 8444],
        ['tcp', 'kubernetes.default.svc', 443],
      ])) {
        assert.match(result, /^ECONN(RESET|REFUSED)$/);
      }
    });

    it('4.6 nobody mints one for another workload either, whatever their rights; a token of the kubelet’s is what the sidecar has', async () => {
      const { kubectl, namespaces } = stageOf();
      for (const mode of MODES) {
        const refused = await said(kubectl(['-n', namespaces[mode], 'create', 'token', 'agent', '--audience=chaperone.dev']));
        assert.match(refused.out, /guard\.token\.chaperone\.dev/);
        // Its sidecar is ready, so it has enrolled, so it has got one.
        const pod = (await kubectl(['-n', namespaces[mode], 'get', 'pod', 'agent', '-o', 'jsonpath={.status.phase}'])).stdout;
        assert.equal(pod, 'Running');
      }
      assert.equal((await said(kubectl(['-n', namespaces.explicit, 'create', 'token', 'agent']))).code, 0);
    });

    it("4.6 explicit: the sidecar's own program, run by the agent with the tokens that it can have, is refused", async () => {
      const { cluster, kubectl, namespaces } = stageOf();
      const namespace = namespaces.explicit;
      const sidecar = (token: string) => [
        ...['/usr/bin/node', '/app/sidecar.js', '--operator', OPERATOR, '--token', token, '--ca', '/mine/ca.crt', '--state', '/state'],
        ...['--health-port', '15555', '--cluster-domain', 'cluster.local'],
      ];
      const plain = agentPod(cluster, 'impostor');
      const mounts = [
        { name: 'mine', mountPath: '/mine' },
        { name: 'state', mountPath: '/state' },
      ];
      const impostor = (name: string, token: string) => ({
        ...plain.spec.containers[0],
        name,
        image: cluster.images.sidecar,
        command: sidecar(token),
        volumeMounts: mounts,
      });
      const sources = [
        { serviceAccountToken: { audience: 'vault', path: 'other' } },
        { downwardAPI: { items: [{ path: 'ca.crt', fieldRef: { fieldPath: "metadata.annotations['chaperone.dev/ca-bundle']" } }] } },
      ];
      const volumes = [
        { name: 'mine', projected: { sources } },
        { name: 'state', emptyDir: {} },
      ];
      const tokens = { api: '/var/run/secrets/kubernetes.io/serviceaccount/token', other: '/mine/other' };
      const containers = Object.entries(tokens).map(([name, token]) => impostor(name, token));
      await apply(cluster, namespace, [{ ...plain, spec: { ...plain.spec, containers, volumes } }]);
      for (const name of Object.keys(tokens)) {
        const log = await waitFor(
          `the refusal of ${name}`,
          async () => {
            const { out } = await said(kubectl(['-n', namespace, 'logs', 'impostor', '-c', name]));
            return /TokenNotGood|TokenNotOfAPod/.test(out) ? out : undefined;
          },
          60_000,
        );
        assert.doesNotMatch(log, /"enrolled"/);
      }
      // The same program with the token that the kubelet gave it has enrolled in the same pod.
      const { stdout } = await kubectl([
        '-n',
        namespace,
        'get',
        'pod',
        'impostor',
        '-o',
        'jsonpath={.status.initContainerStatuses[?(@.name=="chaperone")].started}',
      ]);
      assert.equal(stdout, 'true');
    });

    it('4.6 explicit: without a certificate of the operator’s nothing is said on the port of policies and credentials', async () => {
      const hello = async (port: number) => (await stageOf().run('explicit', ['python3', '-c', HELLO, OPERATOR, String(port)])).out.trim();
      assert.equal(await hello(8443), 'talks', 'control: enrolment speaks with anybody');
      assert.notEqual(await hello(8444), 'talks');
    });
  });
}

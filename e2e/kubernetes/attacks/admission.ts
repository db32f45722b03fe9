/** 4.7 to 4.9: by what somebody writes to the API server who may write pods. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SIDECAR_UID } from '#crds/control/names.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { type Agent, agentPod, MODES, type Said, type Stage, said } from './stage.ts';

export function attacksByAdmission(stageOf: () => Stage): void {
  const kubectl = (agent: Agent, args: readonly string[], input?: unknown): Promise<Said> =>
    said(stageOf().kubectl(['-n', stageOf().namespaces[agent], ...args], input === undefined ? {} : { input: JSON.stringify(input) }));
  const create = (agent: Agent, pod: unknown, ...more: string[]) => kubectl(agent, ['create', '--dry-run=server', '-f', '-', ...more], pod);
  const patch = (agent: Agent, body: unknown, ...more: string[]) =>
    kubectl(agent, ['patch', 'pod', 'agent', '-p', JSON.stringify(body), '--dry-run=server', ...more]);
  const pod = (spec: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}) => {
    const plain = agentPod(stageOf().cluster, 'tried', spec);
    return { ...plain, metadata: { ...plain.metadata, ...metadata } };
  };
  const image = () => stageOf().cluster.images.debian;
  const container = (securityContext: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
    containers: [
      { name: 'agent', image: image(), command: ['sleep', '1'], securityContext: { runAsUser: 1000, ...securityContext }, ...more },
    ],
  });

  describe('4.7 annotations, labels and injected parts', () => {
    for (const mode of MODES) {
      it(`4.7 ${mode}: the pod of a namespace that requires it can't opt out, nor ask for less`, async () => {
        assert.equal((await create(mode, pod())).code, 0);
        assert.match((await create(mode, pod({}, { annotations: { 'chaperone.dev/inject': 'false' } }))).out, /injection=required/);
        const { code, out } = await create(mode, pod({}, { annotations: { 'chaperone.dev/mode': 'Explicit' } }));
        assert.equal(code, mode === 'explicit' ? 0 : 1, out);
        // Neither of these is read.
        const bold = { 'chaperone.dev/egress': 'Allow', 'chaperone.dev/status': '{}', 'chaperone.dev/ca-bundle': 'mine' };
        const made = await create(mode, pod({}, { annotations: bold }), '-o', 'json');
        assert.match(made.out, /BEGIN CERTIFICATE/);
        assert.doesNotMatch(made.out, /"--egress",\s*"Allow"/);
      });

      it(`4.7 ${mode}: a pod that says it was injected gets its sidecar all the same; one that brings another does not`, async () => {
        const made = await create(mode, pod({}, { labels: { 'chaperone.dev/injected': 'true' } }), '-o', 'json');
        assert.match(made.out, /"name": "chaperone"/);
        const mine = { name: 'chaperone', image: image(), command: ['sleep', '1'], restartPolicy: 'Always' };
        const swapped = await create(mode, pod({ initContainers: [mine] }), '-o', 'json');
        assert.equal(swapped.code, 0, swapped.out);
        const { spec } = JSON.parse(swapped.out) as { spec: { initContainers: readonly { name: string; image: string }[] } };
        const found = spec.initContainers.filter(({ name }) => name === 'chaperone').map((one) => one.image);
        assert.deepEqual(found, [stageOf().cluster.images.sidecar]);
        assert.match((await create(mode, pod({ containers: [{ ...mine, restartPolicy: undefined }] }))).out, /chaperone/);
      });

      it(`4.7 ${mode}: what was injected stays: label, annotations, image, container`, async () => {
        const control = await patch(mode, { metadata: { labels: { mine: 'yes' } } });
        assert.equal(control.code, 0, control.out);
        const bodies = [
          { metadata: { labels: { 'chaperone.dev/injected': null } } },
          { metadata: { labels: { 'chaperone.dev/injected': 'false' } } },
          { metadata: { annotations: { 'chaperone.dev/ca-bundle': 'mine' } } },
          { metadata: { annotations: { 'chaperone.dev/status': null } } },
          { spec: { initContainers: [{ name: 'chaperone', image: image() }] } },
        ];
        for (const body of bodies)
          assert.match((await patch(mode, body)).out, /guard\.\w+\.chaperone\.dev.*injector's/s, JSON.stringify(body));
        const removed = await patch(mode, [{ op: 'remove', path: '/spec/initContainers/0' }], '--type=json');
        assert.equal(removed.code, 1, removed.out);
      });

      it(`4.7 ${mode}: an agent's own rights change no namespace, policy or webhook`, async () => {
        const as = ['--as', `system:serviceaccount:${stageOf().namespaces[mode]}:agent`];
        for (const what of ['namespaces', 'accesspolicies.chaperone.dev', 'validatingwebhookconfigurations', 'pods', 'secrets']) {
          assert.match((await kubectl(mode, ['auth', 'can-i', 'patch', what, ...as])).out, /^(.*\n)*no\b/m, what);
        }
      });
    }

    it('4.7 control: where nothing is injected, the same changes are taken', async () => {
      assert.equal((await create('free', pod({}, { annotations: { 'chaperone.dev/inject': 'false' } }))).code, 0);
      assert.equal((await patch('free', { spec: { containers: [{ name: 'agent', image: 'other' }] } })).code, 0);
    });

    it('4.7 with no operator, a pod that is to be injected does not start, and one that runs stays guarded', async () => {
      const scale = (replicas: number) =>
        stageOf().kubectl(['-n', 'chaperone-system', 'scale', 'deployment/chaperone-operator', `--replicas=${replicas}`]);
      await scale(0);
      try {
        await waitFor('the operator to be gone', async () => {
          const { out } = await create('explicit', pod());
          return /failed calling webhook/.test(out) || undefined;
        });
        assert.match(
          (await patch('transparent', { metadata: { labels: { 'chaperone.dev/injected': null } } })).out,
          /failed calling webhook/,
        );
        assert.equal((await create('free', pod())).code, 0);
      } finally {
        await scale(2);
        await stageOf().kubectl(['-n', 'chaperone-system', 'rollout', 'status', 'deployment/chaperone-operator', '--timeout=120s'], {
          timeoutMs: 130_000,
        });
      }
      await waitFor('the webhooks to answer again', async () => (await create('explicit', pod())).code === 0 || undefined);
    });
  });

  describe('4.8 debugging into the sidecar', () => {
    for (const mode of MODES) {
      it(`4.8 ${mode}: exec, attach, cp and debug`, async () => {
        assert.equal((await kubectl(mode, ['exec', 'agent', '-c', 'agent', '--', 'true'])).code, 0);
        const refused = /guard\.exec\.chaperone\.dev.*holds the target's credential/s;
        for (const name of mode === 'explicit' ? ['chaperone'] : ['chaperone', 'chaperone-rules', 'chaperone-validator']) {
          assert.match((await kubectl(mode, ['exec', 'agent', '-c', name, '--', '/usr/bin/node', '-v'])).out, refused);
          assert.match((await kubectl(mode, ['attach', 'agent', '-c', name])).out, refused);
        }
        assert.match((await kubectl(mode, ['cp', '-c', 'chaperone', 'agent:/var/lib/chaperone', '/tmp/never'])).out, refused);
        const debug = [
          'debug',
          'agent',
          `--image=${image()}`,
          '--image-pull-policy=Never',
          '--target=chaperone',
          '-c',
          'spy',
          '--',
          'true',
        ];
        assert.match((await kubectl(mode, debug)).out, /ephemeral container spy: none may be added/);
      });

      it(`4.8 ${mode}: the default container is none of ours`, async () => {
        await stageOf().kubectl([
          '-n',
          stageOf().namespaces[mode],
          'annotate',
          'pod',
          'agent',
          'kubectl.kubernetes.io/default-container=chaperone',
        ]);
        try {
          assert.match((await kubectl(mode, ['exec', 'agent', '--', '/usr/bin/node', '-v'])).out, /guard\.exec\.chaperone\.dev/);
        } finally {
          await stageOf().kubectl([
            '-n',
            stageOf().namespaces[mode],
            'annotate',
            'pod',
            'agent',
            'kubectl.kubernetes.io/default-container-',
          ]);
        }
        assert.equal((await kubectl(mode, ['exec', 'agent', '--', 'true'])).code, 0);
      });
    }

    it('4.8 control: a pod that is not injected is debugged, and read from', async () => {
      const debug = ['debug', 'agent', `--image=${image()}`, '--image-pull-policy=Never', '--target=agent', '-c', 'spy', '--', 'true'];
      assert.equal((await kubectl('free', debug)).code, 0);
      assert.equal((await kubectl('free', ['exec', 'agent', '--', 'cat', '/proc/1/environ'])).code, 0);
    });
  });

  describe('4.9 host access, capabilities, the sidecar’s user', () => {
    const hostPath = (path: string) => ({ volumes: [{ name: 'node', hostPath: { path } }] });
    const FIELDS: readonly (readonly [string, () => Record<string, unknown>, RegExp])[] = [
      ['hostNetwork', () => ({ hostNetwork: true, securityContext: {} }), /spec\.hostNetwork/],
      ['hostPID', () => ({ hostPID: true }), /spec\.hostPID/],
      ['hostIPC', () => ({ hostIPC: true }), /spec\.hostIPC/],
      ['shareProcessNamespace', () => ({ shareProcessNamespace: true }), /spec\.shareProcessNamespace/],
      ['hostPath to the kubelet', () => hostPath('/var/lib/kubelet/pods'), /hostPath/],
      ['hostPath to the runtime', () => hostPath('/run/containerd/containerd.sock'), /hostPath/],
      ['hostPath to everything', () => hostPath('/'), /hostPath/],
      ['privileged', () => container({ privileged: true }), /privileged/],
      ['NET_ADMIN', () => container({ capabilities: { add: ['NET_ADMIN'] } }), /NET_ADMIN/],
      ['NET_RAW', () => container({ capabilities: { add: ['NET_RAW'] } }), /NET_RAW/],
      ['SYS_PTRACE', () => container({ capabilities: { add: ['SYS_PTRACE'] } }), /SYS_PTRACE/],
      ['CAP_SETUID', () => container({ capabilities: { add: ['CAP_SETUID'] } }), /SETUID/],
      ['ALL', () => container({ capabilities: { add: ['ALL'] } }), /ALL/],
      ['procMount', () => ({ hostUsers: false, ...container({ procMount: 'Unmasked' }) }), /procMount/],
      ["the sidecar's UID", () => container({ runAsUser: SIDECAR_UID }), /sidecar's own user/],
      ["the sidecar's GID", () => container({ runAsGroup: SIDECAR_UID }), /sidecar's own group/],
      ["the sidecar's UID for the pod", () => ({ securityContext: { runAsUser: SIDECAR_UID } }), /sidecar's own user/],
      [
        "the sidecar's UID in an init container",
        () => ({ initContainers: [{ ...container({ runAsUser: SIDECAR_UID }).containers[0], name: 'init' }] }),
        /sidecar's own user/,
      ],
      [
        "the sidecar's token",
        () => ({
          volumes: [{ name: 'mine', projected: { sources: [{ serviceAccountToken: { audience: 'chaperone.dev', path: 't' } }] } }],
        }),
        /audience/,
      ],
      ["the sidecar's state", () => container({}, { volumeMounts: [{ name: 'chaperone-state', mountPath: '/s' }] }), /chaperone-state/],
      [
        "the sidecar's identity",
        () => container({}, { volumeMounts: [{ name: 'chaperone-identity', mountPath: '/s' }] }),
        /chaperone-identity/,
      ],
    ];
    const ONLY_OURS = ["the sidecar's state", "the sidecar's identity"];

    for (const [name, spec, message] of FIELDS) {
      it(`4.9 ${name} is refused in both modes, and taken where there is no sidecar`, async () => {
        for (const mode of MODES) {
          const { code, out } = await create(mode, pod(spec()));
          assert.equal(code, 1, `${mode}: taken`);
          assert.match(out, /chaperone\.dev/, mode);
          assert.match(out, message, mode);
        }
        if (!ONLY_OURS.includes(name)) assert.equal((await create('free', pod(spec()))).code, 0);
      });
    }

    it('4.9 transparent: a container whose user is not known is refused', async () => {
      assert.match((await create('transparent', pod(container({ runAsUser: undefined })))).out, /runAsUser: in Transparent mode/);
      assert.equal((await create('free', pod(container({ runAsUser: undefined })))).code, 0);
    });

    it('4.9 what an update could bring: a debugger in a running pod is refused (4.8), and the API server itself lets nothing else be changed', async () => {
      for (const mode of MODES) {
        const { code, out } = await patch(mode, { spec: { hostPID: true, shareProcessNamespace: true } });
        assert.equal(code, 1, out);
      }
    });
  });
}

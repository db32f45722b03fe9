import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guardHandler } from './guard.ts';
import type { AdmissionRequest, JsonObject } from './review.ts';
import { requestFor } from './testing.ts';

const OPERATOR = 'system:serviceaccount:chaperone-system:chaperone-operator';
const asked: (readonly [JsonObject | null, boolean])[] = [];
let pod: JsonObject | null = null;
const guard = guardHandler({
  podProblems: (_, old, { byOperator }) => {
    asked.push([old, byOperator]);
    return ['spec.hostPID: remove it'];
  },
  readPod: async () => pod,
  operatorUser: OPERATOR,
});
const pods = { group: '', version: 'v1', resource: 'pods' };
const injected: JsonObject = { metadata: { labels: { 'chaperone.dev/injected': 'true' } } };
const plain: JsonObject = { metadata: { name: 'web' } };
const ask = (over: Partial<AdmissionRequest>) => guard(requestFor({ resource: pods, name: 'agent', ...over }));

test('a new pod, and an injected one that changes, are asked about', async () => {
  assert.deepEqual(await ask({ object: plain }), { allowed: false, status: 403, message: 'spec.hostPID: remove it' });
  assert.equal((await ask({ operation: 'UPDATE', object: plain, oldObject: plain })).allowed, true);
  assert.equal((await ask({ operation: 'UPDATE', object: plain, oldObject: injected })).allowed, false);
  assert.equal((await ask({ operation: 'UPDATE', object: injected, oldObject: plain })).allowed, false);
  const byUs = { username: OPERATOR, groups: [], extra: {} };
  assert.equal((await ask({ operation: 'UPDATE', object: injected, oldObject: injected, user: byUs })).allowed, false);
  assert.deepEqual(asked, [
    [null, false],
    [injected, false],
    [plain, false],
    [injected, true],
  ]);
});

test('nobody gets into a container of ours', async () => {
  const connect = async (container: string | undefined, subResource = 'exec') => {
    const object = { kind: 'PodExecOptions', command: ['sh'], ...(container === undefined ? {} : { container }) };
    return (await ask({ operation: 'CONNECT', subResource, object })).allowed;
  };
  for (const name of ['chaperone', 'chaperone-rules', 'chaperone-validator']) {
    assert.equal(await connect(name), false);
    assert.equal(await connect(name, 'attach'), false);
  }
  assert.equal(await connect('agent'), true);
  // Without a name: the one that would be chosen.
  pod = { metadata: {}, spec: { containers: [{ name: 'agent' }] } };
  assert.equal(await connect(undefined), true);
  assert.equal(await connect(''), true);
  pod = {
    metadata: { annotations: { 'kubectl.kubernetes.io/default-container': 'chaperone' } },
    spec: { containers: [{ name: 'agent' }] },
  };
  assert.equal(await connect(undefined), false);
  pod = { metadata: {}, spec: { containers: [{ name: 'chaperone' }, { name: 'agent' }] } };
  assert.equal(await connect(undefined), false);
  pod = null;
  assert.equal(await connect(undefined), false, 'a pod that is not there');
});

test('what is not a pod is not judged', async () => {
  assert.equal((await guard(requestFor({ object: plain }))).allowed, false);
  assert.equal((await ask({ object: null })).allowed, false);
  assert.equal((await ask({ operation: 'UPDATE', object: plain })).allowed, false);
});

test("nobody but a kubelet gets a token of the sidecar's audience", async () => {
  const tokens = { resource: { group: '', version: 'v1', resource: 'serviceaccounts' }, subResource: 'token' };
  const mint = (spec: JsonObject, groups: readonly string[] = ['system:masters']) =>
    guard(requestFor({ ...tokens, object: { spec }, user: { username: 'somebody', groups, extra: {} } }));
  const refused = await mint({ audiences: ['vault', 'chaperone.dev'] });
  assert.equal(refused.allowed, false);
  assert.match(refused.message, /a token with the audience chaperone\.dev is for the sidecar alone/);
  assert.equal((await mint({ audiences: 'chaperone.dev' })).allowed, false, 'what is no list');
  assert.equal((await mint({ audiences: ['chaperone.dev'] }, ['system:nodes'])).allowed, true);
  assert.equal((await mint({ audiences: ['vault'] })).allowed, true);
  assert.equal((await mint({})).allowed, true, "the API server's own audience");
  assert.equal((await guard(requestFor({ ...tokens, object: null }))).allowed, false);
  assert.equal((await guard(requestFor({ ...tokens, subResource: '', object: plain }))).allowed, false, 'a ServiceAccount itself');
});

test("of an injected pod's status only the kubelet says what became of the sidecar", async () => {
  const status = (restarts: number, list = 'initContainerStatuses') => ({
    ...injected,
    status: { phase: 'Running', [list]: [{ name: 'chaperone', restartCount: restarts }] },
  });
  const write = async (object: JsonObject, oldObject: JsonObject, groups: readonly string[] = ['system:masters']) => {
    const answer = await ask({
      operation: 'UPDATE',
      subResource: 'status',
      object,
      oldObject,
      user: { username: 'somebody', groups, extra: {} },
    });
    return answer.allowed ? '' : answer.message;
  };
  assert.match(await write(status(1), status(0)), /the kubelet's to write/);
  assert.match(await write(status(0, 'containerStatuses'), injected), /the kubelet's to write/);
  // Asked of the pod's own rules, which here refuse all.
  assert.match(await write(status(1), status(0), ['system:nodes']), /hostPID/);
  assert.match(await write({ ...status(0), metadata: {} }, status(0)), /hostPID/);
});

test("a binding brings none of the injector's annotations", async () => {
  const bind = async (metadata: JsonObject, over: Partial<AdmissionRequest> = {}) =>
    (await ask({ subResource: 'binding', object: { metadata, target: { name: 'node-1' } }, ...over })).allowed;
  assert.equal(await bind({ name: 'agent' }), true);
  assert.equal(await bind({ annotations: { 'example.com/x': '1' } }), true);
  assert.equal(await bind({ annotations: { 'chaperone.dev/ca-bundle': 'x' } }), false);
  assert.equal(await bind({ labels: { 'chaperone.dev/injected': 'true' } }), false);
  const legacy = { resource: { group: '', version: 'v1', resource: 'bindings' }, subResource: '' };
  assert.equal(await bind({ annotations: { 'chaperone.dev/mode': 'Explicit' } }, legacy), false);
});

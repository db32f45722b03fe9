// Asks the API server, without storing anything, for an AccessPolicy that only the webhook refuses. Ends with 0 once it was refused.
import { readFileSync } from 'node:fs';

const [seconds = '60', server = 'https://kubernetes.default.svc', account = '/var/run/secrets/kubernetes.io/serviceaccount'] =
  process.argv.slice(2);
const namespace = readFileSync(`${account}/namespace`, 'utf8').trim();
const url = `${server}/apis/chaperone.dev/v1alpha1/namespaces/${namespace}/accesspolicies?dryRun=All`;

// Its schema is fine; the condition is no CEL, which no schema can tell.
const policy = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'chaperone-check', namespace },
  spec: {
    targetRefs: [{ name: 'nothing' }],
    subjects: [{ group: 'nobody' }],
    rules: [{ name: 'check', action: 'Deny', when: 'this is no condition' }],
  },
};

async function refusal() {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${readFileSync(`${account}/token`, 'utf8').trim()}`, 'content-type': 'application/json' },
    body: JSON.stringify(policy),
  });
  const { message = '' } = await response.json();
  if (response.status < 300) return { done: false, message: 'it was let through: no webhook looked at it' };
  return { done: /admission webhook "[^"]*" denied the request/.test(message), message };
}

async function attempt() {
  try {
    return await refusal();
  } catch (error) {
    return { done: false, message: `${error.message} ${error.cause?.message ?? ''}` };
  }
}

const deadline = Date.now() + Number(seconds) * 1000;
for (;;) {
  const { done, message } = await attempt();
  console.log(done ? `the webhook answers: ${message}` : `not yet: ${message}`);
  if (done || Date.now() > deadline) {
    process.exitCode = done ? 0 : 1;
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}

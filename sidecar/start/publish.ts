import type { PublishablePolicyStore, PublishResult } from '../policy/store.ts';
import type { ReplaceableCredentialStore, Secrets } from '../upstream/credentials/store.ts';

export interface PublisherOptions {
  readonly policy: PublishablePolicyStore;
  readonly credentials: ReplaceableCredentialStore;
  readonly onResult: (result: PublishResult) => void;
  /** Opens and closes listeners for the snapshot that is now in force. */
  readonly reconcile: () => Promise<void>;
}

export interface Publisher {
  /** One after the other: a snapshot's Secrets come with it, and go back with it where it is refused. */
  publish(snapshot: unknown, secrets: Secrets): Promise<PublishResult>;
  /** With the Secrets in force. */
  publishSnapshot(snapshot: unknown): Promise<PublishResult>;
  /** At once, and whatever snapshot is in force. */
  replaceSecrets(secrets: Secrets): void;
}

export function createPublisher(options: PublisherOptions): Publisher {
  const { policy, credentials, onResult, reconcile } = options;
  let last: Promise<unknown> = Promise.resolve();
  let secretsInForce: Secrets = new Map();
  const judged = (snapshot: unknown): PublishResult => {
    const result = policy.publish(snapshot);
    onResult(result);
    return result;
  };
  const publish = async (snapshot: unknown, secrets: Secrets): Promise<PublishResult> => {
    credentials.replace(secrets);
    const result = judged(snapshot);
    if (!result.ok) {
      credentials.replace(secretsInForce);
      return result;
    }
    secretsInForce = secrets;
    await reconcile();
    return result;
  };
  const publishSnapshot = async (snapshot: unknown): Promise<PublishResult> => {
    const result = judged(snapshot);
    if (result.ok) await reconcile();
    return result;
  };
  const queued = (work: () => Promise<PublishResult>): Promise<PublishResult> => {
    const next = last.then(work);
    last = next.catch(() => {});
    return next;
  };
  return {
    publish: (snapshot, secrets) => queued(() => publish(snapshot, secrets)),
    publishSnapshot: (snapshot) => queued(() => publishSnapshot(snapshot)),
    replaceSecrets(secrets) {
      secretsInForce = secrets;
      credentials.replace(secrets);
    },
  };
}

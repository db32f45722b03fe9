import type { PublishablePolicyStore, PublishResult } from '../policy/store.ts';
import type { ReplaceableCredentialStore, Secrets } from '../upstream/credentials/store.ts';

export interface PublisherOptions {
  readonly policy: PublishablePolicyStore;
  readonly credentials: ReplaceableCredentialStore;
  readonly onResult: (result: PublishResult) => void;
  /** Opens and closes listeners for the snapshot that is now in force. */
  readonly reconcile: () => Promise<void>;
}

/** One after the other: a snapshot's Secrets come with it, and go back with it where it is refused. */
export function createPublisher(options: PublisherOptions): (snapshot: unknown, secrets: Secrets) => Promise<PublishResult> {
  const { policy, credentials, onResult, reconcile } = options;
  let last: Promise<unknown> = Promise.resolve();
  let secretsInForce: Secrets = new Map();
  const publish = async (snapshot: unknown, secrets: Secrets): Promise<PublishResult> => {
    credentials.replace(secrets);
    const result = policy.publish(snapshot);
    onResult(result);
    if (!result.ok) {
      credentials.replace(secretsInForce);
      return result;
    }
    secretsInForce = secrets;
    await reconcile();
    return result;
  };
  return (snapshot, secrets) => {
    const next = last.then(() => publish(snapshot, secrets));
    last = next.catch(() => {});
    return next;
  };
}

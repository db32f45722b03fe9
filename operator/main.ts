/** The entry of the operator's image. */
import { ConfigError, readConfig } from './config.ts';
import { connect } from './kube/client.ts';
import { isKubeError } from './kube/error.ts';

try {
  const config = readConfig(process.argv.slice(2), process.env);
  const kube = connect(config.kubeconfig);
  const { gitVersion } = (await kube.raw({ method: 'GET', path: '/version' })) as { readonly gitVersion: string };
  process.stdout.write(`Kubernetes ${gitVersion} at ${kube.server}\n`);
  kube.close();
} catch (error: unknown) {
  process.stderr.write(`chaperone-operator: ${error instanceof Error ? error.message : 'could not start'}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : isKubeError(error, 'Unavailable') ? 3 : 1;
}

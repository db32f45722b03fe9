/** Matches of protocols that are named in the API and not yet enforced. */
import { list, object, optional, text } from './schema.ts';

const words = (description: string) => optional(list(text('One value.', { maxLength: 256 }), description, { minItems: 1, maxItems: 64 }));

export const kubernetes = object(
  {
    verbs: words('API verbs.'),
    groups: words('API groups.'),
    resources: words('Resources.'),
    namespaces: words('Namespaces.'),
  },
  'Kubernetes API requests. Not yet enforced, and so refused.',
);

export const ssh = object(
  { commands: words('Programs that may be run.'), subsystems: words('Subsystems, such as sftp.') },
  'SSH commands. Not yet enforced, and so refused.',
);

/** Which HTTP requests a rule is about. */
import { form, list, object, optional, setOf, text } from './schema.ts';

export const http = object(
  {
    methods: optional(
      setOf(
        text('One method, in upper case.', { maxLength: 32, rules: [form('[A-Z][-A-Z]*', 'must be a method in upper case: GET')] }),
        'Request methods.',
        {
          minItems: 1,
          maxItems: 16,
        },
      ),
    ),
    hosts: optional(
      list(
        text('One host glob, in lower case and without a port.', {
          maxLength: 253,
          rules: [form('[-a-z0-9_.*:]+', 'must be a host in lower case, without scheme, port or path: *.internal')],
        }),
        'Hosts. `*` stands for any characters of one label, `**` for any number of labels: `*.internal`.',
        { minItems: 1, maxItems: 32 },
      ),
    ),
    paths: optional(
      list(
        text('One path glob, without the query.', {
          maxLength: 512,
          rules: [
            form('/[^\\s?#\\\\]*', 'must begin with / and hold neither a query nor spaces: /v1/invoices/**'),
            // A glob that can't match any normalised path is a Deny that never denies.
            {
              rule: "!self.matches(r'/[.]{0,2}/|/[.]{1,2}$')",
              message: 'must not hold an empty segment, . or ..: a path is normalised before it is matched',
            },
          ],
        }),
        'Paths, after normalisation. `*` stands for any characters of one segment, `**` for any number of segments: `/v1/invoices/**`.',
        { minItems: 1, maxItems: 64 },
      ),
    ),
  },
  'HTTP requests. Every member that is present must match.',
  {
    rules: [
      {
        rule: 'has(self.methods) || has(self.hosts) || has(self.paths)',
        message: 'http is empty: set a member, or leave http out to match every request',
      },
    ],
  },
);

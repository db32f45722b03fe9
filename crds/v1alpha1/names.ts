/** Names of objects and references to them. */
import { choice, listByKey, object, text } from './schema.ts';

/** RFC 1123: what Kubernetes takes as the name of an object. */
export const DNS_SUBDOMAIN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
export const DNS_LABEL = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';

/**
 * RE2 of one part of a dotted glob over SQL names. `*` is its only special character: what other glob languages treat as special is refused,
 * and so are dots, quotes and spaces, because a part is compared with the name itself. `*` reaches a name that holds one of those.
 */
export const SQL_GLOB_PART = '[-\\pL\\pN_$#@*]+';

export function objectName(description: string) {
  return text(description, { maxLength: 253, pattern: DNS_SUBDOMAIN });
}

function secretKeyName(description: string, fallback?: string) {
  return text(description, { maxLength: 253, pattern: '^[-._a-zA-Z0-9]+$', ...(fallback === undefined ? {} : { default: fallback }) });
}

/** One value of a Secret in the object's own namespace. */
export function secretKeyRef(description: string, fallbackKey?: string) {
  return object(
    {
      name: objectName("The Secret's name, in the namespace of this object."),
      key: secretKeyName(
        fallbackKey === undefined ? "The key in the Secret's data." : `The key in the Secret's data; \`${fallbackKey}\` where absent.`,
        fallbackKey,
      ),
    },
    description,
  );
}

/** A Secret with a user name and a password. */
export function basicAuthRef(description: string) {
  return object(
    {
      name: objectName("The Secret's name, in the namespace of this object."),
      usernameKey: secretKeyName("The key of the user name in the Secret's data.", 'username'),
      passwordKey: secretKeyName("The key of the password in the Secret's data.", 'password'),
    },
    description,
  );
}

const targetRef = object(
  {
    kind: choice(['ProtectedResource'], 'The kind of the target.', { default: 'ProtectedResource' }),
    name: objectName("The target's name, in the namespace of this object."),
  },
  'One target.',
);

/** References never cross namespaces: the target's namespace owns who may reach it. */
export function targetRefs(what: string) {
  return listByKey(
    ['kind', 'name'],
    targetRef,
    `The ProtectedResources that this ${what} applies to, in its own namespace: the namespace of a target owns who may reach it. A name that does not exist is reported in the status and protects nothing.`,
    { minItems: 1, maxItems: 16 },
  );
}

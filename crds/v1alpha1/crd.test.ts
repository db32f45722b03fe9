import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { customResourceDefinition, internalResourceDefinition } from './crd.ts';
import { INTERNAL_KINDS } from './internal-kinds.ts';
import { KINDS } from './kinds.ts';
import { asNode, isNotYetEnforced, type Node, notYetEnforcedValues, notYetMember, notYetValue, rulesOf } from './node.ts';
import { brokenRules } from './rules.ts';
import { walk } from './walk.ts';

/** Every node of every kind, with its path. */
function nodes(): readonly (readonly [path: string, node: Node])[] {
  return [...Object.values(KINDS), ...Object.values(INTERNAL_KINDS)].flatMap(({ kind, spec, status }) => [
    ...below(`${kind}.spec`, asNode(spec)),
    ...(status === undefined ? [] : below(`${kind}.status`, asNode(status))),
  ]);
}

function below(path: string, node: Node): readonly (readonly [string, Node])[] {
  const members = Object.entries(node.properties ?? {}).flatMap(([name, member]) => below(`${path}.${name}`, member));
  return [[path, node], ...members, ...(node.items === undefined ? [] : below(`${path}[]`, node.items))];
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((holder, key) => (holder as { [key: string]: unknown })[key], value);
}

describe('every member of the API', () => {
  for (const [path, node] of nodes()) {
    it(path, () => {
      assert.match(node.description, /^[A-Z`].*[.]$/s, 'has a description that is a sentence');
      assert.ok(['object', 'array', 'string', 'integer', 'boolean'].includes(node.type), 'is not a float');
      if (node.type === 'array') assert.ok(node.maxItems !== undefined && node['x-kubernetes-list-type'] !== undefined, 'is bounded');
      if (node.type === 'string') assert.ok(node.maxLength !== undefined || node.enum !== undefined, 'is bounded');
      if (node.type === 'integer') assert.ok(node.minimum !== undefined && node.maximum !== undefined, 'is bounded');
      for (const key of node['x-kubernetes-list-map-keys'] ?? []) {
        const member = node.items?.properties?.[key];
        assert.ok(member !== undefined && (member.default !== undefined || node.items?.required?.includes(key)), `key ${key} is there`);
      }
      if (node.default !== undefined) {
        const problems: unknown[] = [];
        walk(node, node.default, path, problems as never);
        assert.deepEqual(problems, [], 'has a valid default');
        // The API server runs the rules of a default before it fills that in.
        assert.deepEqual(brokenRules(node, node.default, path), [], 'has a default that its rules take as it is');
      }
    });
  }
});

describe('what is not yet enforced', () => {
  const values = nodes().flatMap(([path, node]) => notYetEnforcedValues(node).map((value) => [path, node, value] as const));
  const members = nodes().flatMap(([path, node]) =>
    Object.entries(node.properties ?? {})
      .filter(([, member]) => isNotYetEnforced(member))
      .map(([name]) => [path, node, name] as const),
  );
  it('is there', () => assert.ok(values.length > 5 && members.length > 4));
  for (const [path, node, value] of values) {
    it(`${path}: ${value} is refused by a CEL rule with our message, and the description says so`, () => {
      const rules = rulesOf(node);
      assert.ok(rules.some(({ message }) => message === notYetValue(value)));
      assert.deepEqual(
        brokenRules({ ...node, 'x-kubernetes-validations': rules }, value, path).map(({ message }) => message),
        [notYetValue(value)],
      );
      assert.match(node.description, new RegExp(`[Nn]ot yet enforced.*\`${value}\``, 's'));
      assert.notEqual(node.default, value);
    });
  }
  for (const [path, node, name] of members) {
    it(`${path}.${name} is refused by a CEL rule with our message, and the description says so`, () => {
      const rule = rulesOf(node).find(({ message }) => message === notYetMember(name));
      assert.equal(rule?.rule, `!has(self.${name})`);
      assert.match(node.properties?.[name]?.description ?? '', /Not yet enforced, and so refused/);
    });
  }
});

describe('a CRD', () => {
  for (const { kind, plural, shortName } of Object.values(KINDS)) {
    it(`of ${kind}: names, category, status subresource, printer columns`, () => {
      const crd = customResourceDefinition(kind);
      assert.equal(at(crd, 'metadata', 'name'), `${plural}.chaperone.dev`);
      assert.deepEqual(at(crd, 'spec', 'names', 'shortNames'), [shortName]);
      assert.deepEqual(at(crd, 'spec', 'names', 'categories'), ['chaperone']);
      assert.deepEqual(at(crd, 'spec', 'versions', '0', 'subresources'), { status: {} });
      const columns = at(crd, 'spec', 'versions', '0', 'additionalPrinterColumns') as readonly { readonly name: string }[];
      assert.equal(columns[0]?.name, 'Ready');
      assert.equal(columns.at(-1)?.name, 'Age');
      assert.doesNotMatch(JSON.stringify(crd), /x-chaperone|"~/, 'holds none of our own keywords');
    });
  }

  for (const { kind, plural, shortName, status } of Object.values(INTERNAL_KINDS)) {
    it(`of ${kind}, which only we write`, () => {
      const crd = internalResourceDefinition(kind);
      assert.equal(at(crd, 'metadata', 'name'), `${plural}.chaperone.dev`);
      assert.deepEqual(at(crd, 'spec', 'names', 'shortNames'), [shortName]);
      assert.equal(at(crd, 'spec', 'versions', '0', 'subresources') !== undefined, status !== undefined);
      const columns = at(crd, 'spec', 'versions', '0', 'additionalPrinterColumns') as readonly { readonly name: string }[];
      assert.equal(columns.at(-1)?.name, 'Age');
      assert.ok(!Object.hasOwn(KINDS, kind), 'a manifest of it is refused');
    });
  }

  it('has a short name that Kubernetes does not have', () => {
    const taken =
      'cm cs ep ev limits no ns po pv pvc rc quota sa svc crd crds ds deploy rs sts hpa cj csr ing netpol pdb pc sc ip vap vapb';
    const names = [...Object.values(KINDS), ...Object.values(INTERNAL_KINDS)].map(({ shortName }) => shortName);
    assert.equal(new Set([...names, ...taken.split(' ')]).size, names.length + taken.split(' ').length);
  });
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';

interface Schema {
  readonly type?: string;
  readonly additionalProperties?: unknown;
  readonly properties?: { readonly [name: string]: Schema };
}

type Values = { [name: string]: unknown };

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');

for (const chart of ['chaperone', 'chaperone-crds']) {
  describe(`the schema of ${chart}`, () => {
    const schema = JSON.parse(read(`${chart}/values.schema.json`)) as Schema;
    const values = parse(read(`${chart}/values.yaml`)) as Values;
    const validate = new Ajv2020({ strict: true, strictTypes: false }).compile(schema);

    it('takes the defaults', () => assert.ok(validate(values), JSON.stringify(validate.errors)));

    it('has each value that there is, and no other', () => {
      const listed = pathsOf(schema).filter((path) => path !== 'global');
      const missing = listed.filter((path) => valueAt(values, path) === undefined);
      assert.deepEqual(missing, [], 'in the schema and not in values.yaml');
      assert.deepEqual(strayMembers(schema, values), [], 'in values.yaml and not in the schema');
    });

    it('refuses a value that it does not know', () => assert.equal(validate({ ...values, nonsense: 1 }), false));
  });
}

/** Optional members of what users write themselves (resources, an issuer) have no default. */
const FREE = new Set(['operator.resources', 'certManager.issuerRef']);

function pathsOf(schema: Schema, prefix = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const path = `${prefix}${name}`;
    return member.properties === undefined || FREE.has(path) ? [path] : pathsOf(member, `${path}.`);
  });
}

function strayMembers(schema: Schema, values: Values, prefix = ''): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const member = schema.properties?.[name];
    if (member === undefined) return schema.properties === undefined ? [] : [`${prefix}${name}`];
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? strayMembers(member, value as Values, `${prefix}${name}.`)
      : [];
  });
}

function valueAt(values: Values, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => (at as Values | undefined)?.[name], values);
}

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WireError, type WireErrorCode } from '../errors.ts';
import { PROTOCOL_3_0 } from './startup.ts';
import { tokeniseOptions } from './startup_options.ts';
import { readStartupParameters } from './startup_parameters.ts';

const read = (parameters: readonly (readonly [string, string])[]) =>
  readStartupParameters({ type: 'StartupMessage', version: PROTOCOL_3_0, parameters });

describe('options', () => {
  const taken: [string, [string, string][]][] = [
    ['', []],
    ['   ', []],
    ['-c a=b', [['a', 'b']]],
    ['-ca=b', [['a', 'b']]],
    ['--a=b', [['a', 'b']]],
    [
      '  -c\ta=b\n--c=d ',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['-c a=', [['a', '']]],
    ['-c a=b=c', [['a', 'b=c']]],
    ['--statement-timeout=5', [['statement_timeout', '5']]],
    ['-c a=b\\ c', [['a', 'b c']]],
    ['-c a=b\\\\c', [['a', 'b\\c']]],
    ['-c a=b\\', [['a', 'b']]],
    ['-c a=\\-c', [['a', '-c']]],
    ['-c a=x\u00a0y', [['a', 'x\u00a0y']]],
  ];
  for (const [options, settings] of taken)
    test(`takes ${JSON.stringify(options)}`, () => assert.deepEqual(tokeniseOptions(options), settings));

  const refused: [string, WireErrorCode][] = [
    ['-c', 'bad_value'],
    ['-c =', 'bad_value'],
    ['-c=', 'bad_value'],
    ['-c =b', 'bad_value'],
    ['-c a', 'bad_value'],
    ['--a', 'bad_value'],
    ['--', 'bad_value'],
    ['--=b', 'bad_value'],
    ['-d 5', 'parameter_not_allowed'],
    ['-f', 'parameter_not_allowed'],
    ['a=b', 'parameter_not_allowed'],
    ['-c a=b c=d', 'parameter_not_allowed'],
    ['-', 'parameter_not_allowed'],
    ['\\', 'parameter_not_allowed'],
  ];
  for (const [options, code] of refused)
    test(`refuses ${JSON.stringify(options)}`, () => assert.throws(() => tokeniseOptions(options), { code }));

  test('any text: settings or a WireError', () => {
    const unit = fc.constantFrom('-', 'c', '=', ' ', '\\', 'a', '\t', '"', "'");
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (options) => {
        try {
          for (const [name] of tokeniseOptions(options)) assert.notEqual(name, '');
        } catch (error) {
          assert.ok(error instanceof WireError);
        }
      }),
    );
  });
});

describe('startup parameters', () => {
  test('gives what was asked for, in PostgreSQL’s names', () => {
    const request = read([
      ['user', 'app'],
      ['database', 'shop'],
      ['application_name', 'psql'],
      ['client_encoding', 'utf-8'],
      ['datestyle', 'ISO'],
      ['TIMEZONE', 'UTC'],
      ['replication', 'false'],
      ['options', '-c statement_timeout=5s --lock-timeout=1s'],
      ['_pq_.command_tag_format', '1'],
    ]);
    assert.deepEqual(
      { ...request, parameters: [...request.parameters] },
      {
        user: 'app',
        database: 'shop',
        applicationName: 'psql',
        parameters: [
          ['application_name', 'psql'],
          ['client_encoding', 'utf-8'],
          ['DateStyle', 'ISO'],
          ['TimeZone', 'UTC'],
          ['statement_timeout', '5s'],
          ['lock_timeout', '1s'],
        ],
        unknownOptions: ['_pq_.command_tag_format'],
      },
    );
  });

  test('the database is the user’s name where none is given', () => assert.equal(read([['user', 'app']]).database, 'app'));

  const refused: { name: string; parameters: [string, string][]; code: WireErrorCode }[] = [
    { name: 'no user', parameters: [['database', 'shop']], code: 'bad_value' },
    { name: 'an empty user', parameters: [['user', '']], code: 'bad_value' },
    {
      name: 'role',
      parameters: [
        ['user', 'a'],
        ['role', 'postgres'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'session_preload_libraries',
      parameters: [
        ['user', 'a'],
        ['session_preload_libraries', 'x'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'role in options',
      parameters: [
        ['user', 'a'],
        ['options', '-c role=postgres'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'role in options, escaped',
      parameters: [
        ['user', 'a'],
        ['options', '-c r\\ole=postgres'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'session_authorization in dashes',
      parameters: [
        ['user', 'a'],
        ['options', '--session-authorization=postgres'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'standard_conforming_strings',
      parameters: [
        ['user', 'a'],
        ['standard_conforming_strings', 'off'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'another encoding',
      parameters: [
        ['user', 'a'],
        ['client_encoding', 'SJIS'],
      ],
      code: 'bad_value',
    },
    {
      name: 'another encoding in options',
      parameters: [
        ['user', 'a'],
        ['options', '-c client_encoding=LATIN1'],
      ],
      code: 'bad_value',
    },
    {
      name: 'replication',
      parameters: [
        ['user', 'a'],
        ['replication', 'database'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'replication by its number',
      parameters: [
        ['user', 'a'],
        ['replication', '1'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'replication with no value',
      parameters: [
        ['user', 'a'],
        ['replication', ''],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'a duplicate in another case',
      parameters: [
        ['user', 'a'],
        ['timezone', 'UTC'],
        ['TimeZone', 'UTC'],
      ],
      code: 'duplicate_parameter',
    },
    {
      name: 'a duplicate in options',
      parameters: [
        ['user', 'a'],
        ['search_path', 'a'],
        ['options', '-c search_path=b'],
      ],
      code: 'duplicate_parameter',
    },
    {
      name: 'user in another case',
      parameters: [
        ['user', 'a'],
        ['USER', 'b'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'user in options',
      parameters: [
        ['user', 'a'],
        ['options', '-c user=b'],
      ],
      code: 'parameter_not_allowed',
    },
    {
      name: 'a NUL in a value',
      parameters: [
        ['user', 'a'],
        ['application_name', 'x\0user\0app'],
      ],
      code: 'embedded_nul',
    },
    { name: 'a NUL in the user', parameters: [['user', 'a\0b']], code: 'embedded_nul' },
    {
      name: 'a value that is too long',
      parameters: [
        ['user', 'a'],
        ['application_name', 'x'.repeat(1025)],
      ],
      code: 'too_long',
    },
  ];
  for (const { name, parameters, code } of refused) {
    test(`refuses ${name}, without repeating it`, () => {
      assert.throws(
        () => read(parameters),
        (error) =>
          error instanceof WireError &&
          error.code === code &&
          parameters.every(([, value]) => value.length < 3 || !error.message.includes(value)),
      );
    });
  }
});

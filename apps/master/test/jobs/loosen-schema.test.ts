import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { defineTask } from '@sc/shared/define-task.ts'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { compileSchema } from '../../src/jobs/json-schema.ts'
import { loosen } from '../../src/jobs/loosen-schema.ts'

/** What is said of a value of the field `x`; empty: it is taken. */
function faults(inputSchema: Record<string, unknown>, input: unknown): string[] {
  return compileSchema(JSON.stringify(loosen(inputSchema)), true)(input).named
}

/** Each field with values that pydantic takes, and one that it does not and the master refuses, too. */
const FIELDS: Array<[name: string, type: string, taken: unknown[], refused: unknown]> = [
  ['at', 'datetime', ['2026-11-28T10:00:00.123456', '2026-11-28 10:00', 1764324000, '1764324000', 1764324000.5], null],
  ['day', 'date', ['2026-11-28', 1764288000, '2026-11-28T00:00:00'], []],
  ['clock', 'time', ['10:00', '10:00:05.5', 36000], {}],
  ['lasts', 'timedelta', ['00:00:05', 'PT5S', '1 day, 00:00:05', 5, 5.5], null],
  ['id', 'UUID', ['{12345678-1234-5678-1234-567812345678}', '12345678123456781234567812345678'], []],
  ['ip', 'IPv4Address', ['127.0.0.1', 2130706433], []],
  ['count', 'int', ['12', 12.0, ' 7 ', true], 'twelve'],
  ['share', 'float', ['1e3', 'nan', 'Infinity', 2, false], 'much'],
  ['wanted', 'bool', ['yes', 'off', 0, 1.0, 'TRUE'], 'perhaps'],
  ['price', 'Decimal', ['1.10', 1.1, 3], []],
  ['level', 'Level', [1, '2'], [1]],
  ['names', 'set[str]', [['a', 'a', 'b']], 'a'],
  ['short', 'Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)]', ['  abc  '], 3],
  ['step', 'Annotated[float, Field(multiple_of=0.1)]', [0.3, '0.3'], null],
  ['either', 'Annotated[A | B, Field(discriminator="kind")]', [{ kind: 'a', n: '1' }, { kind: 'b' }], 'a'],
  [
    'tags',
    'Annotated[list[str], BeforeValidator(lambda v: v.split(",") if isinstance(v, str) else v)]',
    ['a,b', ['a']],
    undefined
  ],
  ['text', 'str', ['a'], 3]
]
const PYTHON = `
import json, sys
from datetime import *
from decimal import Decimal
from enum import IntEnum
from ipaddress import IPv4Address
from typing import *
from uuid import UUID
sys.path.insert(0, "python-gpu")
from pydantic import *
from sc_gpu.tasks.input_schema import input_schema_of

class Level(IntEnum):
    low = 1
    high = 2
class A(BaseModel):
    kind: Literal["a"]
    n: int
class B(BaseModel):
    kind: Literal["b"]

fields = json.load(sys.stdin)
answers = {}
for name, type_, taken in fields:
    model = create_model(name, x=(eval(type_), ...))
    for value in taken:
        model.model_validate({"x": value})
    answers[name] = input_schema_of(model)
class Names(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    inner: int = Field(alias="outer")
Names.model_validate({"inner": 3})
class Changed(BaseModel):
    n: int
    @model_validator(mode="before")
    @classmethod
    def change(cls, value):
        return {"n": 1} if "m" in value else value
Changed.model_validate({"m": 3})
answers["Names"], answers["Changed"] = input_schema_of(Names), input_schema_of(Changed)
print(json.dumps(answers))
`

describe('the input of a Python task', () => {
  const python = join(REPO_DIR, '.venv', 'bin', 'python')
  const fields = JSON.stringify(FIELDS.map(([name, type, taken]) => [name, type, taken]))
  const schemas = JSON.parse(execFileSync(python, ['-c', PYTHON], { cwd: REPO_DIR, input: fields }).toString())

  it.each(FIELDS)('is taken as pydantic takes it: %s: %s', (name, _, taken, refused) => {
    for (const x of taken) expect(faults(schemas[name], { x }), JSON.stringify(x)).toEqual([])
    if (refused !== undefined) expect(faults(schemas[name], { x: refused })).not.toEqual([])
    // A list of such is looked at in the same way.
    expect(faults(schemas[name], {}).join()).toBe(name === 'tags' ? '' : 'x: is missing')
  })

  it('may have its fields under other names, and be changed before it is looked at', () => {
    expect(faults(schemas.Names, { inner: 3 })).toEqual([])
    expect(faults(schemas.Changed, { m: 3 })).toEqual([])
  })

  it('is refused in words', () => {
    expect(faults(schemas.count, { x: 'twelve' })).toEqual(['x: must be an integer'])
    expect(faults(schemas.wanted, { x: 'perhaps' })).toEqual(['x: must be true or false'])
  })
})

describe('the input of a TypeScript task', () => {
  const schemaOf = (x: z.ZodType) => {
    const input = z.object({ x })
    const output = z.object({})
    return { input, schema: defineTask({ name: 'a', input, output, run: () => ({}) }).inputSchema }
  }
  it.each<[string, z.ZodType, unknown[]]>([
    ['z.coerce.number', z.coerce.number(), ['12', true, null]],
    ['z.coerce.boolean', z.coerce.boolean(), ['', 0, undefined]],
    ['z.coerce.string, optional', z.coerce.string().optional(), [3, undefined]],
    ['z.catch', z.string().catch('none'), [3, undefined]],
    ['z.catch, optional', z.object({ a: z.number() }).catch({ a: 1 }).optional(), [{ a: 'x' }, undefined]],
    [
      'z.preprocess',
      z.preprocess(value => (typeof value === 'string' ? value.split(',') : value), z.array(z.string())),
      ['a,b', ['a']]
    ],
    ['trim', z.string().trim().max(3), ['  abc  ']],
    [
      'z.iso.datetime, local',
      z.iso.datetime({ local: true, offset: true }),
      ['2026-11-28T10:00:00', '2026-11-28T10:00:00+01:00']
    ],
    ['z.iso.time', z.iso.time(), ['10:00', '10:00:05']],
    ['z.iso.duration', z.iso.duration(), ['PT5S', 'P1W']],
    ['z.stringbool', z.stringbool(), ['yes']],
    ['multipleOf', z.number().multipleOf(0.1), [0.3]]
  ])('is taken as zod takes it: %s', (_, type, taken) => {
    const { input, schema } = schemaOf(type)
    for (const x of taken) {
      expect(input.safeParse({ x }).success).toBe(true)
      expect(faults(schema, x === undefined ? {} : { x }), JSON.stringify(x)).toEqual([])
    }
  })

  it('is refused where its task would refuse it', () => {
    expect(faults(schemaOf(z.number()).schema, { x: '12' })).toEqual(['x: must be number'])
    expect(faults(schemaOf(z.string()).schema, {})).toEqual(['x: is missing'])
  })
})

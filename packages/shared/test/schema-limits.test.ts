import { expect, test } from 'vitest'
import { z } from 'zod'
import { MOST_JSON_DEPTH } from '../src/json-depth.ts'
import { excessOfSchema } from '../src/schema-limits.ts'

type Schema = Record<string, unknown>

/** Definitions, each of which holds the next as `hold` says; the last holds nothing. */
function ladder(levels: number, hold: (next: Schema) => Schema, last: Schema = { type: 'object' }): Schema {
  const named = Array.from({ length: levels }, (_, at) => [`d${at}`, hold({ $ref: `#/$defs/d${at + 1}` })] as const)
  return { $ref: '#/$defs/d0', $defs: Object.fromEntries([...named, [`d${levels}`, last]]) }
}

function nested(levels: number): Schema {
  let schema: Schema = {}
  for (let level = 1; level < levels; level++) schema = { not: schema }
  return schema
}

test('schemas as zod and pydantic write them may be used', () => {
  const Tree = z.object({
    name: z.string(),
    get children() {
      return z.array(Tree)
    }
  })
  const shapes = [
    z.object({ at: z.iso.datetime(), to: z.email(), tree: Tree, more: z.record(z.string(), Tree).optional() }),
    z.discriminatedUnion('kind', [z.object({ kind: z.literal('a') }), z.object({ kind: z.literal('b'), tree: Tree })]),
    z.array(z.union([z.string(), z.number()])),
    Tree
  ]
  for (const shape of shapes) expect(excessOfSchema(z.toJSONSchema(shape))).toBeNull()
  const pydantic = {
    $defs: {
      Node: {
        type: 'object',
        properties: { left: { anyOf: [{ $ref: '#/$defs/Node' }, { type: 'null' }], default: null } }
      }
    },
    $ref: '#/$defs/Node'
  }
  expect(excessOfSchema(pydantic)).toBeNull()
  expect(excessOfSchema({ properties: { $ref: { type: 'string' }, $id: { type: 'string' } } })).toBeNull()
  // Fails where it is compiled, which says more.
  expect(excessOfSchema({ $ref: 'https://example.org/elsewhere' })).toBeNull()
  expect(excessOfSchema({ $ref: '#/$defs/none' })).toBeNull()
})

test('references are counted as often as they are followed, without following them', () => {
  const twice: Array<(next: Schema) => Schema> = [
    next => ({ allOf: [next, next] }),
    next => ({ anyOf: [next, { not: next }] }),
    next => ({ properties: { a: next, b: next } }),
    next => ({ items: next, contains: next }),
    next => ({ allOf: [{ properties: { a: next } }, { patternProperties: { a: next } }] }),
    next => ({ dependentSchemas: { a: next, b: next } }),
    next => ({ prefixItems: [next, next], unevaluatedItems: next })
  ]
  for (const hold of twice) {
    expect(excessOfSchema(ladder(45, hold)), hold.toString()).toMatch(/more than 100000 parts once its references/)
    expect(excessOfSchema(ladder(8, hold)), hold.toString()).toBeNull()
  }
  expect(excessOfSchema(ladder(600, next => ({ properties: { a: next } })))).toBeNull()
})

test('a schema that comes back to itself without going into the input is refused', () => {
  const loops: Schema[] = [
    { $ref: '#' },
    { $ref: '' },
    { allOf: [{ $ref: '#' }] },
    { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { not: { $ref: '#/$defs/a' } } } },
    { properties: { deep: { $ref: '#/$defs/a' } }, $defs: { a: { if: { $ref: '#/%24defs/a' } } } },
    { properties: { 'a/b': { $ref: '#/properties/a~1b' } } },
    { $ref: '#name', $defs: { a: { $anchor: 'name', oneOf: [{ $ref: '#name' }] } } },
    { dependentSchemas: { a: { $ref: '#' } } }
  ]
  for (const schema of loops) expect(excessOfSchema(schema), JSON.stringify(schema)).toMatch(/itself|refers to /)
})

test('references that could lead elsewhere than they seem to are refused', () => {
  for (const [schema, reason] of [
    [{ $dynamicRef: '#a', $defs: { a: { $dynamicAnchor: 'a' } } }, /\$dynamicRef/],
    [{ $recursiveRef: '#' }, /\$recursiveRef/],
    [{ properties: { a: { $id: 'a', $ref: '#' } } }, /\$id inside/],
    [{ $id: 'https://example.org/a', $ref: 'https://example.org/a' }, /refers to https/],
    [{ $ref: 'a' }, /refers to a;/],
    [{ $defs: { a: { $anchor: 'x' }, b: { $anchor: 'x' } } }, /\$anchor twice/]
  ] as Array<[Schema, RegExp]>)
    expect(excessOfSchema(schema), JSON.stringify(schema)).toMatch(reason)
})

test('depth and parts have a limit', () => {
  expect(excessOfSchema(nested(MOST_JSON_DEPTH))).toBeNull()
  expect(excessOfSchema(nested(MOST_JSON_DEPTH + 1))).toMatch(/more than 100 levels/)
  expect(excessOfSchema(nested(150_000))).toMatch(/more than 100 levels/)
  expect(excessOfSchema({ anyOf: Array.from({ length: 1_998 }, () => ({})) })).toBeNull()
  expect(excessOfSchema({ anyOf: Array.from({ length: 1_999 }, () => ({})) })).toMatch(/more than 2000 parts/)
  expect(excessOfSchema({ enum: Array.from({ length: 10_000 }, (_, at) => at) })).toBeNull()
})

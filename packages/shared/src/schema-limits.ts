import { MOST_JSON_DEPTH } from './json-depth.ts'

/**
 * What a JSON Schema from elsewhere may cost. A few kilobytes are enough to name an exponential amount of work: 45
 * definitions, each of which refers twice to the next. So the size that a schema has with its references followed is
 * counted, each definition once, and never written out.
 */
type Schema = Record<string, unknown>

/** An object of the schema that is applied where another one is. */
interface Edge {
  to: Schema
  /** Applied to the same part of the input; false: to a part of that part, which ends with the input. */
  inPlace: boolean
}

/** Objects and lists: 64 KB could have 20,000, for which ajv writes megabytes of code. These take it 0.1 s, and this 2 ms. */
const MOST_PARTS = 2_000
const MOST_EXPANDED_PARTS = 100_000

/** Keywords whose value is a schema or a list of some. */
const IN_PLACE = new Set(['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else'])
const INSIDE = new Set([
  ...['items', 'prefixItems', 'additionalItems', 'unevaluatedItems', 'contains'],
  ...['additionalProperties', 'unevaluatedProperties', 'propertyNames']
])
/** Keywords whose value has schemas by name. */
const IN_PLACE_BY_NAME = new Set(['dependentSchemas', 'dependencies'])
const INSIDE_BY_NAME = new Set(['properties', 'patternProperties'])
const DYNAMIC = ['$dynamicRef', '$dynamicAnchor', '$recursiveRef']

/** Why a schema is refused, as the end of "a schema that …"; null: it may be used. In time linear in its size. */
export function excessOfSchema(root: Schema): string | null {
  const parts = partsOf(root)
  if (typeof parts === 'string') return parts
  const schemas = parts.filter(part => !Array.isArray(part)) as Schema[]
  const odd = schemas.map(schema => oddReference(schema, root)).find(found => found !== null)
  if (odd) return odd

  const anchored = schemas.filter(({ $anchor }) => typeof $anchor === 'string')
  const anchors = new Map(anchored.map(schema => [schema.$anchor, schema]))
  if (anchors.size < anchored.length) return 'has an $anchor twice'
  const edges = new Map<Schema, Edge[]>()
  const edgesOf = (schema: Schema): Edge[] => {
    const known = edges.get(schema) ?? [...childrenOf(schema), ...targetsOf(schema, root, anchors)]
    edges.set(schema, known)
    return known
  }
  const all = inPostOrder([root], schema => edgesOf(schema).map(({ to }) => to)).order
  const inPlace = (schema: Schema) => edgesOf(schema).flatMap(edge => (edge.inPlace ? [edge.to] : []))
  if (inPostOrder(all, inPlace).hasCycle) return 'refers to itself without going into the input, which never ends'
  if (expandedParts(all, edgesOf) > MOST_EXPANDED_PARTS)
    return `has more than ${MOST_EXPANDED_PARTS} parts once its references are followed`
  return null
}

/** Every object and list, or why there are too many. */
function partsOf(root: Schema): object[] | string {
  const parts: object[] = [root]
  let level: object[] = [root]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MOST_JSON_DEPTH) return `is nested in more than ${MOST_JSON_DEPTH} levels`
    level = level.flatMap(part => Object.values(part).filter(isContainer))
    if (parts.length + level.length > MOST_PARTS) return `has more than ${MOST_PARTS} parts`
    parts.push(...level)
  }
  return parts
}

/**
 * References that could lead elsewhere than they seem to. Neither zod nor pydantic writes them. One to another document
 * is left to whoever compiles the schema, and fails there.
 */
function oddReference(schema: Schema, root: Schema): string | null {
  const { $ref, $id } = schema
  const isDynamic = DYNAMIC.some(keyword => typeof schema[keyword] === 'string')
  if (isDynamic) return 'refers by $dynamicRef or $recursiveRef; use $ref'
  if (schema !== root && typeof $id === 'string') return 'has a $id inside; refer by #/$defs/NAME instead'
  if (typeof $ref !== 'string' || $ref.startsWith('#')) return null
  const isElsewhere = /^[a-z][a-z0-9+.-]*:/i.test($ref) && root.$id === undefined
  return isElsewhere ? null : `refers to ${$ref.slice(0, 100)}; refer by #/$defs/NAME instead`
}

function childrenOf(schema: Schema): Edge[] {
  return Object.entries(schema).flatMap(([keyword, value]) => {
    const inPlace = IN_PLACE.has(keyword) || IN_PLACE_BY_NAME.has(keyword)
    const byName = IN_PLACE_BY_NAME.has(keyword) || INSIDE_BY_NAME.has(keyword)
    if (!inPlace && !byName && !INSIDE.has(keyword)) return []
    const schemas = byName && isContainer(value) ? Object.values(value).flatMap(schemasIn) : schemasIn(value)
    return schemas.map(to => ({ to, inPlace }))
  })
}

/** Where its `$ref` leads; one that leads nowhere fails when the schema is compiled. */
function targetsOf({ $ref }: Schema, root: Schema, anchors: Map<unknown, Schema>): Edge[] {
  if (typeof $ref !== 'string' || !$ref.startsWith('#')) return []
  const fragment = decode($ref.slice(1))
  const found = fragment === '' || fragment.startsWith('/') ? atPointer(root, fragment) : anchors.get(fragment)
  return schemasIn(found).map(to => ({ to, inPlace: true }))
}

function atPointer(root: Schema, pointer: string): unknown {
  let at: unknown = root
  for (const escaped of pointer.split('/').slice(1)) {
    const name = escaped.replaceAll('~1', '/').replaceAll('~0', '~')
    at = isContainer(at) && Object.hasOwn(at, name) ? (at as Schema)[name] : undefined
  }
  return at
}

function decode(fragment: string): string {
  try {
    return decodeURIComponent(fragment)
  } catch {
    return fragment
  }
}

/** Each part counts as often as it is applied; a reference back into what is being counted counts once. */
function expandedParts(postOrder: Schema[], edgesOf: (schema: Schema) => Edge[]): number {
  const counts = new Map<Schema, number>()
  for (const schema of postOrder) {
    const below = edgesOf(schema).reduce((sum, { to }) => sum + (counts.get(to) ?? 1), 0)
    counts.set(schema, Math.min(1 + below, MOST_EXPANDED_PARTS + 1))
  }
  return counts.get(postOrder.at(-1) as Schema) ?? 0
}

/** All that `next` leads to, those that are led to first; without recursion: a chain may be as long as the schema. */
function inPostOrder(starts: Schema[], next: (schema: Schema) => Schema[]): { order: Schema[]; hasCycle: boolean } {
  const open = new Set<Schema>()
  const done = new Set<Schema>()
  let hasCycle = false
  for (const start of starts) {
    const path = done.has(start) ? [] : [{ schema: start, left: next(start) }]
    open.add(start)
    for (let here = path.at(-1); here; here = path.at(-1)) {
      const schema = here.left.pop()
      if (schema === undefined) {
        open.delete(here.schema)
        done.add(here.schema)
        path.pop()
      } else if (open.has(schema)) {
        hasCycle = true
      } else if (!done.has(schema)) {
        open.add(schema)
        path.push({ schema, left: next(schema) })
      }
    }
    open.delete(start)
  }
  return { order: [...done], hasCycle }
}

function schemasIn(value: unknown): Schema[] {
  const values = Array.isArray(value) ? value : [value]
  return values.filter(each => isContainer(each) && !Array.isArray(each)) as Schema[]
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

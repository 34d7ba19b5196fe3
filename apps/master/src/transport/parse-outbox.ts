import { measureJson } from '@sc/shared/json-depth.ts'
import { excessOfJson } from '@sc/shared/json-excess.ts'
import {
  LARGEST_ENTRY,
  LARGEST_MESSAGE,
  MOST_MESSAGE_DEPTH,
  MOST_MESSAGES,
  type OutboxMessage,
  outboxMessageSchema
} from '@sc/shared/outbox-message.ts'
import { storable } from '../jobs/storable.ts'

/** An entry of an outbox stream, as it was read. */
export interface OutboxEntry {
  id: string
  fields: string[] | null
}

export interface Parsed {
  /** Entries that these messages came in: to be deleted once they are applied. */
  ids: string[]
  messages: OutboxMessage[]
}

/** What a refused entry says of its author: a mistake; something that costs the master much; something that no mistake does. */
export type Gravity = 'wrong' | 'grave' | 'flood'

/**
 * Reads the entries of one worker's outbox, in order. A message that is too long for one entry comes in parts (`p`: place and
 * count, as `0/3`), in entries that follow each other. Whatever is not a message is dropped unread and counted.
 */
export interface OutboxParser {
  /** Undefined: it is a part, and the others are still to come. */
  parse(entry: OutboxEntry): Parsed | undefined
  /** What was parsed since this was last asked, in characters; fields, values and their names cost something however short they are. */
  takeCost(): number
}

/** Some room for the JSON around a message of LARGEST_ENTRY characters, whose last may take several bytes. */
const LARGEST_READ = 2 * LARGEST_ENTRY
/** Names and values: `m`, and `p` of a part. */
const MOST_FIELDS = 4
const PLACE = /^\d{1,3}\/\d{1,3}$/
const FIELD_COST = 64
/** What JSON has many of costs by these, where that is more than its characters; objects and lists cost LIST_COST more. */
const VALUE_COST = 16
const SHAPE_COST = 128
const LIST_COST = 16

export function createOutboxParser(onRefused: (reason: string, gravity: Gravity) => void): OutboxParser {
  let cost = 0
  let parts: { count: number; ids: string[]; texts: string[]; length: number } | undefined

  function refuse(reason: string, gravity: Gravity = 'wrong'): OutboxMessage[] {
    onRefused(reason, gravity)
    return []
  }

  function toMessages(text: string): OutboxMessage[] {
    const measure = measureJson(text, MOST_MESSAGE_DEPTH)
    const { isDeeper, lists, values, shapes } = measure
    // The characters were counted when they came.
    cost += lists * LIST_COST + Math.max(0, Math.max(values * VALUE_COST, shapes * SHAPE_COST) - text.length)
    // What walks it later does so by recursion.
    if (isDeeper) return refuse(`it is nested in more than ${MOST_MESSAGE_DEPTH} levels`, 'grave')
    const excess = excessOfJson(measure, { isMessage: true })
    if (excess !== null) return refuse(`it ${excess}`, 'grave')
    let list: unknown
    try {
      list = JSON.parse(text)
    } catch {
      return refuse('it is not JSON')
    }
    const all = Array.isArray(list) ? list : [list]
    if (all.length > MOST_MESSAGES)
      return refuse(`an entry has ${all.length} messages; ${MOST_MESSAGES} are the most`, 'grave')
    return all.flatMap(one => {
      const message = outboxMessageSchema.safeParse(one)
      if (!message.success) return refuse(message.error.issues[0]?.message ?? 'it is no message')
      return toStorable(message.data) ?? refuse('its numbers have too many digits', 'grave')
    })
  }

  function addPart(id: string, place: string, text: string): Parsed | undefined {
    const [at, count] = place.split('/').map(Number)
    const isFirst = at === 0 && count !== undefined && count > 1 && count * LARGEST_ENTRY <= 2 * LARGEST_MESSAGE
    if (isFirst) {
      const left = parts?.ids
      parts = { count, ids: [id], texts: [text], length: text.length }
      // Begun again, as after an outage: what came before is deleted, and never piles up here.
      return left && { ids: left, messages: refuse('a message in parts begins anew') }
    }
    if (!parts || parts.texts.length !== at || parts.count !== count) {
      const ids = [...(parts?.ids ?? []), id]
      parts = undefined
      return { ids, messages: refuse('its parts do not follow each other') }
    }
    parts.ids.push(id)
    parts.texts.push(text)
    parts.length += text.length
    const { ids, texts, length } = parts
    if (length > LARGEST_MESSAGE) {
      parts = undefined
      return { ids, messages: refuse(`it is longer than ${LARGEST_MESSAGE} characters`, 'grave') }
    }
    if (texts.length < count) return undefined
    parts = undefined
    return { ids, messages: toMessages(texts.join('')) }
  }

  return {
    takeCost: () => {
      const taken = cost
      cost = 0
      return taken
    },
    parse: ({ id, fields }) => {
      cost += fields?.reduce((sum, field) => sum + field.length + FIELD_COST, 0) ?? 0
      const text = fieldOf(fields, 'm')
      const place = fieldOf(fields, 'p')
      if (fields && fields.length > MOST_FIELDS)
        return { ids: [id], messages: refuse(`an entry has ${fields.length / 2} fields`, 'flood') }
      if (text === undefined) return { ids: [id], messages: refuse('it has no field m') }
      if (text.length > LARGEST_READ)
        return {
          ids: [id],
          messages: refuse(`an entry has ${text.length} characters; ${LARGEST_ENTRY} are the most`, 'grave')
        }
      if (place !== undefined) {
        if (PLACE.test(place)) return addPart(id, place, text)
        return { ids: [id], messages: refuse('its field p is no place among parts', 'grave') }
      }
      const left = parts?.ids ?? []
      if (parts) refuse('a part is missing')
      parts = undefined
      return { ids: [...left, id], messages: toMessages(text) }
    }
  }
}

/** Wants and states are never stored, and come often. */
function toStorable(message: OutboxMessage): OutboxMessage | null {
  return message.type === 'want' || message.type === 'state' ? message : storable(message)
}

function fieldOf(fields: string[] | null, name: string): string | undefined {
  if (!fields) return undefined
  for (let at = 0; at + 1 < fields.length; at += 2) if (fields[at] === name) return fields[at + 1]
  return undefined
}

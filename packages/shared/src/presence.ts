import { z } from 'zod'
import { bounded, boundedInt } from './bounded.ts'
import { type Finding, findingSchema } from './doctor/finding.ts'
import { MOST_JSON_DEPTH, measureJson } from './json-depth.ts'
import { modelSchema } from './models.ts'

/** Far more than any machine has: what is above is no measurement. */
const MOST_GB = 1e6
const MOST_BYTES = 1e15
const MOST_CORES = 1e5
const MOST_UNITS = 1e12
const gigabytes = bounded(0, MOST_GB)
const bytes = boundedInt(0, MOST_BYTES)

/** `PROTOCOL_VERSION` of a worker. */
export const protocolSchema = boundedInt(0, 1e4)

/** What a worker says of itself every 2.5 s; gone 10 s after its last word. Row of `GET /api/workers`. */
export const gpuSchema = z.object({
  index: boundedInt(0, 1_000),
  uuid: z.string(),
  name: z.string(),
  vramTotalGb: gigabytes,
  vramUsedGb: gigabytes,
  utilization: bounded(0, 100).nullable(),
  temperatureC: bounded(-273, 1_000).nullable(),
  powerW: bounded(0, 1e5).nullable(),
  driver: z.string(),
  computeCapability: z.string().nullable()
})
export type Gpu = z.infer<typeof gpuSchema>

export const slotStateSchema = z.object({
  id: z.string(),
  /** `cpu`, or the GPU's UUID. */
  device: z.string(),
  /** `reserved`: the GPU's owner uses it for something else. */
  state: z.enum(['starting', 'idle', 'running', 'draining', 'reserved', 'out-of-service']),
  unitId: z.string().nullable(),
  /** Why the slot takes no units: out of service, reserved, draining. */
  reason: z.string().nullable()
})
export type SlotState = z.infer<typeof slotStateSchema>

/** The `reason` of a worker that was told `drain`, as against one that is stopping or keeps quiet hours. */
export const DRAINED_REASON = 'it was drained, until it is resumed'

/** The check of a finding about a file of a worker's tasks folder begins so; the file follows. */
export const TASKS_FOLDER = 'tasks folder: '

/** Of what a worker finds. */
const MOST_FINDINGS = 20
const LONGEST_TEXT = 500
const text = z.string().max(LONGEST_TEXT)
const boundedFindingSchema = findingSchema.extend({ check: text, found: text, next: text.nullable() })

/** As many and as long as presence may have. */
export function boundFindings(findings: Finding[]): Finding[] {
  const cut = (long: string): string => (long.length > LONGEST_TEXT ? `${long.slice(0, LONGEST_TEXT - 1)}…` : long)
  return findings.slice(0, MOST_FINDINGS).map(({ check, status, found, next }) => ({
    check: cut(check),
    status,
    found: cut(found),
    next: next === null ? null : cut(next)
  }))
}

export const presenceSchema = z.object({
  id: z.string(),
  name: z.string(),
  hostname: z.string(),
  status: z.enum(['online', 'draining']),
  /** Why it is draining. */
  reason: z.string().nullable().default(null),
  version: z.string(),
  protocol: protocolSchema,
  os: z.string(),
  cpu: z.object({
    model: z.string(),
    cores: boundedInt(0, MOST_CORES),
    threads: boundedInt(0, MOST_CORES),
    ghz: bounded(0, 1_000),
    load: bounded(0, 1e6)
  }),
  ram: z.object({ totalGb: gigabytes, availableGb: gigabytes }),
  gpus: z.array(gpuSchema),
  libraries: z.record(z.string(), z.string()),
  tailscale: z.object({ ip: z.string(), hostname: z.string() }).nullable(),
  /** Its own address, on the way by which it reaches Redis. */
  address: z.string().nullable().default(null),
  /** From the worker to Redis and back, as it took last. */
  brokerRttMs: bounded(0, 1e8).nullable().default(null),
  queues: z.array(z.string()),
  slots: z.array(slotStateSchema),
  tasks: z.array(z.string()),
  /** Speech models on its disk. */
  models: z.array(modelSchema).default([]),
  /**
   * What its own doctor finds wrong on its machine. A worker of an earlier version says none; of one that says more than
   * this, or otherwise, none is believed.
   */
  findings: z.array(boundedFindingSchema).max(MOST_FINDINGS).catch([]),
  /** Units finished and failed since the worker's start, and the memory of its processes. */
  figures: z.object({
    unitsDone: boundedInt(0, MOST_UNITS),
    unitsFailed: boundedInt(0, MOST_UNITS),
    rssBytes: bytes,
    pythonRssBytes: bytes
  })
})
export type Presence = z.infer<typeof presenceSchema>

/** In bytes of UTF-8. */
export const LARGEST_PRESENCE = 64 * 1024
/** That many names of queues, tasks and slots are in no 64 KB of ours; each that is none is an issue of its own to zod. */
const MOST_VALUES = 10_000

/** Null: it is no presence, or what no machine is. */
export function parsePresence(text: string): Presence | null {
  const { isDeeper, values } = measureJson(text, MOST_JSON_DEPTH)
  if (text.length > LARGEST_PRESENCE || isDeeper || values > MOST_VALUES) return null
  try {
    return presenceSchema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
export const PRESENCE_EVERY_MS = 2_500
export const PRESENCE_TTL_MS = 10_000

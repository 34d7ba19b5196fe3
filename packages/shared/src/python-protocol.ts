import { z } from 'zod'
import { boundedTexts } from './bounded.ts'

/**
 * The line protocol between a slot and its task processes, the Python one and the Node one: UTF-8 JSON, one object a line,
 * `type` first. `python-gpu/tests/golden.jsonl` has one of each; both languages are tested against it.
 */
export const PYTHON_PROTOCOL = 1

const id = z.string()

export const toChildSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    protocol: z.number().int(),
    device: z.string(),
    modelsDir: z.string().nullable(),
    /** Folder with tasks of the user's own. */
    tasksDir: z.string().nullable().default(null),
    /** What the process may keep in memory as a whole: with more it is replaced. */
    maxRssBytes: z.number().int().nullable().default(null)
  }),
  z.object({ type: z.literal('load'), model: z.string(), computeType: z.string().nullable(), device: z.string() }),
  z.object({ type: z.literal('run'), id, task: z.string(), input: z.unknown() }),
  z.object({ type: z.literal('cancel'), id }),
  z.object({ type: z.literal('unload'), model: z.string() }),
  z.object({ type: z.literal('shutdown') })
])
export type ToChild = z.input<typeof toChildSchema>

export const taskDescriptionSchema = z.object({
  name: z.string(),
  description: z.string().default(''),
  gpu: z.boolean(),
  vramGb: z.number(),
  /** What the worker must have beside, by name: programs, or `llm`. */
  features: boundedTexts(1_000, 1_000).default([]),
  /** False: a unit whose process or worker died is not run again. Left out: true. */
  retryCrashes: z.boolean().optional(),
  /** True: every worker has it; false: a task of the user's own, which has a queue of its own. */
  builtIn: z.boolean().default(true),
  inputSchema: z.record(z.string(), z.unknown()),
  outputSchema: z.record(z.string(), z.unknown()),
  /** The file of the tasks folder that has it; none for a task that every worker has. */
  file: z.string().nullish()
})
export type TaskDescription = z.infer<typeof taskDescriptionSchema>

/** In characters. */
const LONGEST_LACK = 500

/** A task of the tasks folder that no slot of its worker can run, and what they lack, in words. */
export const lackingTaskSchema = taskDescriptionSchema.extend({ lack: z.string().max(LONGEST_LACK) })
export type LackingTask = z.infer<typeof lackingTaskSchema>

/** A file of the tasks folder, or one task of it, that is not offered, and why. */
export const leftOutSchema = z.object({ file: z.string(), reason: z.string() })
export type LeftOut = z.infer<typeof leftOutSchema>

export const fromChildSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('ready'),
    protocol: z.number().int(),
    tasks: z.array(taskDescriptionSchema),
    device: z.string(),
    versions: z.record(z.string(), z.string()),
    leftOut: z.array(leftOutSchema).default([])
  }),
  z.object({ type: z.literal('progress'), id, fraction: z.number(), partial: z.unknown().optional() }),
  z.object({
    type: z.literal('log'),
    id: id.nullish(),
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()).optional()
  }),
  z.object({ type: z.literal('result'), id, output: z.unknown(), metrics: z.record(z.string(), z.number()) }),
  z.object({
    type: z.literal('error'),
    id: id.nullable(),
    code: z.string(),
    message: z.string(),
    retryable: z.boolean(),
    detail: z.string()
  }),
  z.object({ type: z.literal('memory'), rssBytes: z.number(), vramBytes: z.number().nullable() })
])
export type FromChild = z.infer<typeof fromChildSchema>
/** As a child writes it: what has a default may be left out. */
export type FromChildLine = z.input<typeof fromChildSchema>

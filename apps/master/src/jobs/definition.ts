import { type ErrorReport, ScError } from '@sc/shared/errors.ts'
import type { Gap, JobRow } from '../database/schema.ts'
import type { UnitsToMerge } from './units-to-merge.ts'

/**
 * A kind of job: what the master does before its units (`plan`) and after them (`merge`). Both are restartable: a
 * master that was killed starts them again, and the same audio and parameters must give the same drafts.
 */
export type JobDefinition = Kind & (Plans | PlansBatches)

interface Plans {
  /** Yields units as soon as each is known; what it returns is kept with the job for `merge`. */
  plan(job: JobRow, context: PlanContext): AsyncGenerator<UnitDraft, Record<string, unknown>>
}

interface PlansBatches {
  /** The same, but yields those together that are to be added at once; goes on when they are. */
  planBatches(job: JobRow, context: PlanContext): AsyncGenerator<UnitDraft[], Record<string, unknown>>
}

interface Kind {
  readonly task: string
  /** Runs when every unit is settled; idempotent. */
  merge(job: JobRow, units: UnitsToMerge, signal: AbortSignal): Promise<JobOutcome>
}

/** The kinds of jobs that a master knows now; those of the user's own may be others a moment later. */
export interface Definitions {
  find(task: string): JobDefinition | undefined
  /**
   * Names of the jobs of the user's own. Their plans take no time of the master's and may wait long, so many run at once; their
   * merges may hang, and hold up each other only.
   */
  own(): string[]
}

/** Those of the project itself come first. */
export function withBuiltIn(builtIn: JobDefinition[], own?: Definitions): Definitions {
  return {
    find: task => builtIn.find(definition => definition.task === task) ?? own?.find(task),
    own: () => own?.own() ?? []
  }
}

/** A unit before it is a row. The same (job, task, index) is the same unit. */
export interface UnitDraft {
  task: string
  index: number
  queue: string
  /** Null: its input is its params. */
  input: StoredInput | null
  /** Text: as JSON, checked, and without further blobs. It takes the least memory, and is not looked into. */
  params: Record<string, unknown> | string
  /** Further inputs by name; the task finds each as a local file. */
  blobs: Record<string, StoredInput>
  span: Record<string, unknown>
  /** How much of the job's length this is, in seconds. */
  seconds: number
  deadlineMs: number
  /** Of its task; left out: true. */
  retryCrashes?: boolean
  /** Who is told what became of the unit. */
  awaiter?: Awaiter | null
}

export interface Awaiter {
  /** `output`: as JSON text. Returns when more may come. */
  settled(outcome: { output: string | null; error: ErrorReport | null }): Promise<void>
  /** It cannot be known. */
  failed(error: unknown): void
}

/** A blob of a unit, with what it contains. */
export interface StoredInput {
  key: string
  sha256: string
}

export interface PlanContext {
  readonly signal: AbortSignal
  /** Before each piece of heavy work: returns when it is this plan's turn. */
  turn(): Promise<void>
  /** Stores bytes for units of this job; the same name and bytes are stored once. */
  store(name: string, bytes: Buffer): Promise<StoredInput>
  /** Adds a unit and waits for its output: for plans that depend on a result. Throws the unit's error. */
  run(draft: UnitDraft): Promise<unknown>
  /** Writes what was learned onto the job, for its status. */
  learned(facts: { model?: string; language?: string; durationSeconds?: number }): Promise<void>
}

export interface JobOutcome {
  status: 'COMPLETED' | 'PARTIAL' | 'FAILED'
  error: ErrorReport | null
  gaps: Gap[]
  language: string | null
  /** Left out: the result is where this kind of job keeps it. */
  output?: StoredOutput
}

/** A result as it is kept with its job: small as JSON text, large as the key of a blob. */
export type StoredOutput = { output: string; output_ref: null } | { output: null; output_ref: string }

/** The definition of a job that was submitted; its file may have been taken away meanwhile: SC_TASK_UNKNOWN. */
export function definitionOf(definitions: Pick<Definitions, 'find'>, { id, task }: JobRow): JobDefinition {
  const definition = definitions.find(task)
  if (definition) return definition
  const next = `put its file into the folder SC_TASKS_DIR of the master, and begin the job again: POST /api/jobs/${id}/retry.`
  throw new ScError('SC_TASK_UNKNOWN', `This master has no job named ${task}: ${next}`)
}

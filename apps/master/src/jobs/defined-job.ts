import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { DefinedJob, JobUnit } from '@sc/shared/define-job.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { RegisteredTask, TaskRegistry } from '../cluster/task-registry.ts'
import type { JobRow } from '../database/schema.ts'
import type { JobDefinition, JobOutcome, PlanContext, UnitDraft, UnitToMerge } from './definition.ts'
import { keepOutput } from './output.ts'
import { DEFAULT_TIMEOUT_MS } from './submit-task.ts'
import { type CheckInput, queueOfTask } from './task-input.ts'

export interface DefinedJobDeps {
  tasks: Pick<TaskRegistry, 'find'>
  checkInput: CheckInput
  blobs: BlobStore
}

/** A job of the user's own, as the engine runs any: its units are tasks of the cluster, checked before they are queued. */
export function toDefinition(deps: DefinedJobDeps, job: DefinedJob): JobDefinition {
  return {
    task: job.name,
    isLight: true,
    plan: (row, context) => plan(deps, job, row, context),
    merge: (row, units) => merge(deps, job, row, units)
  }
}

async function* plan(
  { tasks, checkInput }: DefinedJobDeps,
  job: DefinedJob,
  row: JobRow,
  context: PlanContext
): AsyncGenerator<UnitDraft, Record<string, unknown>> {
  let count = 0
  const toDraft = async ({ task, input }: JobUnit): Promise<UnitDraft> => {
    const index = count++
    const known = await knownTask(tasks, job, task)
    return {
      task,
      index,
      queue: queueOfTask(known),
      input: null,
      params: await checkInput(known, input),
      blobs: {},
      span: {},
      seconds: 0,
      deadlineMs: row.timeout_ms ?? DEFAULT_TIMEOUT_MS
    }
  }
  const { signal } = context
  const run = async (unit: JobUnit): Promise<unknown> => await context.run(await toDraft(unit))
  const units = job.plan(job.input.parse(row.input), { signal, run })
  try {
    for await (const unit of units) yield await toDraft(unit)
  } catch (thrown) {
    throw asTaskError(`The plan of ${job.name} failed`, thrown)
  }
  return {}
}

async function knownTask(tasks: DefinedJobDeps['tasks'], job: DefinedJob, name: string): Promise<RegisteredTask> {
  const known = await tasks.find(name)
  if (known && !known.isJob) return known
  const what = known ? 'is a job, and a unit of a job must be a task' : 'has been registered by no worker'
  throw new ScError('SC_TASK_UNKNOWN', `The job ${job.name} wants a unit of "${name}", which ${what}.`)
}

async function merge(deps: DefinedJobDeps, job: DefinedJob, row: JobRow, units: UnitToMerge[]): Promise<JobOutcome> {
  const ordered = units.toSorted((a, b) => a.index - b.index)
  const outcomes = ordered.map(({ task, output, error, status }) => ({
    task,
    output: status === 'DONE' ? output : null,
    error: status === 'DONE' ? null : error
  }))
  const failed = outcomes.find(({ error }) => error !== null)
  const same = { gaps: [], language: null }
  if (failed && !job.toleratesFailures) return { ...same, status: 'FAILED', error: failed.error }
  try {
    const output = job.output.parse(await job.merge(outcomes, job.input.parse(row.input)))
    const kept = await keepOutput(deps.blobs, row.id, output)
    return { ...same, status: failed ? 'PARTIAL' : 'COMPLETED', error: null, output: kept }
  } catch (thrown) {
    throw asTaskError(`The merge of ${job.name} failed`, thrown)
  }
}

/** What the author's own code threw, as an error of the table. */
function asTaskError(what: string, thrown: unknown): ScError {
  if (thrown instanceof ScError) return thrown
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  return new ScError('SC_TASK_FAILED', `${what}. ${error.name}: ${error.message}`, { cause: error })
}

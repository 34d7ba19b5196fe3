import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { RegisteredTask, TaskRegistry } from '../cluster/task-registry.ts'
import type { JobRow } from '../database/schema.ts'
import type { Definitions, JobDefinition, JobOutcome, PlanContext, UnitDraft, UnitToMerge } from '../jobs/definition.ts'
import { keepOutput } from '../jobs/output.ts'
import { DEFAULT_TIMEOUT_MS } from '../jobs/submit-task.ts'
import { type CheckInput, queueOfTask } from '../jobs/task-input.ts'
import { checkSize, unitIdOf } from '../jobs/units.ts'
import type { AskedUnit } from './job-process.ts'
import type { OwnJobs } from './own-jobs.ts'
import type { JobDescription } from './protocol.ts'

export interface OwnDefinitionsDeps {
  ownJobs: OwnJobs
  tasks: Pick<TaskRegistry, 'find'>
  checkInput: CheckInput
  blobs: BlobStore
}

/** Jobs of the user's own, as the engine runs any: their units are tasks of the cluster, checked before they are queued. */
export function createOwnDefinitions(deps: OwnDefinitionsDeps): Definitions {
  return {
    find: name => {
      const job = deps.ownJobs.list().find(one => one.name === name)
      return job && toDefinition(deps, job)
    },
    own: () => deps.ownJobs.list().map(({ name }) => name)
  }
}

function toDefinition(deps: OwnDefinitionsDeps, job: JobDescription): JobDefinition {
  return {
    task: job.name,
    planBatches: (row, context) => plan(deps, job, row, context),
    merge: (row, units, signal) => merge(deps, job, row, { units, signal })
  }
}

async function* plan(
  { ownJobs, tasks, checkInput }: OwnDefinitionsDeps,
  { name }: JobDescription,
  row: JobRow,
  { signal }: PlanContext
): AsyncGenerator<UnitDraft[], Record<string, unknown>> {
  const asker = { keyId: row.key_id, signal: () => signal }
  const toDraft = async ({ task, input, awaiter }: AskedUnit, index: number): Promise<UnitDraft> => {
    const known = await knownTask(tasks, name, task)
    checkSize(unitIdOf(row.id, { task, index }), input)
    return {
      task,
      index,
      queue: queueOfTask(known),
      input: null,
      params: await checkInput(known, input, asker),
      blobs: {},
      span: {},
      seconds: 0,
      deadlineMs: row.timeout_ms ?? DEFAULT_TIMEOUT_MS,
      retryCrashes: known.retryCrashes,
      awaiter
    }
  }
  let count = 0
  for await (const units of ownJobs.plan(row.id, { job: name, input: row.input, signal })) {
    const drafts: UnitDraft[] = []
    for (const unit of units) {
      const draft = await toDraft(unit, count++).catch(error => refuse(unit, error))
      if (draft) drafts.push(draft)
    }
    if (drafts.length > 0) yield drafts
  }
  return {}
}

/** Whoever awaits a unit is told why there is none. */
async function refuse({ awaiter }: AskedUnit, error: unknown): Promise<void> {
  if (!awaiter || !(error instanceof ScError)) throw error
  await awaiter.settled({ output: null, error: error.toReport() })
}

async function knownTask(tasks: OwnDefinitionsDeps['tasks'], job: string, name: string): Promise<RegisteredTask> {
  const known = await tasks.find(name)
  if (known && !known.isJob) return known
  const what = known ? 'is a job, and a unit of a job must be a task' : 'has been registered by no worker'
  throw new ScError('SC_TASK_UNKNOWN', `The job ${job} wants a unit of "${name}", which ${what}.`)
}

async function merge(
  { ownJobs, blobs }: OwnDefinitionsDeps,
  job: JobDescription,
  row: JobRow,
  { units: settled, signal }: { units: UnitToMerge[]; signal: AbortSignal }
): Promise<JobOutcome> {
  const units = settled
    .toSorted((a, b) => a.index - b.index)
    .map(({ id, task, params, output, error, status }) => ({
      unitId: id,
      task,
      input: params,
      output: status === 'DONE' ? output : null,
      error: status === 'DONE' ? null : error
    }))
  const failed = units.find(({ error }) => error !== null)
  const same = { gaps: [], language: null }
  if (failed && !job.toleratesFailures) return { ...same, status: 'FAILED', error: failed.error }
  const output = await ownJobs.merge(row.id, { job: job.name, input: row.input, signal, units })
  const kept = await keepOutput(blobs, row.id, output)
  return { ...same, status: failed ? 'PARTIAL' : 'COMPLETED', error: null, output: kept }
}

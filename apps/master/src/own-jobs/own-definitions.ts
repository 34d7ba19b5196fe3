import { setImmediate } from 'node:timers/promises'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError } from '@sc/shared/errors.ts'
import { measureJson } from '@sc/shared/json-depth.ts'
import { excessOfJson } from '@sc/shared/json-excess.ts'
import { MOST_OUTPUT_DEPTH } from '@sc/shared/outbox-message.ts'
import type { RegisteredTask, TaskRegistry } from '../cluster/task-registry.ts'
import type { JobRow } from '../database/schema.ts'
import type { Definitions, JobDefinition, JobOutcome, PlanContext, UnitDraft } from '../jobs/definition.ts'
import { readInput } from '../jobs/large-input.ts'
import { keepJson } from '../jobs/output.ts'
import { DEFAULT_TIMEOUT_MS } from '../jobs/submit-task.ts'
import { type CheckText, queueOfTask } from '../jobs/task-input.ts'
import { checkSize, unitIdOf } from '../jobs/units.ts'
import type { UnitAsText, UnitsToMerge } from '../jobs/units-to-merge.ts'
import type { AskedUnit } from './job-process.ts'
import type { OwnJobs } from './own-jobs.ts'
import { createPlanPlaces, type PlanPlaces } from './plan-places.ts'
import type { JobDescription, OutcomeLine } from './protocol.ts'

export interface OwnDefinitionsDeps {
  ownJobs: OwnJobs
  tasks: Pick<TaskRegistry, 'find'>
  checkText: CheckText
  blobs: BlobStore
}

interface WithPlaces extends OwnDefinitionsDeps {
  places: PlanPlaces
}

/** Adding a batch does not hold up the master for longer. */
const LONGEST_STEP_MS = 10

/** Jobs of the user's own, as the engine runs any: their units are tasks of the cluster, checked before they are queued. */
export function createOwnDefinitions(deps: OwnDefinitionsDeps): Definitions {
  const places = createPlanPlaces()
  return {
    find: name => {
      const job = deps.ownJobs.list().find(one => one.name === name)
      return job && toDefinition({ ...deps, places }, job)
    },
    own: () => deps.ownJobs.list().map(({ name }) => name)
  }
}

function toDefinition(deps: WithPlaces, job: JobDescription): JobDefinition {
  return {
    task: job.name,
    planBatches: (row, context) => plan(deps, job, row, context),
    merge: (row, units, signal) => merge(deps, job, row, { units, signal })
  }
}

async function* plan(
  { ownJobs, tasks, checkText, blobs, places }: WithPlaces,
  { name }: JobDescription,
  row: JobRow,
  { signal }: PlanContext
): AsyncGenerator<UnitDraft[], Record<string, unknown>> {
  const asker = { keyId: row.key_id, signal: () => signal }
  const toDraft = async ({ task, input, awaiter }: AskedUnit, index: number): Promise<UnitDraft> => {
    const known = await knownTask(tasks, name, task)
    checkSize(unitIdOf(row.id, { task, index }), input)
    checkExcess(task, input)
    await checkText(known, input, asker)
    return {
      task,
      index,
      queue: queueOfTask(known),
      input: null,
      params: input,
      blobs: {},
      span: {},
      seconds: 0,
      deadlineMs: row.timeout_ms ?? DEFAULT_TIMEOUT_MS,
      retryCrashes: known.retryCrashes,
      awaiter
    }
  }
  let count = 0
  for await (const units of ownJobs.plan(row.id, { job: name, input: () => readInput(blobs, row), signal })) {
    const leave = await places.take(row.key_id, signal)
    try {
      const drafts: UnitDraft[] = []
      let sinceMs = performance.now()
      for (const unit of units) {
        const draft = await toDraft(unit, count++).catch(error => refuse(unit, error))
        if (draft) drafts.push(draft)
        if (performance.now() - sinceMs < LONGEST_STEP_MS) continue
        await setImmediate()
        sinceMs = performance.now()
      }
      if (drafts.length > 0) yield drafts
    } finally {
      leave()
    }
  }
  return {}
}

/** Whoever awaits a unit is told why there is none. */
async function refuse({ awaiter }: AskedUnit, error: unknown): Promise<void> {
  if (!awaiter || !(error instanceof ScError)) throw error
  await awaiter.settled({ output: null, error: error.toReport() })
}

/** As what a task answers: checking it, and passing it on, costs by these more than by its characters. */
function checkExcess(task: string, input: string): void {
  const measure = measureJson(input, MOST_OUTPUT_DEPTH)
  const excess = measure.isDeeper
    ? `is nested in more than ${MOST_OUTPUT_DEPTH} levels`
    : excessOfJson(measure, { isMessage: false })
  if (excess !== null) throw new ScError('SC_TASK_INPUT', `The input of a unit of ${task} ${excess}.`)
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
  { units, signal }: { units: UnitsToMerge; signal: AbortSignal }
): Promise<JobOutcome> {
  const error = await units.firstError()
  const same = { gaps: [], language: null }
  if (error && !job.toleratesFailures) return { ...same, status: 'FAILED', error }
  const outcomes = outcomesOf(units.pages())
  const input = (): Promise<string> => readInput(blobs, row)
  const output = await ownJobs.merge(row.id, { job: job.name, input, signal, units: outcomes })
  const kept = await keepJson(blobs, row.id, output)
  return { ...same, status: error ? 'PARTIAL' : 'COMPLETED', error: null, output: kept }
}

async function* outcomesOf(pages: AsyncIterable<UnitAsText[]>): AsyncGenerator<OutcomeLine[]> {
  for await (const page of pages)
    yield page.map(({ id, task, params, output, error, status }) => ({
      unitId: id,
      task,
      input: params,
      output: status === 'DONE' ? output : null,
      error: status === 'DONE' ? null : error
    }))
}

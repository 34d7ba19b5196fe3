import type { Logger } from '@sc/shared/log.ts'
import { hasModel, isModelName } from '@sc/shared/models.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { z } from 'zod'
import type { BlobSource } from '../inputs/fetch-blob.ts'
import { untilAborted } from '../until-aborted.ts'
import { fetchModel } from './fetch-model.ts'

/** What the master did not have, or could not give, is not asked for again so soon: each unit would wait for it. */
const ASK_AGAIN_MS = 60_000

export interface Models {
  /**
   * Sees to it that the speech model of a unit is on this machine's disk, if the master has it; else the Python process
   * looks for it, in packages and at the hub. An abort ends the wait, not the download that others may wait for.
   */
  bring(unit: UnitPayload, signal: AbortSignal): Promise<void>
  /** Ends downloads; the next start goes on with them. */
  close(): Promise<void>
}

export interface ModelsDeps {
  modelsDir: string
  source: BlobSource
  /** A model has come. */
  onChange: () => void
  log: Logger
  askAgainMs?: number
}

const paramsSchema = z.object({ model: z.string() })

export function openModels(deps: ModelsDeps): Models {
  const { modelsDir, log, askAgainMs = ASK_AGAIN_MS } = deps
  const closing = new AbortController()
  const fetches = new Map<string, Promise<void>>()
  const notBeforeMs = new Map<string, number>()

  async function fetch(name: string): Promise<void> {
    const lookAgain = (): void => void notBeforeMs.set(name, performance.now() + askAgainMs)
    try {
      if (await fetchModel(deps, name, closing.signal)) deps.onChange()
      else lookAgain()
    } catch (error) {
      if (closing.signal.aborted) return
      lookAgain()
      const { message } = error as Error
      log.error({ model: name }, `The model ${name} did not come from the master: ${message}`)
    } finally {
      fetches.delete(name)
    }
  }

  return {
    bring: async (unit, signal) => {
      const name = modelOf(unit)
      if (name === undefined || !isModelName(name) || (await hasModel(modelsDir, name))) return
      if (performance.now() < (notBeforeMs.get(name) ?? 0)) return
      const fetched = fetches.get(name) ?? fetch(name)
      fetches.set(name, fetched)
      await untilAborted(fetched, signal)
    },
    close: async () => {
      closing.abort()
      await Promise.all(fetches.values())
    }
  }
}

/** Of the steps of a transcription alone: in a task of the user's own, `model` may mean anything. */
function modelOf({ task, params }: UnitPayload): string | undefined {
  return task.startsWith('transcribe.') ? paramsSchema.safeParse(params).data?.model : undefined
}

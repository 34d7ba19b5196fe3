import { type Check, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import { MODEL_LIST_KEY, modelKey, modelListSchema } from '@sc/shared/models.ts'

/** Whether the worker's key opens the master's blob route, and how fast bytes come: measured with a model. */
const ANSWER_MS = 10_000
const MEASURE_MS = 3_000
const MEASURE_BYTES = 64 * 1024 ** 2
/** A chunk of 150 s has 5 MB. */
const SLOW_BYTES_PER_S = 1024 ** 2

/** `key`: undefined when the worker is not enrolled yet. */
export function checkBlobs(url: string | undefined, key: string | undefined): Check[] {
  return [
    {
      name: 'blobs',
      look: async () => {
        if (!url) return failed('no address of the master is known', 'See the version of the master above.')
        if (!key) return warning('this worker has no key yet', 'Start it once: `sc-worker run`. Then ask again.')
        return measure(url, key)
      },
      next: 'Look whether the master answers: see its round trip above.'
    }
  ]
}

async function measure(url: string, key: string): Promise<Outcome> {
  const get = (blob: string, limitMs: number) =>
    fetch(new URL(`blobs/${blob}`, `${url}/`), {
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(limitMs)
    })
  const answer = await get(MODEL_LIST_KEY, ANSWER_MS)
  if (answer.status === 401 || answer.status === 403)
    return failed(
      `the master does not take this worker's key (${answer.status})`,
      'It was revoked, or enrolled with another master. Start it again; if that does not help, give it another --name.'
    )
  if (!answer.ok) throw new Error(`the answer was ${answer.status}`)
  const { models } = modelListSchema.parse(await answer.json())
  const [largest] = models.sort((a, b) => b.sizeBytes - a.sizeBytes)
  if (!largest) return ok('the key is good; the speed was not measured, since the master has no model on its disk')
  return speedOutcome(await download(await get(modelKey(largest.name, 'model.bin'), ANSWER_MS + MEASURE_MS)))
}

async function download(answer: Response): Promise<{ bytes: number; seconds: number }> {
  if (!answer.ok || !answer.body) throw new Error(`the answer was ${answer.status}`)
  let bytes = 0
  const startedMs = performance.now()
  for await (const part of answer.body) {
    bytes += (part as Uint8Array).length
    if (bytes > MEASURE_BYTES || performance.now() - startedMs > MEASURE_MS) break
  }
  return { bytes, seconds: (performance.now() - startedMs) / 1000 }
}

export function speedOutcome({ bytes, seconds }: { bytes: number; seconds: number }): Outcome {
  const perSecond = bytes / Math.max(seconds, 0.001)
  const found = `${(perSecond / 1024 ** 2).toFixed(1)} MB/s`
  if (perSecond >= SLOW_BYTES_PER_S) return ok(found)
  return warning(found, 'A chunk of audio takes seconds to come: look at the path and the packet size above.')
}

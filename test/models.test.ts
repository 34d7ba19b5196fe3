import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig } from '@sc/shared/config.ts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { SAMPLES } from './audio.ts'
import { type Cluster, startCluster } from './cluster.ts'

/** The models folder of the master is that of this project; the worker's is empty. */
let cluster: Cluster
const empty = () => join(cluster.folder, 'models')
beforeAll(async () => {
  cluster = await startCluster({ workers: 0 })
  await cluster.startWorker('bare', ['--concurrency', '2'], { SC_MODELS_DIR: empty() })
})
afterAll(() => cluster?.stop())

it('a worker without a model takes it from the master, once, and decodes with it', async () => {
  const nodesOf = async (name: string) => {
    const { items } = await cluster.json<{ items: Array<{ name: string; nodes: Array<{ name: string }> }> }>(
      '/api/models'
    )
    return items.find(model => model.name === name)?.nodes.length
  }
  expect(await nodesOf('base')).toBe(1)
  const both = await Promise.all(
    ['jfk.wav', 'austen-1.wav'].map(file => cluster.transcribe(join(SAMPLES, file), { model: 'base' }))
  )
  for (const { document } of both) expect(document.transcription.length).toBeGreaterThan(50)
  expect(readdirSync(empty())).toEqual(['base'])
  const master = parseConfig({}).modelsDir
  const weights = (folder: string) => readFileSync(join(folder, 'base', 'model.bin'))
  expect(weights(empty()).equals(weights(master))).toBe(true)
  const log = readFileSync(join(cluster.folder, 'data', 'logs', 'bare.log'), 'utf8')
  expect(log.match(/Fetching the model base from the master/g)).toHaveLength(1)
  expect(log).not.toContain('Joining the two packages')
  await expect.poll(() => nodesOf('base')).toBe(2)
})

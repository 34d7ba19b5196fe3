import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'

/**
 * What BullMQ does by itself, for `bench/engine.ts`: REDIS_URL COUNT -> one line of JSON. `throughput`: COUNT jobs added by
 * addBulk while a worker of concurrency 100 works on them, to the last one; `processing`: the same, all added before;
 * `latencies`: from add to the processor, one at a time, in ms.
 */
const [url = '', countText = '10000'] = process.argv.slice(2)
const count = Number(countText)
const CONCURRENCY = 100
const ONE_AT_A_TIME = 500
const once = { removeOnComplete: true, removeOnFail: true }

// The master's Redis has no HELLO, by which version 3 begins.
const connect = () => new Redis(url, { maxRetriesPerRequest: null, protocol: 2 })
const redis = connect()
const name = `raw-${process.pid}`
const queue = new Queue(name, { connection: redis })

async function withWorker<T>(use: (processed: (n: number) => Promise<void>) => Promise<T>): Promise<T> {
  let done = 0
  let waiter: { n: number; resolve(): void } | undefined
  const connection = connect()
  const worker = new Worker(
    name,
    async () => {
      done++
      if (waiter && done >= waiter.n) waiter.resolve()
    },
    { connection, concurrency: CONCURRENCY }
  )
  await worker.waitUntilReady()
  try {
    return await use(n => {
      done = 0
      return new Promise<void>(resolve => {
        waiter = { n, resolve }
      })
    })
  } finally {
    await worker.close()
    connection.disconnect()
  }
}

const jobs = () => Array.from({ length: count }, (_, n) => ({ name: 'noop', data: { n }, opts: once }))
async function addAll(): Promise<void> {
  for (let at = 0; at < count; at += 1_000) await queue.addBulk(jobs().slice(at, at + 1_000))
}

const throughput = await withWorker(async processed => {
  const all = processed(count)
  const startMs = performance.now()
  await addAll()
  await all
  return (count * 1_000) / (performance.now() - startMs)
})

await addAll()
const startMs = performance.now()
const processing = await withWorker(async processed => {
  await processed(count)
  return (count * 1_000) / (performance.now() - startMs)
})

const latencies: number[] = []
const connection = connect()
let started = Promise.withResolvers<number>()
const worker = new Worker(name, async () => started.resolve(performance.now()), { connection, concurrency: 1 })
await worker.waitUntilReady()
for (let n = 0; n < ONE_AT_A_TIME; n++) {
  started = Promise.withResolvers()
  const addedMs = performance.now()
  await queue.add('noop', { n }, once)
  latencies.push((await started.promise) - addedMs)
}
await worker.close()
connection.disconnect()
await queue.obliterate({ force: true })
await queue.close()
redis.disconnect()
console.log(JSON.stringify({ throughput, processing, latencies }))

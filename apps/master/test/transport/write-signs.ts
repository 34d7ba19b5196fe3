import { parentPort, workerData } from 'node:worker_threads'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'

/** A worker that writes the same twice a second, whatever the thread does that started it. */
const { url, key, text } = workerData as { url: string; key: string; text: string }
const redis = connectRedis(url, { name: 'signs' })
await waitForRedis(redis)
await redis.xadd(key, '*', 'm', text)
parentPort?.postMessage('begun')
const timer = setInterval(() => void redis.xadd(key, '*', 'm', text), 500)
process.once('exit', () => {
  clearInterval(timer)
  void closeRedis(redis)
})

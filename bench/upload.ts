/**
 * `node bench/upload.ts [MiB] [rounds]`: an upload of 1 GiB to a real master, against a copy of the same file on the
 * same disk. Both end when the bytes are on the disk (fsync). Prints medians, their ratio, and how much the master's
 * memory grew. Target: at least 0.5 of the copy's speed, at most 64 MiB more memory.
 */
import { spawn } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { copyFile, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { WAV_HEADER_BYTES, writeWavHeader } from '../apps/master/src/transcription/wav.ts'

const MiB = 1024 ** 2
const [sizeMiB = 1024, rounds = 3] = process.argv.slice(2).map(Number)
const fileBytes = sizeMiB * MiB - 1024

const folder = await mkdtemp(join(tmpdir(), 'sc-bench-upload-'))
try {
  await bench()
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function bench(): Promise<void> {
  const file = join(folder, 'recording.wav')
  await writeNoise(file, fileBytes)
  const master = await startMaster()
  try {
    await warmUp(master)
    const copies: number[] = []
    const uploads: number[] = []
    const before = await memoryOf(master.pid)
    let most = before
    const watching = setInterval(async () => {
      most = Math.max(most, await memoryOf(master.pid))
    }, 20)
    for (let round = 0; round < rounds; round++) {
      copies.push(await copy(file))
      uploads.push(await upload(master, file, `round ${round}`))
    }
    clearInterval(watching)
    print(copies, uploads, before, most)
  } finally {
    master.child.kill('SIGTERM')
    await once(master.child, 'exit')
  }
}

function print(copies: number[], uploads: number[], before: number, most: number): void {
  const speed = (seconds: number) => `${(fileBytes / seconds / 1e6).toFixed(0)} MB/s`
  const row = (name: string, times: number[]) =>
    `${name.padEnd(8)} median ${speed(median(times))}  (${times.map(speed).join(', ')})`
  console.log(`${cpus().length} x ${cpus()[0]?.model}, Node ${process.version}, ${sizeMiB} MiB, ${rounds} rounds`)
  console.log(row('copy', copies))
  console.log(row('upload', uploads))
  console.log(`ratio    ${(median(copies) / median(uploads)).toFixed(2)} (target >= 0.5)`)
  console.log(
    `memory   ${(before / MiB).toFixed(0)} MiB, up by at most ${((most - before) / MiB).toFixed(0)} MiB (target <= 64)`
  )
}

/** Seconds until the answer, which comes once the bytes are on the disk. */
async function upload(master: Master, file: string, name: string): Promise<number> {
  const startedMs = performance.now()
  const jobId = await submit(master, file, name)
  const seconds = (performance.now() - startedMs) / 1000
  // Planning is another bench.
  await cancel(master, jobId)
  return seconds
}

async function submit(master: Master, file: string, name: string): Promise<string> {
  const call = request(`${master.address}/transcribe`, {
    method: 'POST',
    headers: { ...master.headers, 'content-type': 'multipart/form-data; boundary=b' }
  })
  const answered = once(call, 'response')
  call.write(`--b\r\ncontent-disposition: form-data; name="file"; filename="${name}.wav"\r\n\r\n`)
  await pipeline(createReadStream(file, { highWaterMark: MiB }), call, { end: false })
  call.end('\r\n--b--\r\n')
  const [response] = await answered
  const text = (await response.toArray()).join('')
  if (response.statusCode !== 202) throw new Error(`${name}: ${response.statusCode} ${text}`)
  return JSON.parse(text).jobId
}

async function cancel({ address, headers }: Master, jobId: string): Promise<void> {
  await fetch(`${address}/transcribe/${jobId}`, { method: 'DELETE', headers })
}

async function copy(file: string): Promise<number> {
  const target = join(folder, 'copy.wav')
  const startedMs = performance.now()
  await copyFile(file, target)
  const handle = await open(target, 'r+')
  await handle.sync()
  await handle.close()
  const seconds = (performance.now() - startedMs) / 1000
  await rm(target)
  return seconds
}

/** A short recording to its end: what the first job loads stays. */
async function warmUp(master: Master): Promise<void> {
  const short = join(folder, 'short.wav')
  await writeNoise(short, MiB)
  const jobId = await submit(master, short, 'warm-up')
  for (let tries = 0; tries < 300; tries++) {
    const answer = await fetch(`${master.address}/transcribe/${jobId}`, { headers: master.headers })
    const { status, chunks } = (await answer.json()) as { status: string; chunks: { total: number } }
    if (status !== 'PENDING' || chunks.total > 0) break
    await sleep(100)
  }
  await cancel(master, jobId)
}

interface Master {
  child: ReturnType<typeof spawn>
  pid: number
  address: string
  headers: { authorization: string }
}

async function startMaster(): Promise<Master> {
  const dataDir = join(folder, 'data')
  const main = new URL('../apps/master/src/main.js', import.meta.url).pathname
  const child = spawn(process.execPath, [main, '--port', '0', '--data-dir', dataDir, '--log-level', 'warn'], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /^master is up at (\S+)/.exec(line)?.[1]
    if (!address) continue
    child.stdout.resume()
    const key = (await readFile(join(dataDir, 'admin.key'), 'utf8')).trim()
    return { child, pid: child.pid as number, address, headers: { authorization: `Bearer ${key}` } }
  }
  throw new Error('the master did not start')
}

/** Bytes that the process holds (Linux). */
async function memoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

/** 16 kHz mono of noise, which no file system can compress. */
async function writeNoise(path: string, bytes: number): Promise<void> {
  const header = Buffer.alloc(WAV_HEADER_BYTES)
  writeWavHeader(header, bytes - WAV_HEADER_BYTES)
  const file = await open(path, 'w')
  await file.write(header)
  const noise = Buffer.alloc(MiB)
  for (let left = bytes - 44; left > 0; left -= MiB) {
    randomFillSync(noise)
    await file.write(noise, 0, Math.min(left, MiB))
  }
  await file.sync()
  await file.close()
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../src/free-port.ts'

const ACCOUNT_KEY = Buffer.from('a key that only this test knows').toString('base64')

/** Microsoft's own emulator as a child process on loopback, with an account and a folder of its own. */
export async function startAzurite(): Promise<{ connectionString: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sc-azurite-'))
  const port = await freePort()
  const program = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js')
  const args = ['--disableTelemetry', '--skipApiVersionCheck', '--silent', '--location', folder]
  const child = spawn(process.execPath, [program, ...args, '--blobHost', '127.0.0.1', '--blobPort', String(port)], {
    env: { ...process.env, AZURITE_ACCOUNTS: `sctest:${ACCOUNT_KEY}` },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit')
  const listening = new Promise<void>(resolve => {
    child.stdout.on('data', (text: Buffer) => /listens on|successfully listening/i.test(text.toString()) && resolve())
  })
  await Promise.race([listening, exited.then(() => Promise.reject(new Error('Azurite ended before it listened')))])
  return {
    connectionString: `DefaultEndpointsProtocol=http;AccountName=sctest;AccountKey=${ACCOUNT_KEY};BlobEndpoint=http://127.0.0.1:${port}/sctest;`,
    async stop() {
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { KEY } from './tiny-master.ts'

const MAIN = join(import.meta.dirname, '../src/main.js')

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** The real program, in an environment of its own. */
export function scCommand(args: string[], env: Record<string, string> = {}) {
  return {
    file: process.execPath,
    args: [MAIN, ...args],
    env: { PATH: process.env.PATH, SC_ADMIN_KEY: KEY, ...env }
  }
}

export function startSc(
  args: string[],
  env: Record<string, string> = {}
): { child: ChildProcess; ended: Promise<Ended> } {
  const command = scCommand(args, env)
  const child = spawn(command.file, command.args, {
    cwd: import.meta.dirname,
    env: command.env,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const out = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', text => {
    out.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    out.stderr += text
  })
  const ended = new Promise<Ended>(resolve => child.once('close', code => resolve({ code, ...out })))
  return { child, ended }
}

export function runSc(args: string[], env?: Record<string, string>): Promise<Ended> {
  return startSc(args, env).ended
}

import { spawn } from 'node:child_process'
import { REPO } from './paths.mjs'

/** A command that did not end well, with the end of what it said. */
export class CommandFailed extends Error {
  constructor(command, args, reason, output) {
    super(`${[command, ...args].join(' ')}: ${reason}`)
    this.output = output
  }
}

const children = new Set()

/** Ends whatever is running now, for Ctrl-C. On Windows it reaches what a shell started by itself: they share the console. */
export function endRunning() {
  for (const child of children) child.kill('SIGTERM')
}

/**
 * On Windows npm's programs are `.cmd` files, which Node starts through a shell alone (since 20.12, CVE-2024-27980). A
 * shell reads the line anew, so these arguments must need no quotes.
 */
export function startOfNpm(name, args, platform = process.platform) {
  if (platform !== 'win32') return { command: name, args, shell: false }
  const odd = args.find(arg => !/^[\w@.:/=-]+$/.test(arg))
  if (odd !== undefined) throw new Error(`${name}: the argument '${odd}' needs quotes`)
  return { command: [`${name}.cmd`, ...args].join(' '), args: [], shell: true }
}

/** Runs a command quietly and resolves with its stdout; `onLine` hears each line of its output as it comes. */
export function run(command, args, { env = {}, cwd = REPO, onLine = () => {}, shell = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      shell
    })
    children.add(child)
    let stdout = ''
    let output = ''
    const hear = chunk => {
      output = (output + chunk).slice(-20_000)
      const last = String(chunk).trim().split('\n').at(-1)
      if (last) onLine(last)
    }
    child.stdout.setEncoding('utf8').on('data', chunk => {
      stdout += chunk
      hear(chunk)
    })
    child.stderr.setEncoding('utf8').on('data', hear)
    child.on('error', error => {
      children.delete(child)
      reject(new CommandFailed(command, args, error.message, output))
    })
    child.on('close', (code, signal) => {
      children.delete(child)
      if (code === 0) resolve(stdout)
      else reject(new CommandFailed(command, args, signal ? `ended by ${signal}` : `exit code ${code}`, output))
    })
  })
}

/** The stdout of a command that may not exist or not work here; undefined then. */
export function tryRun(command, args, options) {
  return run(command, args, options).catch(() => undefined)
}

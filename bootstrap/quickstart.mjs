import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { install } from './install.mjs'
import { NODE, REPO } from './paths.mjs'

if (process.platform === 'win32') {
  console.error(`The quickstart starts a master, and a master runs on Linux or macOS (or in WSL). This machine can be a worker:
docs/windows.md says how.`)
  process.exit(2)
}

/** `npm run quickstart`: installs what is missing, then hands over to the current Node. */
if (!(await install())) process.exit(1)

const program = join(REPO, 'apps/cli/src/quickstart.ts')
// The pipe tells the program when this process is gone, also by kill -9.
const child = spawn(NODE, [program, '--exit-with-parent', ...process.argv.slice(2).map(asTyped)], {
  cwd: REPO,
  stdio: ['pipe', 'inherit', 'inherit']
})
child.stdin.on('error', () => {})
// Ctrl-C reaches the program by itself; this process stays to pass on its exit code.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
process.on('SIGHUP', () => child.kill('SIGTERM'))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))

// npm runs us through a shell, and neither says so when it is killed.
const ancestors = startedBy()
const watch = setInterval(() => {
  if (ancestors.every(({ pid, parent }) => parentOf(pid) === parent)) return
  child.kill('SIGTERM')
  // A second signal would force.
  clearInterval(watch)
}, 500).unref()

/** npm runs us in the project's folder; a file's name counts from where the user typed it. */
function asTyped(argument) {
  const path = resolve(process.env.INIT_CWD ?? '.', argument)
  return !argument.startsWith('-') && existsSync(path) ? path : argument
}

/** This process and the shells between it and npm, each with its parent as it is now. */
function startedBy() {
  if (!process.env.npm_lifecycle_event) return []
  const chain = [{ pid: process.pid, parent: process.ppid }]
  for (let pid = process.ppid; isShell(pid); pid = parentOf(pid)) chain.push({ pid, parent: parentOf(pid) })
  return chain
}

function parentOf(pid) {
  if (pid === process.pid) return process.ppid
  const stat = read(`/proc/${pid}/stat`)
  return stat === '' ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** Named by what it runs: npm's `sh -c`, and the script that stands for `node` in node_modules/.bin. */
function isShell(pid) {
  return pid > 1 && /^(da|ba|a|z)?sh$/.test(basename(read(`/proc/${pid}/cmdline`).split('\0')[0] ?? ''))
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

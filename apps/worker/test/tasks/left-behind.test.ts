import { identityOf, isRunning } from '@sc/shared/processes.ts'
import { afterEach, expect, test } from 'vitest'
import { pythonCommand, pythonEnv } from '../../src/python/command.ts'
import type { Run } from '../../src/tasks/run.ts'
import { SlotTasks } from '../../src/tasks/slot-tasks.ts'
import { quiet, until } from '../fixtures/children.ts'
import { taskFile, writeTasks } from './write-tasks.ts'

/** Starts a child, one in a session of its own, one with an empty environment, and a daemon; answers their numbers. */
const PYTHON = `import os, subprocess, time
from pydantic import BaseModel
from sc_gpu import Context, task

class Text(BaseModel):
    text: str

kept = subprocess.Popen(["sleep", "1000"])
os.environ["KEPT"] = str(kept.pid)

@task(name="start")
def start(request: Text, context: Context) -> Text:
    plain = subprocess.Popen(["sleep", "1000"])
    apart = subprocess.Popen(["sleep", "1000"], start_new_session=True, env={})
    daemon = subprocess.check_output("setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'", shell=True).decode()
    pids = f"{plain.pid} {apart.pid} {daemon.strip()} {os.environ['KEPT']}"
    if request.text == "fail":
        raise ValueError(pids)
    if request.text == "die":
        context.log(pids)
        time.sleep(0.1)
        os.kill(os.getpid(), 9)
    return Text(text=pids)
`
const NODE = taskFile(
  'spawn',
  `const { spawn, execSync } = await import('node:child_process')
    const plain = spawn('sleep', ['1000'])
    const apart = spawn('sleep', ['1000'], { detached: true, env: {} })
    const daemon = execSync("setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'").toString().trim()
    const pids = [plain.pid, apart.pid, daemon].join(' ')
    if (text === 'fail') throw new Error(pids)
    return { text: pids }`
)

const started: SlotTasks[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map(tasks => tasks.stop()))
})

function startTasks(): SlotTasks {
  const tasksDir = writeTasks({ 'start.py': PYTHON, 'spawn.ts': NODE })
  const slot = { device: 'cpu', classes: ['cpu'] }
  const env = () => pythonEnv('cpu', 1)
  const tasks = new SlotTasks({
    slot,
    python: pythonCommand(),
    env,
    modelsDir: '/nowhere',
    tasksDir,
    log: quiet
  }).start()
  started.push(tasks)
  return tasks
}

function runOf(task: string, text: string, more: Partial<Run> = {}): Run {
  const signal = new AbortController().signal
  return { id: 'r1', task, input: { text }, deadlineMs: 60_000, signal, onProgress() {}, onLog() {}, ...more }
}

const numbersIn = (text: string): number[] => (/\d+( \d+)+/.exec(text)?.[0] ?? '').split(' ').map(Number)
const areGone = (pids: number[]): boolean[] => pids.map(pid => identityOf(pid) === undefined)

test.runIf(process.platform === 'linux')('what a run started ends with it; what its file started stays', async () => {
  const tasks = startTasks()
  await tasks.ready
  for (const [task, others] of [
    ['start', 3],
    ['spawn', 3]
  ] as const) {
    const { output } = await tasks.run(runOf(task, 'x'))
    const failed = await tasks.run(runOf(task, 'fail')).catch(error => error.message)
    for (const text of [(output as { text: string }).text, failed]) {
      const pids = numbersIn(text)
      expect(pids.length).toBeGreaterThanOrEqual(others)
      expect(areGone(pids.slice(0, others)), task).toEqual([true, true, true])
      for (const kept of pids.slice(others)) expect(identityOf(kept)).toBeDefined()
    }
  }
  expect(tasks.state).toBe('ready')
})

test.runIf(process.platform === 'linux')(
  'what a run started ends with its process, also what left its group',
  async () => {
    const tasks = startTasks()
    await tasks.ready
    const lines: string[] = []
    const run = tasks.run(runOf('start', 'die', { onLog: ({ message }) => void lines.push(message) }))
    await expect(run).rejects.toMatchObject({ code: 'SC_CHILD_DIED' })
    const [plain = 0, apart = 0, daemon = 0, kept = 0] = numbersIn(lines[0] ?? '')
    await until(() => areGone([plain, daemon, kept]).every(Boolean))
    // With a session and an environment of its own, after a crash: nothing tells whose it was.
    process.kill(apart, 'SIGKILL')
  }
)

test.runIf(process.platform === 'linux')(
  'a process that is ended takes with it what left its group, whatever its environment',
  async () => {
    const tasks = startTasks()
    const hang = PYTHON.replace('return Text(text=pids)', 'context.log(pids); time.sleep(1000)')
    const other = new SlotTasks({
      slot: { device: 'cpu', classes: ['cpu'] },
      python: pythonCommand(),
      env: () => pythonEnv('cpu', 1),
      modelsDir: '/nowhere',
      tasksDir: writeTasks({ 'start.py': hang }),
      log: quiet
    }).start()
    started.push(other)
    await Promise.all([tasks.ready, other.ready])
    const stop = new AbortController()
    const lines: string[] = []
    const run = other.run(
      runOf('start', 'x', { signal: stop.signal, onLog: ({ message }) => void lines.push(message) })
    )
    await until(() => lines.length > 0)
    const pids = numbersIn(lines[0] ?? '').flatMap(pid => identityOf(pid) ?? [])
    expect(pids).toHaveLength(4)
    stop.abort()
    await expect(run).rejects.toMatchObject({ code: 'SC_CANCELLED' })
    await until(() => !pids.some(isRunning))
    // Nobody else's.
    expect(tasks.state).toBe('ready')
  }
)

import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ffmpeg } from './ffmpeg.mjs'
import { joinMaster } from './join-master.mjs'
import { nodePackages } from './node-packages.mjs'
import { showStep } from './progress.mjs'
import { pythonPackages } from './python.mjs'
import { endRunning } from './run.mjs'
import { speechModel } from './speech-model.mjs'

/**
 * Everything that a bare machine with Node 20 and Python 3.10 lacks, by package managers only and inside this folder.
 * Each step is skipped while it is up to date. Returns false after telling what failed and what to do about it.
 * `worker`: what a worker needs; `workerFlags`: its own. It joins as soon as it can, since its code is good for 15 min.
 */
export async function install({ dev = false, worker = false, workerFlags = [] } = {}) {
  const steps = worker
    ? workerSteps(workerFlags)
    : [
        nodePackages({ worker }),
        pythonPackages({ dev: false }),
        ...(dev ? [pythonPackages({ dev })] : []),
        speechModel,
        ffmpeg
      ]
  let interrupted = false
  const onInterrupt = () => {
    interrupted = true
    endRunning()
  }
  process.on('SIGINT', onInterrupt).on('SIGTERM', onInterrupt)
  try {
    for (const step of steps) {
      const shown = showStep(step.title)
      try {
        if (await step.isCurrent()) {
          shown.upToDate()
          continue
        }
        await step.run({ say: shown.say })
        shown.done()
        if (interrupted) process.exit(130)
      } catch (error) {
        shown.failed()
        if (interrupted) process.exit(130)
        explain(step, error)
        return false
      }
    }
    return true
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
  }
}

function workerSteps(flags) {
  const { SC_BROKER: broker } = process.env
  // Package managers start what packages bring: none of it needs the code.
  delete process.env.SC_BROKER
  return [
    nodePackages({ worker: true }),
    ...(broker ? [joinMaster(broker, flags)] : []),
    pythonPackages({ dev: false })
  ]
}

function explain(step, error) {
  const lines = [`\nWhile installing: ${step.title}\n  ${error.message}`]
  const tail = error.output?.trim().split('\n').slice(-15)
  if (tail?.some(Boolean)) lines.push('The end of its output:', ...tail.map(line => `  | ${line}`))
  lines.push('What to do:', ...(error.advice ?? step.advice).map(line => `  - ${line}`))
  process.stderr.write(`${lines.join('\n')}\n`)
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [kind, ...workerFlags] = process.argv.slice(2)
  process.exitCode = (await install({ dev: kind === '--dev', worker: kind === '--worker', workerFlags })) ? 0 : 1
}

/** Progress on stderr: one bar for each recording on a terminal, else a plain line for each step. */
import type { WriteStream } from 'node:tty'
import { printable } from '@sc/shared/printable.ts'
import cliProgress, { type SingleBar } from 'cli-progress'
import type { JobPhase } from './job-phase.ts'

export interface Progress {
  /** `step` names the phase: without a terminal a line is written when it changes. */
  update(index: number, phase: JobPhase, step: string): void
  close(): void
}

export function createProgress(names: string[], stream: WriteStream): Progress {
  const shown = names.map(printable)
  const progress = stream.isTTY ? createBars(shown, stream) : createLines(shown, stream)
  return {
    update: (index, phase, step) => progress.update(index, { ...phase, text: printable(phase.text) }, step),
    close: progress.close
  }
}

const BAR_WIDTH = 24
const NAME_WIDTH = 28

function createBars(names: string[], stream: WriteStream): Progress {
  const width = Math.min(NAME_WIDTH, Math.max(...names.map(name => name.length)))
  const bars = new cliProgress.MultiBar(
    {
      format: '{name} {bar} {percentage} %  {text}',
      barsize: BAR_WIDTH,
      hideCursor: true,
      fps: 10,
      stream,
      // Ctrl-C belongs to the command, which asks the master to cancel.
      gracefulExit: false,
      emptyOnZero: true
    },
    cliProgress.Presets.shades_classic
  )
  const one = names.map((name): SingleBar => bars.create(100, 0, { name: shorten(name, width), text: '' }))
  return {
    update: (index, { fraction, text }) => one[index]?.update(Math.floor(fraction * 100), { text }),
    close: () => bars.stop()
  }
}

function createLines(names: string[], stream: WriteStream): Progress {
  const lastStep = names.map(() => '')
  return {
    update(index, { text }, step) {
      if (lastStep[index] === step) return
      lastStep[index] = step
      stream.write(`${names[index]}: ${text}\n`)
    },
    close: () => {}
  }
}

/** The end of a name tells more than its middle. */
function shorten(name: string, width: number): string {
  return name.length <= width ? name.padEnd(width) : `…${name.slice(-(width - 1))}`
}

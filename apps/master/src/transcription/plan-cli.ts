import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { planRecording } from './plan-recording.ts'

/** For experiments: `node plan-cli.ts FILE [--chunk-seconds 150] [--channel 0] [--out DIR]` writes the plan as WAVs and plan.json. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'chunk-seconds': { type: 'string', default: '150' },
    channel: { type: 'string', default: 'mix' },
    ffmpeg: { type: 'string' },
    out: { type: 'string' }
  }
})
const [path] = positionals
if (!path) throw new Error('Which recording?')
const ffmpegPath = values.ffmpeg ?? (await findFfmpeg())
const channel = values.channel === 'mix' ? 'mix' : Number(values.channel)
const startedMs = performance.now()
const steps: unknown[] = []
if (values.out) mkdirSync(values.out, { recursive: true })
for await (const step of planRecording({ ffmpegPath, path, channel, chunkSeconds: Number(values['chunk-seconds']) })) {
  const atMs = Math.round(performance.now() - startedMs)
  if (step.kind === 'end') {
    steps.push(step)
    console.error({ atMs, ...step })
  } else {
    const { wav, ...rest } = step
    const file = step.kind === 'probe' ? 'probe.wav' : `chunk-${step.index}.wav`
    if (values.out) writeFileSync(join(values.out, file), wav)
    steps.push({ ...rest, file })
    console.error(atMs, file, step.windows.length, 'windows', ((wav.length - 44) / 32_000).toFixed(1), 's')
  }
}
if (values.out) writeFileSync(join(values.out, 'plan.json'), JSON.stringify(steps, null, 1))

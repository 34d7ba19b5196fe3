import { readFile } from 'node:fs/promises'
import { renderTranscript } from '../transcription/formats.ts'
import type { RenderRequest, ThreadAnswer } from './check-thread.ts'

export async function renderLarge({ path, format, task }: RenderRequest): Promise<ThreadAnswer> {
  return { type: 'rendered', ...renderTranscript(JSON.parse(await readFile(path, 'utf8')), format, task) }
}

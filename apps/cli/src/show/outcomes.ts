/** Results to stdout or into files, and a message on stderr for each recording that failed. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { printable, printableJson } from '@sc/shared/printable.ts'
import type { Format } from '../submit/recordings.ts'
import type { Outcome } from '../submit/transcribe-recording.ts'
import { formatError, nextStepFor } from './failure.ts'

/** Writes the result into its file, when it has one. */
export function saveResult({ recording, result }: Outcome): void {
  if (recording.resultPath === undefined || result === undefined) return
  mkdirSync(dirname(recording.resultPath), { recursive: true })
  writeFileSync(recording.resultPath, withNewline(result))
}

/** As text: each result, under its file's name where there are several. JSON keeps its value. */
export function formatResults(outcomes: Outcome[], format: Format): string {
  const shown = outcomes.filter(({ recording, result }) => result !== undefined && !recording.resultPath)
  const texts = shown.map(({ recording, result }) => {
    const raw = withNewline(result as string)
    const text = format === 'json' ? printableJson(raw) : raw
    return outcomes.length > 1 ? `==> ${printable(recording.path)} <==\n${text}` : text
  })
  return texts.join('\n')
}

/** For programs: a list with one entry for each recording, in the order of the command line. */
export function formatResultsAsJson(outcomes: Outcome[], format: Format): string {
  const rows = outcomes.map(({ recording, jobId, view, result, error }) => ({
    file: recording.path,
    jobId: jobId ?? null,
    status: view?.status ?? 'FAILED',
    model: view?.model ?? null,
    language: view?.language ?? null,
    durationSeconds: view?.durationSeconds ?? null,
    error: error ?? null,
    savedTo: result === undefined ? null : (recording.resultPath ?? null),
    result: result === undefined || recording.resultPath ? null : format === 'json' ? JSON.parse(result) : result
  }))
  return `${printableJson(JSON.stringify(rows, null, 2))}\n`
}

/** What happened, to what, and what to do next. */
export function formatFailures(outcomes: Outcome[]): string {
  const lines = outcomes.flatMap(({ recording, jobId, error }) => {
    if (!error) return []
    const job = jobId ? ` [job ${jobId}]` : ''
    const next = nextStepFor(error)
    return [`${printable(recording.path)}${job}: ${formatError(error)}${next ? `\n  ${next}` : ''}\n`]
  })
  return lines.join('')
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}

/** The files of the command line, looked at before anything is sent. */
import { accessSync, constants, statSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { ScError } from '@sc/shared/errors.ts'

export const FORMATS = ['text', 'json', 'srt', 'vtt', 'tsv'] as const
export type Format = (typeof FORMATS)[number]

export interface Recording {
  readonly path: string
  readonly name: string
  /** Where its result goes; undefined: to stdout. */
  readonly resultPath: string | undefined
}

/** Throws SC_CONFIG with one message that names every file that cannot be sent. */
export function findRecordings(paths: string[], format: Format, outputDir: string | undefined): Recording[] {
  const problems = paths.flatMap(path => problemOf(path))
  const recordings = paths.map(path => ({
    path,
    name: basename(path),
    resultPath: resultPathOf(path, format, outputDir)
  }))
  for (const [resultPath, same] of Map.groupBy(recordings, recording => recording.resultPath)) {
    if (resultPath === undefined || same.length === 1) continue
    const names = same.map(({ path }) => path).join(' and ')
    problems.push(`${names}: both results would be written to ${resultPath}; transcribe them one after the other`)
  }
  if (problems.length > 0) throw new ScError('SC_CONFIG', problems.join('\n'))
  return recordings
}

function resultPathOf(path: string, format: Format, outputDir: string | undefined): string | undefined {
  if (outputDir === undefined) return undefined
  const extension = format === 'text' ? 'txt' : format
  return join(outputDir, `${basename(path, extname(path))}.${extension}`)
}

function problemOf(path: string): string[] {
  try {
    if (!statSync(path).isFile()) return [`${path}: is not a file`]
    accessSync(path, constants.R_OK)
    return []
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return [`${path}: there is no such file`]
    return [`${path}: cannot be read (${code})`]
  }
}

import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { ScError } from './errors.ts'
import './resolve-ours.ts'

/** Less than the worker waits for `ready`. */
const LOAD_MS = 10_000
/** Of what is told of a file that could not be loaded. */
const REASON_LENGTH = 1_000
/** A line of a stack in Node itself or in the project's own files. */
const OUR_FRAME = /\bnode:|\/(apps|packages)\/\w+\/src\//

/** Imports a file of the tasks folder and answers its exports; one that ends the process or takes too long is refused. */
export async function loadFile(path: string): Promise<unknown[]> {
  const exit = process.exit
  process.exit = code => {
    throw new Error(`it called process.exit(${code ?? ''})`)
  }
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new ScError('SC_CONFIG', `it was not loaded within ${LOAD_MS / 1000} s`)),
    LOAD_MS
  )
  try {
    return [...new Set(Object.values(await Promise.race([import(pathToFileURL(path).href), late.promise])))]
  } finally {
    clearTimeout(timer)
    process.exit = exit
  }
}

/** Why a file was left out, for the log. Of a stack only what stands in the user's files. */
export function reasonOf(error: unknown): string {
  if (error instanceof ScError) return error.message
  const text = error instanceof Error ? (error.stack ?? error.message) : inspect(error)
  const lines = text.split('\n').filter(line => !/^ +at /.test(line) || !OUR_FRAME.test(line))
  return lines.join('\n').slice(0, REASON_LENGTH).trim()
}

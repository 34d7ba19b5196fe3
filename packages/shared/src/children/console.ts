import { format } from 'node:util'
import type { LogLevel } from '../define-task.ts'

const LEVELS = { log: 'info', info: 'info', warn: 'warn', error: 'error', debug: 'debug' } as const

/** What a task says to the console goes into the log of its run. */
export function takeConsole(log: (level: LogLevel, message: string) => void): void {
  for (const [method, level] of Object.entries(LEVELS))
    console[method as keyof typeof LEVELS] = (...args: unknown[]) => log(level, format(...args))
}

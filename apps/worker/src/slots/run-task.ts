import type { UnitPayload } from '@sc/shared/unit.ts'

export interface TaskHooks {
  signal: AbortSignal
  /** It begins: nothing is before it in its process any more. */
  onBegin(): void
  /** How long the task itself took, in ms, as its process has it. */
  onRan(ms: number): void
  onProgress(fraction: number, partial: unknown): void
  onLog(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}

/** Runs a unit's task on local files (by name) and answers its output. The slot's processes are one such. */
export type RunTask = (unit: UnitPayload, files: Record<string, string>, hooks: TaskHooks) => Promise<unknown>

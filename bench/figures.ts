import { cpus, totalmem, type } from 'node:os'

/** Middle, least and most of some runs. */
export function spread(values: readonly number[], digits = 0): string {
  const sorted = values.toSorted((a, b) => a - b)
  const text = (value: number | undefined) => (value ?? Number.NaN).toFixed(digits)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle] : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
  return `${text(median)} (${text(sorted[0])} to ${text(sorted.at(-1))}, ${sorted.length} runs)`
}

/** `part`: 0 to 1. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

/** What every benchmark says first. */
export function describeMachine(): string {
  const [first] = cpus()
  return `${type()} ${process.arch}, ${cpus().length} x ${first?.model.trim()}, ${(totalmem() / 1024 ** 3).toFixed(0)} GB, Node ${process.version}`
}

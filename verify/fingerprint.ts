import type { Transcript } from '../test/cluster.ts'

/** Everything of a transcript that must not depend on how the work was spread. */
export function fingerprint({ transcription, segments }: Transcript): string {
  return JSON.stringify([transcription, segments.map(({ chunk: _, ...segment }) => segment)])
}

/** Around the first character that is another. */
export function firstDifference(expected: string, text: string): string {
  let at = 0
  while (expected[at] === text[at]) at++
  return `  first: …${expected.slice(at - 60, at + 60)}…\n  now:   …${text.slice(at - 60, at + 60)}…`
}

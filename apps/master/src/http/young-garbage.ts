import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Node copies every 64 KiB of a body into a buffer of its own, and V8 lets 64 MiB of dead ones pile up before it looks.
 * A look at the young ones alone takes well under a millisecond: asked for every 8 MiB, an upload of any size holds a
 * tenth of that. (The flag `--max-semi-space-size` would do the same, but only if every way to start the master has it.)
 */
export const COLLECT_EVERY_BYTES = 8 * 1024 ** 2

let collect: ((options: { type: 'minor' }) => void) | undefined

export function collectYoungGarbage(): void {
  if (!collect) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as typeof collect
  }
  collect?.({ type: 'minor' })
}

/** Which of two versions (`1.2.3`) is newer. */
export function isNewer(version: string, than: string): boolean {
  const [one, other] = [numbersOf(version), numbersOf(than)]
  const at = one.findIndex((number, place) => number !== other[place])
  return at >= 0 && (one[at] as number) > (other[at] as number)
}

/** What to do on the machine whose side is the older. */
export const HOW_TO_UPDATE =
  'stop it with Ctrl-C (what runs may finish); in a checkout `git pull` and `node bootstrap/install.mjs`, then start it again; where the line of `sc join` installed it, paste a new one'

function numbersOf(version: string): number[] {
  const parts = version.split(/[.+-]/).slice(0, 3)
  return [0, 1, 2].map(at => Number.parseInt(parts[at] ?? '', 10) || 0)
}

/** Of two sides that speak different protocols, the one to update; said to the worker. */
export function olderSide(master: number, worker: number): 'this worker' | 'the master' {
  return master > worker ? 'this worker' : 'the master'
}

/** Those of `names` that a slip of the pen turns into `name`, the nearest first. */
export function nearNames(name: string, names: string[], mostLetters = 2): string[] {
  return names
    .map(other => ({ other, letters: distance(other, name) }))
    .filter(({ letters }) => letters <= mostLetters)
    .sort((a, b) => a.letters - b.letters)
    .map(({ other }) => other)
}

/** Letters to change, add or drop to get from `a` to `b`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1]
    for (let column = 1; column <= b.length; column++) {
      const swap = (row[column - 1] ?? 0) + (letter === b[column - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'

/** `node bench/plot.ts`: draws the table of word errors in docs/benchmarks.md as docs/accuracy.svg. */
const ROWS = ['de-long', 'en-long', 'all recordings', 'all mixtures']
const COLOURS = ['#1f6feb', '#8b949e', '#b1bac4', '#d8a657']
const BAR = { height: 16, gap: 3, group: 22, left: 130, width: 520 }

interface Group {
  name: string
  percents: number[]
}

const text = await readFile(join(REPO_DIR, 'docs/benchmarks.md'), 'utf8')
const [header, , ...lines] = text.split('\n').filter(line => line.startsWith('| ') || line.startsWith('|---'))
const modes = cellsOf(header as string).slice(1)
const table = new Map(lines.map(line => [cellsOf(line)[0] as string, cellsOf(line).slice(1)]))
const groups = ROWS.flatMap(name => {
  const cells = table.get(name)
  return cells ? [{ name, percents: cells.map(Number.parseFloat) }] : []
})
await writeFile(join(REPO_DIR, 'docs/accuracy.svg'), draw(modes, groups))

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim())
}

/** Horizontal bars, one group for each row, longest bar as wide as the picture. */
function draw(names: string[], all: Group[]): string {
  const most = Math.max(...all.flatMap(({ percents }) => percents))
  const groupHeight = names.length * (BAR.height + BAR.gap) + BAR.group
  const parts = all.flatMap(({ name, percents }, at) => {
    const top = 50 + at * groupHeight
    const label = `<text x="${BAR.left - 10}" y="${top + groupHeight / 2 - BAR.group / 2}" text-anchor="end">${name}</text>`
    const bars = percents.map((percent, mode) => {
      const y = top + mode * (BAR.height + BAR.gap)
      const width = Math.max(1, (percent / most) * BAR.width)
      return `<rect x="${BAR.left}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}" fill="${COLOURS[mode]}"/>
<text x="${(BAR.left + width + 6).toFixed(1)}" y="${y + 13}">${percent} %</text>`
    })
    return [label, ...bars]
  })
  const legend = names.map((name, at) => {
    const x = BAR.left + at * 130
    return `<rect x="${x}" y="14" width="12" height="12" fill="${COLOURS[at]}"/><text x="${x + 18}" y="25">${name}</text>`
  })
  const height = 50 + all.length * groupHeight
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 ${height}" font-family="sans-serif" font-size="13">
<title>Word error in percent: less is better</title>
<rect width="720" height="${height}" fill="#ffffff"/>
${[...legend, ...parts].join('\n')}
</svg>
`
}

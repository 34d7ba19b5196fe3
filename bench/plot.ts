import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'

/** `node bench/plot.ts`: draws tables of docs/benchmarks.md: word errors as docs/accuracy.svg, throughputs as docs/throughput.svg. */
const COLOURS = ['#1f6feb', '#8b949e', '#b1bac4', '#d8a657']
const BAR = { height: 16, gap: 3, group: 22, left: 230, width: 420 }

interface Group {
  name: string
  values: number[]
}

const text = await readFile(join(REPO_DIR, 'docs/benchmarks.md'), 'utf8')

const accuracy = tableUnder('## Accuracy')
const SHOWN = ['de-long', 'en-long', 'all recordings', 'all mixtures']
await save('accuracy.svg', {
  title: 'Word error in percent: less is better',
  unit: ' %',
  names: accuracy.columns,
  groups: SHOWN.flatMap(name => accuracy.groups.find(group => group.name === name) ?? [])
})

const throughput = tableUnder('## Units in a second')
await save('throughput.svg', {
  title: 'Units in a second: more is better',
  unit: '/s',
  names: throughput.columns.slice(0, 1),
  groups: throughput.groups.map(({ name, values }) => ({ name, values: values.slice(0, 1) }))
})

/** The first table below a heading: names of its columns but the first, and a group of numbers for each row. */
function tableUnder(heading: string): { columns: string[]; groups: Group[] } {
  const lines = text.slice(text.indexOf(heading)).split('\n')
  const first = lines.findIndex(line => line.startsWith('|'))
  const end = lines.findIndex((line, at) => at > first && !line.startsWith('|'))
  const [header, , ...rows] = lines.slice(first, end)
  const groups = rows.map(line => {
    const [name = '', ...cells] = cellsOf(line)
    return { name, values: cells.map(cell => Number.parseFloat(cell.replaceAll(',', ''))) }
  })
  return { columns: cellsOf(header ?? '').slice(1), groups }
}

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim())
}

interface Plot {
  title: string
  unit: string
  names: string[]
  groups: Group[]
}

async function save(name: string, plot: Plot): Promise<void> {
  await writeFile(join(REPO_DIR, 'docs', name), draw(plot))
}

/** Horizontal bars, one group for each row, longest bar as wide as the picture. */
function draw({ title, unit, names, groups: all }: Plot): string {
  const most = Math.max(...all.flatMap(({ values }) => values))
  const groupHeight = names.length * (BAR.height + BAR.gap) + BAR.group
  const parts = all.flatMap(({ name, values }, at) => {
    const top = 50 + at * groupHeight
    const label = `<text x="${BAR.left - 10}" y="${top + groupHeight / 2 - BAR.group / 2}" text-anchor="end">${name}</text>`
    const bars = values.map((value, mode) => {
      const y = top + mode * (BAR.height + BAR.gap)
      const width = Math.max(1, (value / most) * BAR.width)
      return `<rect x="${BAR.left}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}" fill="${COLOURS[mode]}"/>
<text x="${(BAR.left + width + 6).toFixed(1)}" y="${y + 13}">${value}${unit}</text>`
    })
    return [label, ...bars]
  })
  const legend = names.map((name, at) => {
    const x = BAR.left + at * 130
    return `<rect x="${x}" y="14" width="12" height="12" fill="${COLOURS[at]}"/><text x="${x + 18}" y="25">${name}</text>`
  })
  const height = 50 + all.length * groupHeight
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 ${height}" font-family="sans-serif" font-size="13">
<title>${title}</title>
<rect width="720" height="${height}" fill="#ffffff"/>
${[...legend, ...parts].join('\n')}
</svg>
`
}

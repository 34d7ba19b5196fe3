import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { loadConfig, REPO_DIR } from '@sc/shared/config.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { nameOf, SAMPLES, sharedAudio } from '../test/audio.ts'
import { startCluster } from '../test/cluster.ts'
import { describeMachine } from './figures.ts'

/**
 * Word error of the cluster against faster-whisper used directly, with the same model and compute type, on every
 * recording with a reference and on mixtures made from their clips: `node bench/accuracy.ts [--report FILE] [--keep DIR]`.
 * With `--keep` the texts stay in that folder, and a later run takes the direct ones from there. Exits 1 when a target of
 * docs/benchmarks.md is missed.
 */
const { values: flags } = parseArgs({ options: { report: { type: 'string' }, keep: { type: 'string' } } })
const PYTHON = join(REPO_DIR, '.venv/bin/python')
const MODES = ['cluster', 'sequential', 'batched', 'fixed'] as const
type Mode = (typeof MODES)[number]

interface Score {
  errors: number
  words: number
  percent: number
}
type Row = Record<Mode, Score> & { name: string }

const folder = flags.keep ?? (await mkdtemp(join(tmpdir(), 'sc-bench-accuracy-')))
const recordings = await withReference()
const mixtures = await makeMixtures()
const multilingual = sharedAudio('multilingual.mp3')
const cluster = await startCluster({ workers: 1, workerEnv: { OMP_NUM_THREADS: '2' } })
const lines: string[] = [describeMachine()]
let missed = 0
try {
  const all = [...recordings, ...mixtures]
  for (const path of [...all, ...(multilingual ? [multilingual] : [])]) {
    const { document } = await cluster.transcribe(path, { reuse: 'false', model: 'base' })
    await keep('cluster', path, document.transcription)
    console.log(`cluster: ${basename(path)}`)
    if (path === multilingual) {
      const languages = document.languages.map(({ language }) => language).toSorted()
      say(`multilingual.mp3: ${languages.join(', ')}`, languages.includes('de') && languages.includes('en'))
    }
  }
  await runDirect(all)
  const rows = await Promise.all(all.map(score))
  const isMixture = ({ name }: Row) => mixtures.some(path => nameOf(path) === name)
  const plain = sum(
    'all recordings',
    rows.filter(row => !isMixture(row))
  )
  const mixed = sum('all mixtures', rows.filter(isMixture))
  lines.push('', `| recording | ${MODES.join(' | ')} |`, `|---|${MODES.map(() => '---|').join('')}`)
  for (const row of [...rows.filter(row => !isMixture(row)), plain, ...rows.filter(isMixture), mixed])
    lines.push(toLine(row))
  lines.push('')
  say(
    `all recordings: ${plain.cluster.percent} % against ${plain.sequential.percent} %`,
    // The samples alone are a minute: too little to be better at.
    mixtures.length > 0
      ? plain.cluster.errors < plain.sequential.errors
      : plain.cluster.errors <= plain.sequential.errors
  )
  for (const { name, cluster: ours, sequential } of rows)
    if (ours.percent > sequential.percent) say(`worse than direct: ${name}`, ours.percent <= sequential.percent + 1)
  if (mixtures.length > 0) {
    const limit = 0.8 * Math.min(mixed.sequential.errors, mixed.batched.errors)
    say(
      `mixtures: ${mixed.cluster.percent} % against ${mixed.sequential.percent} and ${mixed.batched.percent} %`,
      mixed.cluster.errors <= limit
    )
    for (const path of mixtures) {
      const missing = await missingSentences(path)
      say(
        `${nameOf(path)}: ${missing.length} sentences missing${missing.map(text => `\n    ${text}`).join('')}`,
        missing.length === 0
      )
    }
  }
} finally {
  await cluster.stop()
  if (flags.report) await writeFile(flags.report, `${lines.join('\n')}\n`)
  console.log(lines.join('\n'))
  if (!flags.keep) await rm(folder, { recursive: true, force: true })
}
process.exit(missed === 0 ? 0 : 1)

function say(what: string, holds: boolean): void {
  if (!holds) missed++
  lines.push(`- ${holds ? 'holds' : 'MISSED'}: ${what}`)
}

/** Recordings that have a text beside them. */
async function withReference(): Promise<string[]> {
  const shared = sharedAudio('jfk.wav')
  const dir = shared ? dirname(shared) : SAMPLES
  const names = (await readdir(dir)).toSorted()
  const texts = new Set(names.filter(name => name.endsWith('.txt')).map(nameOf))
  return names
    .filter(name => /\.(wav|mp3|ogg|flac)$/.test(name) && texts.has(nameOf(name)))
    .map(name => join(dir, name))
}

/** At least ten minutes of clips in another order; needs the larger recordings. */
async function makeMixtures(): Promise<string[]> {
  const shared = sharedAudio('en-long.ogg')
  if (!shared) return []
  const ffmpeg = await findFfmpeg()
  const made: string[] = []
  for (const seed of [1, 2]) {
    const name = `mixture-${seed}`
    await python(
      'bench/accuracy/mixture.py',
      ...['--audio', dirname(shared), '--out', folder, '--ffmpeg', ffmpeg],
      ...['--name', name, '--seed', String(seed)]
    )
    made.push(join(folder, `${name}.wav`))
  }
  return made
}

async function runDirect(all: string[]): Promise<void> {
  const paths = all.filter(path => MODES.some(mode => !existsSync(kept(mode, path))))
  if (paths.length === 0) return
  const model = join(loadConfig().modelsDir, 'base')
  const output = await python('bench/accuracy/direct.py', ...paths, '--model', model)
  for (const line of output.trim().split('\n')) {
    const { file, mode, text } = JSON.parse(line) as { file: string; mode: Mode; text: string }
    await keep(mode, file, text)
  }
}

function kept(mode: Mode, path: string): string {
  return join(folder, 'texts', `${nameOf(path)}.${mode}.txt`)
}

async function keep(mode: Mode, path: string, text: string): Promise<void> {
  await mkdir(join(folder, 'texts'), { recursive: true })
  await writeFile(kept(mode, path), text)
}

async function score(path: string): Promise<Row> {
  const reference = path.replace(/\.\w+$/, '.txt')
  const scores = await Promise.all(
    MODES.map(async mode => [mode, JSON.parse(await python('bench/accuracy/score.py', reference, kept(mode, path)))])
  )
  return { name: nameOf(path), ...Object.fromEntries(scores) }
}

async function missingSentences(mixture: string): Promise<string[]> {
  const places = JSON.parse(await readFile(mixture.replace(/\.wav$/, '.json'), 'utf8')) as Array<{ text: string }>
  const code = `import sys, json; sys.path.insert(0, 'bench/accuracy'); from score import missing_sentences
sentences, text = json.load(sys.stdin); print(json.dumps(missing_sentences(sentences, text)))`
  const input = JSON.stringify([places.map(({ text }) => text), await readFile(kept('cluster', mixture), 'utf8')])
  const child = execFile(PYTHON, ['-c', code], { cwd: REPO_DIR })
  child.stdin?.end(input)
  const output = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', part => {
      text += part
    })
    child.on('close', status => (status === 0 ? resolve(text) : reject(new Error('scoring failed'))))
  })
  return JSON.parse(output) as string[]
}

function sum(name: string, rows: Row[]): Row {
  const totals = MODES.map(mode => {
    const errors = rows.reduce((total, row) => total + row[mode].errors, 0)
    const words = rows.reduce((total, row) => total + row[mode].words, 0)
    return [mode, { errors, words, percent: Math.round((10_000 * errors) / Math.max(1, words)) / 100 }]
  })
  return { name, ...Object.fromEntries(totals) }
}

function toLine(row: Row): string {
  return `| ${row.name} | ${MODES.map(mode => `${row[mode].percent} (${row[mode].errors})`).join(' | ')} |`
}

async function python(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(PYTHON, [join(REPO_DIR, script), ...args], { maxBuffer: 64 * 1024 ** 2 })
  return stdout
}

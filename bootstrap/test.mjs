import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { install } from './install.mjs'
import { CACHE, NODE, REPO, VENV_PYTHON } from './paths.mjs'

/** `npm test [-- FILTER…]`: every test of both languages; a filter is vitest's and leaves Python out. The last line is the sum. */
if (!(await install({ dev: true }))) process.exit(1)

const filters = process.argv.slice(2)
const reports = { vitest: join(CACHE, 'vitest.json'), pytest: join(CACHE, 'pytest.xml') }
mkdirSync(CACHE, { recursive: true })
for (const path of Object.values(reports)) rmSync(path, { force: true })

const sum = { passed: 0, failed: 0, skipped: 0 }
const python =
  filters.length === 0 ? held(VENV_PYTHON, ['-m', 'pytest', 'python-gpu', `--junitxml=${reports.pytest}`]) : undefined
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reports.vitest}`]
count(await live(NODE, ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...filters]), fromVitest)
if (python) {
  const { code, output } = await python
  process.stdout.write(output)
  count(code, fromPytest)
}

if (sum.skipped > 0) console.log(`${sum.skipped} skipped`)
console.log(`${sum.passed} passed, ${sum.failed} failed`)
process.exitCode = sum.failed > 0 ? 1 : 0

/** A run that failed without a failed test (an error outside of tests, no report) counts as one failure. */
function count(exitCode, read) {
  let found = { passed: 0, failed: 0, skipped: 0 }
  try {
    found = read()
  } catch (error) {
    console.error(`there is no report of the tests: ${error.message}`)
    exitCode ||= 1
  }
  sum.passed += found.passed
  sum.skipped += found.skipped
  sum.failed += found.failed || (exitCode === 0 ? 0 : 1)
}

function fromVitest() {
  const report = JSON.parse(readFileSync(reports.vitest, 'utf8'))
  // A file that could not be loaded has no tests to fail.
  const broken = report.testResults.filter(file => file.status === 'failed' && file.assertionResults.length === 0)
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests
  }
}

function fromPytest() {
  const suite = readFileSync(reports.pytest, 'utf8').match(/<testsuite\b[^>]*>/)?.[0] ?? ''
  const figure = name => Number(suite.match(new RegExp(`\\b${name}="(\\d+)"`))?.[1] ?? Number.NaN)
  const [tests, failed, skipped] = [figure('tests'), figure('failures') + figure('errors'), figure('skipped')]
  if (Number.isNaN(tests + failed + skipped)) throw new Error('pytest wrote no counts')
  return { passed: tests - failed - skipped, failed, skipped }
}

/** Runs beside the other tests, which mostly wait; its output comes as a whole. Ctrl-C reaches it by itself. */
function held(command, args) {
  return new Promise(resolve => {
    const child = spawn(command, args, { cwd: REPO, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => chunks.push(chunk))
    process.once('SIGTERM', () => child.kill('SIGTERM'))
    const end = (code, text = '') => resolve({ code, output: Buffer.concat([...chunks, Buffer.from(text)]) })
    child.on('error', error => end(1, `${command} could not be started: ${error.message}\n`))
    child.on('close', code => end(code ?? 1))
  })
}

/** Runs with this terminal's output. Ctrl-C reaches the child by itself. */
function live(command, args) {
  process.removeAllListeners('SIGINT')
  return new Promise(resolve => {
    const child = spawn(command, args, { cwd: REPO, stdio: ['ignore', 'inherit', 'inherit'] })
    let interrupted = false
    process.on('SIGINT', () => {
      interrupted = true
    })
    process.once('SIGTERM', () => child.kill('SIGTERM'))
    child.on('error', error => {
      console.error(`${command} could not be started: ${error.message}`)
      resolve(1)
    })
    child.on('exit', code => (interrupted ? process.exit(130) : resolve(code ?? 1)))
  })
}

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

/** A checkout of its own with nothing installed, on a machine whose programs are the scripts of `bin`. */
let checkout: string
const bin = () => join(checkout, 'bin')

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'sc-bootstrap-'))
  for (const folder of ['apps', 'packages', 'bin', 'bootstrap', 'python-gpu']) mkdirSync(join(checkout, folder))
  const source = join(import.meta.dirname, '..')
  for (const name of readdirSync(source).filter(file => /\.(mjs|txt)$/.test(file)))
    cpSync(join(source, name), join(checkout, 'bootstrap', name))
  for (const name of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'python-gpu/requirements-cpu.txt'])
    writeFileSync(join(checkout, name), '')
  for (const name of ['env', 'sh', 'mkdir', 'cp', 'cat', 'dirname'])
    symlinkSync(String(spawnSync('/bin/sh', ['-c', `command -v ${name}`]).stdout).trim(), join(bin(), name))
})
afterEach(() => rmSync(checkout, { recursive: true, force: true }))

function program(name: string, script: string): void {
  writeFileSync(join(bin(), name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

/** An `npx … pnpm install` that only leaves what the next steps look for. */
function pnpmWorks(): void {
  const here = 'node_modules/node/bin'
  program(
    'npx',
    `mkdir -p ${here}; : > node_modules/.modules.yaml; cp "${process.execPath}" ${here}/node; echo ran >> npx.log`
  )
}

function install(): { code: number | null; output: string } {
  const { status, stderr } = spawnSync(process.execPath, [join(checkout, 'bootstrap/install.mjs')], {
    env: { PATH: bin(), HOME: checkout },
    encoding: 'utf8'
  })
  return { code: status, output: stderr }
}

test('a step that fails tells the command, the end of its output, and what to do; then nothing more is tried', () => {
  program('npx', 'echo "first line"; echo "ERR the registry did not answer" >&2; exit 7')
  const { code, output } = install()
  expect(code).toBe(1)
  expect(output).toMatch(/npx --yes pnpm@\S+ install --frozen-lockfile: exit code 7/)
  expect(output).toContain('| ERR the registry did not answer')
  expect(output).toMatch(/What to do:\n {2}- Check that this machine reaches/)
  expect(output).not.toContain('Python packages')
})

test('a machine without Python, or with too old a one, is told which it needs', () => {
  pnpmWorks()
  expect(install().output).toContain('There is no Python 3.10 or later on PATH.')
  program('python3', 'printf "/usr/bin/python3\\n3\\n9\\n"')
  const { code, output } = install()
  expect(code).toBe(1)
  expect(output).toContain('Found: python3 is 3.9.')
  expect(output).toContain('sudo apt-get install python3 python3-venv')
})

test('a Python without pip and venv is told how each system gets them', () => {
  pnpmWorks()
  program('python3', 'case "$1" in -c) printf "/bin/py\\n3\\n11\\n";; *) echo "No module named $2" >&2; exit 1;; esac')
  const { code, output } = install()
  expect(code).toBe(1)
  expect(output).toContain('has neither pip nor venv')
  expect(output).toContain('sudo apt-get install python3-venv')
})

function workerIs(script: string): void {
  const folder = join(checkout, 'apps/worker/src')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(checkout, 'apps/worker/package.json'), '{}')
  writeFileSync(join(folder, 'main.js'), script)
}

test('Ctrl-C while the worker joins ends it all, also where that step ends well', () => {
  pnpmWorks()
  workerIs(`process.on('SIGTERM', () => process.exit(0)); setInterval(() => {
    process.kill(process.ppid, 'SIGINT')
  }, 100)`)
  const { status, stderr } = spawnSync(process.execPath, [join(checkout, 'bootstrap/install.mjs'), '--worker'], {
    env: { PATH: bin(), HOME: checkout, SC_BROKER: 'redis://127.0.0.1:1' },
    encoding: 'utf8'
  })
  expect(stderr).toContain('Joining the cluster')
  expect(stderr).not.toContain('Python packages')
  expect(status).toBe(130)
})

test('what a worker logs while it joins is told in words', async () => {
  pnpmWorks()
  install()
  workerIs(`console.log(JSON.stringify({ level: 40, msg: process.env.SC_BROKER + ' did not answer' }))`)
  writeFileSync(join(checkout, 'package.json'), '{}')
  const { joinMaster } = await import(join(checkout, 'bootstrap/join-master.mjs'))
  const said: string[] = []
  await joinMaster('redis://desk', []).run({ say: (line: string) => void said.push(line) })
  expect(said).toEqual(['redis://desk did not answer'])
})

test('what is up to date is not done again, and a changed lockfile is', () => {
  pnpmWorks()
  const ran = () => String(spawnSync('/bin/cat', [join(checkout, 'npx.log')]).stdout)
  install()
  expect(install().output).toContain('Node 24 and PostgreSQL (up to date)')
  expect(ran()).toBe('ran\n')
  writeFileSync(join(checkout, 'pnpm-lock.yaml'), 'changed')
  install()
  expect(ran()).toBe('ran\nran\n')
})

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** The bootstrap is JavaScript without types. */
const load = (file: string) => import(new URL(`../${file}`, import.meta.url).href)

test('programs and packages lie where each system puts them', async () => {
  const { inSitePackages, programsOf, pythonOf } = await load('paths.mjs')
  const { uvIn } = await load('uv.mjs')
  expect(pythonOf('env', 'linux')).toBe('env/bin/python')
  expect(pythonOf('env', 'win32')).toBe('env/Scripts/python.exe')
  expect(programsOf('env', 'darwin')).toBe('env/bin')
  expect(uvIn('home', 'linux')).toEqual(['home/bin/uv'])
  expect(uvIn('home', 'win32')).toEqual(['home/bin/uv.exe', 'home/Scripts/uv.exe'])

  const env = mkdtempSync(join(tmpdir(), 'sc-env-'))
  for (const lib of ['lib/python3.12/site-packages', 'Lib/site-packages']) {
    mkdirSync(join(env, lib, 'one'), { recursive: true })
    writeFileSync(join(env, lib, 'one', 'file'), '')
  }
  expect(inSitePackages('one', env, 'linux')).toEqual([join(env, 'lib/python3.12/site-packages/one/file')])
  expect(inSitePackages('one', env, 'win32')).toEqual([join(env, 'Lib/site-packages/one/file')])
})

test('npx is started through a shell on Windows alone, with arguments that need no quotes', async () => {
  const { startOfNpm } = await load('run.mjs')
  const args = ['--yes', 'pnpm@10.34.9', 'install', '--frozen-lockfile']
  expect(startOfNpm('npx', args, 'linux')).toEqual({ command: 'npx', args, shell: false })
  expect(startOfNpm('npx', args, 'win32')).toEqual({
    command: 'npx.cmd --yes pnpm@10.34.9 install --frozen-lockfile',
    args: [],
    shell: true
  })
  expect(() => startOfNpm('npx', ['a b'], 'win32')).toThrow("npx: the argument 'a b' needs quotes")
  expect(() => startOfNpm('npx', ['%PATH%'], 'win32')).toThrow('needs quotes')
})

test("Python on Windows: the launcher first, and the Store's stub is none", async () => {
  const { findPython } = await load('python.mjs')
  const asked: string[] = []
  const python = String.raw`C:\Python\python.exe`
  const answers = (known: Record<string, string | undefined>) => async (command: string, args: string[]) => {
    asked.push([command, ...args.slice(0, -2)].join(' '))
    return known[command]
  }
  expect(await findPython('win32', answers({ py: `${python}\r\n3\r\n12\r\n` }))).toBe(python)
  expect(asked.splice(0)).toEqual(['py -3'])
  expect(await findPython('win32', answers({ python: '', python3: `${python}\r\n3\r\n11\r\n` }))).toBe(python)
  expect(asked.splice(0)).toEqual(['py -3', 'python', 'python3'])
  expect(await findPython('linux', answers({ python3: '/usr/bin/python3\n3\n11\n' }))).toBe('/usr/bin/python3')
  expect(asked).toEqual(['python3'])
  await expect(findPython('win32', answers({}))).rejects.toMatchObject({
    advice: expect.arrayContaining([expect.stringContaining('winget install Python.Python')])
  })
})

/** What is chosen by the system: a worker on Windows, seen from here. */
import { existsSync, mkdtempSync, openSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { apartFromTerminal } from '@sc/shared/children/process-group.ts'
import { findProgram } from '@sc/shared/processes.ts'
import { expect, test } from 'vitest'
import { listenForStop, stopSignalsOf } from '../src/commands/stop-signals.ts'
import { holdOpen } from '../src/lock-file.ts'
import { moveIn } from '../src/models/fetch-model.ts'
import { pythonCommand, pythonEnv } from '../src/python/command.ts'

const folder = () => mkdtempSync(join(tmpdir(), 'sc-windows-'))

test('Python lies elsewhere, and speaks UTF-8', () => {
  expect(pythonCommand('repo', 'win32').file).toBe(join('repo', '.venv/Scripts/python.exe'))
  for (const platform of ['linux', 'darwin'] as const)
    expect(pythonCommand('repo', platform).file).toBe(join('repo', '.venv/bin/python'))
  for (const device of ['cpu', 'GPU-1']) expect(pythonEnv(device, 1).PYTHONUTF8).toBe('1')
})

test('a child has a console that is not shown, or a group of its own', () => {
  expect(apartFromTerminal('win32')).toEqual({ detached: false, windowsHide: true })
  for (const platform of ['linux', 'darwin'] as const) expect(apartFromTerminal(platform).detached).toBe(true)
})

test('Ctrl-Break drains as Ctrl-C does; a window that is closed gives back at once', () => {
  expect(stopSignalsOf('linux')).toEqual({ drain: ['SIGINT', 'SIGTERM'], now: [] })
  const signals = ['SIGINT', 'SIGBREAK', 'SIGHUP'] as const
  const before = signals.map(name => process.listenerCount(name))
  const stop = listenForStop('win32')
  process.emit('SIGBREAK', 'SIGBREAK')
  expect([stop.first.aborted, stop.second.aborted, stop.exitCode()]).toEqual([true, false, 130])
  stop.unlisten()
  const closed = listenForStop('win32')
  process.emit('SIGHUP', 'SIGHUP')
  expect([closed.first.aborted, closed.second.aborted, closed.exitCode()]).toEqual([true, true, 0])
  closed.unlisten()
  expect(signals.map(name => process.listenerCount(name))).toEqual(before)
})

test('a lock is a file that nobody else may open', () => {
  const path = join(folder(), 'lock')
  const flags: number[] = []
  const release = holdOpen(path, (name, flag) => {
    flags.push(flag & 0x10000000)
    return openSync(name, 'w')
  })
  expect(flags).toEqual([0x10000000])
  expect(existsSync(path)).toBe(true)
  const busy = holdOpen(path, () => {
    throw Object.assign(new Error('EBUSY: resource busy or locked'), { code: 'EBUSY' })
  })
  expect(busy).toEqual({ heldBy: null })
  if (typeof release === 'function') release()
  expect(existsSync(path)).toBe(false)
  const full = () =>
    holdOpen(path, () => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    })
  expect(full).toThrow('no space')
})

test('a model that a virus scanner holds is put in its place when it is let go', async () => {
  const refusals = ['EPERM', 'EBUSY']
  const moved: string[] = []
  const move = async (part: unknown, target: unknown) => {
    const code = refusals.shift()
    if (code) throw Object.assign(new Error(code), { code })
    moved.push(`${part} ${target}`)
  }
  await moveIn('.base.part', 'base', new AbortController().signal, move)
  expect(moved).toEqual(['.base.part base'])
  refusals.push('ENOSPC')
  await expect(moveIn('.base.part', 'base', new AbortController().signal, move)).rejects.toThrow('ENOSPC')
})

test('a program is found with its ending', () => {
  const bin = folder()
  const write = (name: string) => {
    writeFileSync(join(bin, name), '', { mode: 0o755 })
    return join(bin, name)
  }
  const plain = write('one')
  expect(findProgram(['one'], bin, 'linux')).toBe(plain)
  expect(findProgram(['one'], bin, 'win32')).toBeUndefined()
  const exe = write('one.exe')
  expect(findProgram(['one'], bin, 'win32')).toBe(exe)
})

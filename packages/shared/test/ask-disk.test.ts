import { expect, test } from 'vitest'
import { askDisk } from '../src/ask-disk.ts'

test('a disk that does not answer is asked once, and said to be away', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  let calls = 0
  const look = () => {
    calls++
    return promise
  }
  const ask = () => askDisk('room', '/far', look, 10)
  const away = { code: 'SC_UNAVAILABLE', message: 'The disk of /far did not answer within 0.01 s.' }
  await expect(ask()).rejects.toMatchObject(away)
  await expect(ask()).rejects.toMatchObject(away)
  expect(calls).toBe(1)
  const last = askDisk('room', '/far', () => Promise.reject(new Error('asked again')))
  resolve('back')
  expect(await last).toBe('back')
  expect(await askDisk('room', '/far', async () => 'anew')).toBe('anew')
})

test('disks and questions do not wait for each other, and an error is handed on', async () => {
  void askDisk('room', '/far', () => new Promise(() => {}), 10).catch(() => {})
  expect(await askDisk('room', '/near', async () => 1)).toBe(1)
  expect(await askDisk('models', '/far', async () => 2)).toBe(2)
  await expect(askDisk('room', '/odd', () => Promise.reject(new Error('no folder')))).rejects.toThrow('no folder')
  expect(await askDisk('room', '/odd', async () => 3)).toBe(3)
})

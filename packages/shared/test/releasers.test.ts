import { expect, test } from 'vitest'
import { createReleasers } from '../src/releasers.ts'

const never = (): Promise<void> => new Promise(() => {})

test('releases last to first, every one, and throws the first error', async () => {
  const seen: string[] = []
  const releasers = createReleasers()
  releasers.add('first', () => void seen.push('first'))
  releasers.add('broken', () => {
    throw new Error('no')
  })
  releasers.add('last', async () => void seen.push('last'))
  await expect(releasers.release()).rejects.toThrow('while releasing broken')
  expect(seen).toEqual(['last', 'first'])
})

test('a step that hangs is left behind; the others are begun, and one with a limit of its own is waited for', async () => {
  const seen: string[] = []
  const late: string[] = []
  const releasers = createReleasers(() => {}, { patienceMs: 30, onLate: name => void late.push(name) })
  const slow = async (): Promise<void> => {
    await new Promise(resolve => setTimeout(resolve, 60))
    seen.push('server')
  }
  releasers.add('server', slow, { endsByItself: true })
  releasers.add('after', () => void seen.push('after'))
  releasers.add('hangs too', never)
  releasers.add('hangs', never)
  await releasers.release()
  expect(seen).toEqual(['after', 'server'])
  expect(late).toEqual(['hangs', 'hangs too'])
})

test('what is added while it releases is released, too', async () => {
  const seen: string[] = []
  const releasers = createReleasers()
  releasers.add('first', () => void releasers.add('meanwhile', () => void seen.push('meanwhile')))
  await releasers.release()
  releasers.add('afterwards', () => void seen.push('afterwards'))
  await releasers.release()
  expect(seen).toEqual(['meanwhile', 'afterwards'])
})

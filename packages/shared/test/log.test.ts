import { expect, test } from 'vitest'
import { createLog } from '../src/log.ts'

function lines(write: (log: ReturnType<typeof createLog>) => void): string {
  const written: string[] = []
  write(createLog('test', 'debug', { write: line => void written.push(line) }))
  return written.join('')
}

test('no secret reaches a line, whether in a message, a field, an error or its cause', () => {
  const url = 'redis://default:hunter2@127.0.0.1:6379/0'
  const text = lines(log => {
    log.info({
      headers: { authorization: 'hunter2' },
      req: { headers: { authorization: 'hunter2', cookie: 'hunter2' } }
    })
    log.info({ password: 'hunter2', url }, `connecting to ${url}`)
    log.error({ err: new Error(`no ${url}`, { cause: new Error('Authorization: Bearer hunter2') }) }, 'failed')
    log.warn('DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=x')
  })
  expect(text).not.toContain('hunter2')
  expect(text).toContain('redis://default:***@127.0.0.1:6379/0')
  for (const line of text.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('level')
})

test('an address without a password stays as it is, also beside an at sign', () => {
  const line = lines(log => log.info({ from: 'http://127.0.0.1:5080', to: 'a@b' }, 'x'))
  expect(JSON.parse(line)).toMatchObject({ from: 'http://127.0.0.1:5080', to: 'a@b' })
})

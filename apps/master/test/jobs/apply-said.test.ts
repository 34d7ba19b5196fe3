import { pino } from 'pino'
import { expect, it, vi } from 'vitest'
import { type ApplyDeps, applySaid } from '../../src/jobs/apply-said.ts'

const message = { type: 'started' as const, unitId: 'u', attemptId: 'a', ticket: 't', slot: 's', waitedMs: 0 }
const said = [
  { workerId: 'w-1', message },
  { workerId: 'w-2', message }
]

/** A master whose PostgreSQL takes nothing, for this reason. */
function refusing(code: string) {
  const execute = async (): Promise<never> => {
    throw Object.assign(new Error('made up'), { code })
  }
  const log = pino({ level: 'silent' })
  const error = vi.spyOn(log, 'error').mockReturnValue()
  const onRefused = vi.fn()
  const deps = { db: { isTransaction: false, transaction: () => ({ execute }) }, log, onRefused }
  return { error, onRefused, deps: deps as unknown as ApplyDeps }
}

it.each(['22P05', '22021', '22003', '54000'])(
  'what PostgreSQL does not take (%s) is an offence of its author',
  async code => {
    const { deps, error, onRefused } = refusing(code)
    await applySaid(deps, said)
    expect(onRefused.mock.calls).toEqual(['w-1', 'w-2'].map(id => [id, expect.stringContaining('"started"')]))
    expect(error).not.toHaveBeenCalled()
  }
)

it.each(['42P01', '53400', 'XX000'])('an error of our own (%s) is logged, and nobody’s offence', async code => {
  const { deps, error, onRefused } = refusing(code)
  await applySaid(deps, said)
  expect(onRefused).not.toHaveBeenCalled()
  expect(error).toHaveBeenCalledTimes(2)
})

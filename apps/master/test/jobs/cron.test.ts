import { describe, expect, it } from 'vitest'
import { nextTime } from '../../src/jobs/cron.ts'

function times(cron: string, timezone: string, after: string, count = 3): string[] {
  let at = new Date(after)
  return Array.from({ length: count }, () => {
    at = nextTime({ cron, timezone }, at)
    return at.toISOString().replace(':00.000Z', 'Z')
  })
}

describe('the next time of a cron expression', () => {
  it('is on the clocks of its timezone, in summer and in winter', () => {
    const nine = ['2026-10-24T07:00Z', '2026-10-25T08:00Z', '2026-10-26T08:00Z']
    expect(times('0 9 * * *', 'Europe/Berlin', '2026-10-24T00:00:00Z')).toEqual(nine)
    expect(times('0 9 * * *', 'UTC', '2026-10-24T00:00:00Z', 2)).toEqual(['2026-10-24T09:00Z', '2026-10-25T09:00Z'])
  })

  it('comes an hour later on the day on which the clocks skip it', () => {
    const days = ['2026-03-28T01:30Z', '2026-03-29T01:30Z', '2026-03-30T00:30Z']
    expect(times('30 2 * * *', 'Europe/Berlin', '2026-03-27T12:00:00Z')).toEqual(days)
  })

  it('comes once on the day on which the clocks show it twice', () => {
    const days = ['2026-10-24T00:30Z', '2026-10-25T00:30Z', '2026-10-26T01:30Z']
    expect(times('30 2 * * *', 'Europe/Berlin', '2026-10-23T12:00:00Z')).toEqual(days)
  })

  it('is the same from wherever in that night one asks', () => {
    for (const [cron, day, expected] of [
      ['30 2 * * *', '2026-03-28', ['29T01:30', '30T00:30']],
      ['30 2 * * *', '2026-10-24', ['25T00:30', '26T01:30']],
      ['15 1-3 * * *', '2026-10-24', ['24T23:15', '25T00:15', '25T02:15', '26T00:15']],
      ['0 */1 * * *', '2026-10-24', ['24T21', '24T22', '24T23', '25T00', '25T01', '25T02'].map(at => `${at}:00`)]
    ] as const) {
      const first = Date.parse(`${day}T20:00:07Z`)
      const asked = Array.from({ length: 8 * 60 }, (_, minute) => new Date(first + minute * 60_000))
      const said = asked.map(at => nextTime({ cron, timezone: 'Europe/Berlin' }, at).toISOString())
      expect(said, cron).toEqual(said.toSorted())
      expect([...new Set(said)].map(at => at.slice(8, 16)).slice(0, expected.length), cron).toEqual(expected)
    }
  })

  it('is after, never at, the time that is given', () => {
    expect(times('* * * * *', 'UTC', '2026-01-01T00:00:00.000Z', 1)).toEqual(['2026-01-01T00:01Z'])
    expect(times('*/10 * * * * *', 'UTC', '2026-01-01T00:00:51Z', 1)).toEqual(['2026-01-01T00:01Z'])
    expect(times('@daily', 'UTC', '2026-01-01T00:00:00Z', 1)).toEqual(['2026-01-02T00:00Z'])
    expect(times('H * * * *', 'UTC', '2026-01-01T00:00:00Z')).toEqual(times('H * * * *', 'UTC', '2026-01-01T00:00:00Z'))
  })

  it('is refused with the name of the field where there is none', () => {
    for (const [cron, timezone, said] of [
      ['61 * * * *', 'UTC', /^cron: .*61/],
      ['0 0 30 2 *', 'UTC', /^cron: /],
      ['nonsense', 'UTC', /^cron: /],
      ['', 'UTC', /^cron: /],
      ['* *', 'UTC', /^cron: /],
      ['@never', 'UTC', /^cron: /],
      ['0 0 * * *', 'Mars/Base', /^timezone: /],
      ['0 0 * * *', 'local', /^timezone: /],
      ['0 0 * * *', '', /^timezone: /]
    ] as const)
      expect(() => nextTime({ cron, timezone }, new Date('2026-01-01T00:00:00Z')), `${cron} ${timezone}`).toThrow(
        expect.objectContaining({ code: 'SC_BAD_REQUEST', message: expect.stringMatching(said) })
      )
  })

  it('is looked for in the next eight years only', () => {
    const at = new Date('2026-10-01T00:00:00Z')
    for (const cron of ['0 0 31 2,4,6,9,11 *', '0 0 31 9,11 ?', '0 0 30 2,2-2 *', '0 0 * 2 1#5'])
      for (const timezone of ['UTC', 'Pacific/Apia'])
        expect(() => nextTime({ cron, timezone }, at), cron).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/SC_SCHEDULE_NEVER|SC_BAD_REQUEST/) })
        )
    expect(() => nextTime({ cron: '0 0 31 2,4,6,9,11 *', timezone: 'UTC' }, at)).toThrow(
      expect.objectContaining({ code: 'SC_SCHEDULE_NEVER', message: expect.stringMatching(/^cron: .* eight years/) })
    )
    expect(times('0 0 29 2 *', 'UTC', '2096-02-29T00:00:00Z', 1)).toEqual(['2104-02-29T00:00Z'])
  })

  it('is found where thousands of times came since the clocks were moved', () => {
    const asked = { cron: '* * * * * *', timezone: 'Europe/Berlin' }
    for (const [at, next] of [
      ['2026-10-25T02:59:00Z', '2026-10-25T02:59:01.000Z'],
      ['2026-03-29T02:30:00Z', '2026-03-29T02:30:01.000Z']
    ] as const)
      expect(nextTime(asked, new Date(at)).toISOString()).toBe(next)
  })
})

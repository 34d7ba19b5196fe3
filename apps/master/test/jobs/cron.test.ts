import { CronDate } from 'cron-parser'
import { describe, expect, it, vi } from 'vitest'
import { nextTime } from '../../src/jobs/cron.ts'

function times(cron: string, timezone: string, after: string, count = 3): string[] {
  let at = new Date(after)
  return Array.from({ length: count }, () => {
    at = nextTime({ cron, timezone }, at)
    return at.toISOString().replace(':00.000Z', 'Z')
  })
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
const formats = new Map<string, Intl.DateTimeFormat>()

/** What clocks show: the day, the minutes since its midnight, and how far they are ahead of UTC. */
function shownIn(timeZone: string, at: number) {
  const made = { timeZone, hourCycle: 'h23', dateStyle: 'short', timeStyle: 'short' } as const
  const format = formats.get(timeZone) ?? new Intl.DateTimeFormat('sv', made)
  formats.set(timeZone, format)
  const [day = '', time = ''] = format.format(at).split(' ')
  const [hours = 0, minutes = 0] = time.split(':').map(Number)
  return {
    day,
    minutes: hours * 60 + minutes,
    offset: Date.parse(`${day}T${time}Z`) - Math.floor(at / 60_000) * 60_000
  }
}

const months = (): number[] => Array.from({ length: 12 * 12 }, (_, month) => Date.UTC(2015, month, 1))

/** Days on which the clocks of a timezone were moved, and by how much. */
function changes(timezone: string): Array<{ day: number; by: number }> {
  const byAt = (from: number, to: number): number => shownIn(timezone, to).offset - shownIn(timezone, from).offset
  return months().flatMap(from => {
    const days = Array.from({ length: new Date(from).getUTCMonth() === 1 ? 28 : 31 }, (_, n) => from + n * DAY)
    const isCalm = byAt(from, from + 15 * DAY) === 0 && byAt(from + 15 * DAY, from + 31 * DAY) === 0
    return isCalm ? [] : days.map(day => ({ day, by: byAt(day, day + DAY) })).filter(({ by }) => by !== 0)
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

  it.each([
    ['0 0 * * *', 'Africa/Cairo', '2026-04-23T12:00:00Z', ['2026-04-23T22:00Z', '2026-04-24T21:00Z']],
    ['0 0 * * *', 'America/Sao_Paulo', '2018-11-03T12:00:00Z', ['2018-11-04T03:00Z', '2018-11-05T02:00Z']],
    // The clocks are moved by half an hour there: what they leave out comes half an hour later.
    ['15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', ['2026-10-03T15:45Z', '2026-10-04T15:15Z']],
    // They left out 30 December 2011.
    ['0 9 * * *', 'Pacific/Apia', '2011-12-29T12:00:00Z', ['2011-12-29T19:00Z', '2011-12-30T19:00Z']],
    ['45 2,3 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', ['2026-03-29T01:45Z', '2026-03-30T00:45Z']],
    ['*/30 * * * *', 'Africa/Cairo', '2026-04-23T21:20:00Z', ['2026-04-23T21:30Z', '2026-04-23T22:00Z']]
  ])('is on no day left out: %s, %s', (cron, timezone, after, expected) => {
    expect(times(cron, timezone, after, 2)).toEqual(expected)
  })

  it('comes each day once, in every timezone, over twelve years', () => {
    // Many are moved alike.
    const zones = new Map(Intl.supportedValuesOf('timeZone').map(zone => [JSON.stringify(changes(zone)), zone]))
    expect(zones.size).toBeGreaterThan(50)
    for (const timezone of zones.values())
      for (const [hour, minute] of [
        [0, 0],
        [2, 15]
      ] as const)
        for (const { day: from } of changes(timezone)) {
          let at = new Date(from - 2 * DAY)
          const days: string[] = []
          for (let n = 0; n < 4; n++) {
            const next = nextTime({ cron: `${minute} ${hour} * * *`, timezone }, at)
            const { day, minutes } = shownIn(timezone, next.getTime())
            // As much as some clocks are moved by.
            expect([0, 30, 60, 120, 180], `${timezone} ${next.toISOString()}`).toContain(minutes - (hour * 60 + minute))
            days.push(day)
            at = next
          }
          const first = Date.parse(days[0] as string)
          const each = days.map((_, n) => new Date(first + n * DAY).toISOString().slice(0, 10))
          expect(days, timezone).toEqual(each)
        }
  }, 120_000)

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

  it.each([
    ['* * 2 28 3 *', 'Europe/Berlin', '2027-01-01T00:00:00Z', '2027-03-28T01:00:00.000Z'],
    ['* * 1,2 28 3 *', 'Antarctica/Troll', '2027-01-01T00:00:00Z', '2027-03-28T01:00:00.000Z'],
    ['* * 0-22 * * *', 'Europe/Berlin', '2027-10-31T01:30:00Z', '2027-10-31T02:00:00.000Z'],
    ['* * 0-22 * * *', 'Europe/Berlin', '2027-03-28T20:59:59Z', '2027-03-28T22:00:00.000Z']
  ])('is found in few steps where clocks are moved: %s in %s', (cron, timezone, after, expected) => {
    const looked = vi.spyOn(CronDate.prototype, 'getUTCOffset')
    expect(nextTime({ cron, timezone }, new Date(after)).toISOString()).toBe(expected)
    expect(looked.mock.calls.length).toBeLessThan(200)
    looked.mockRestore()
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

import { describe, expect, it } from 'vitest'
import { parseQuietHours, quietReason } from '../../src/slots/quiet-hours.ts'

const at = (time: string): Date => new Date(`2026-03-04T${time}:00`)

describe('quiet hours', () => {
  it.each([
    ['22:00-07:30', '21:59', null],
    ['22:00-07:30', '22:00', '07:30'],
    ['22:00-07:30', '00:00', '07:30'],
    ['22:00-07:30', '07:29', '07:30'],
    ['22:00-07:30', '07:30', null],
    ['9:00-12:30', '08:59', null],
    ['9:00-12:30', '09:00', '12:30'],
    ['9:00-12:30', '12:30', null],
    ['18:00-00:00', '23:59', '00:00'],
    ['18:00-00:00', '00:00', null],
    ['12:00-13:00, 20:15-06:00', '12:59', '13:00'],
    ['12:00-13:00, 20:15-06:00', '20:14', null],
    ['12:00-13:00, 20:15-06:00', '05:59', '06:00']
  ])('%s at %s: until %s', (hours, time, end) => {
    expect(quietReason(parseQuietHours(hours), at(time))).toBe(end && `quiet hours until ${end}`)
  })

  it.each(['', '22:00', '22-7', '24:00-07:00', '22:60-07:00', '08:00-08:00', '22:00-07:00,', 'a-b'])(
    'cannot be %j',
    text => {
      expect(() => parseQuietHours(text)).toThrow(/--quiet-hours .*is not a time of day like 22:00-07:30/)
    }
  )
})

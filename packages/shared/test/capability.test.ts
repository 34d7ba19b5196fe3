import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classesOfGpu, classOf, largerClass, queuesOfSlot, VRAM_CLASSES_GB, vramOf } from '../src/capability.ts'

describe('the class of a unit', () => {
  it.each([
    [{ gpu: false, vramGb: 0 }, 'cpu'],
    [{ gpu: true, vramGb: 0 }, 'gpu'],
    [{ gpu: true, vramGb: 4 }, 'gpu'],
    [{ gpu: false, vramGb: 5 }, 'gpu.vram6'],
    [{ gpu: true, vramGb: 6 }, 'gpu.vram6'],
    [{ gpu: true, vramGb: 6.1 }, 'gpu.vram8'],
    [{ gpu: true, vramGb: 16 }, 'gpu.vram24'],
    [{ gpu: true, vramGb: 25 }, null],
    [{ gpu: false, vramGb: 0, features: ['ffmpeg'] }, 'cpu'],
    [{ gpu: false, vramGb: 0, features: ['ffmpeg', 'llm'] }, 'llm'],
    // The card is the task's own, beside what the server has.
    [{ gpu: true, vramGb: 6, features: ['llm'] }, 'gpu.vram6']
  ])('%o is %s', (needs, expected) => {
    expect(classOf(needs)).toBe(expected)
  })

  it('is the least demanding that holds it', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 24, noNaN: true }), vramGb => {
        const gigabytes = vramOf(classOf({ gpu: true, vramGb }) as string)
        expect(gigabytes).toBeGreaterThanOrEqual(vramGb)
        for (const smaller of [4, ...VRAM_CLASSES_GB].filter(size => size < gigabytes))
          expect(smaller).toBeLessThan(vramGb)
      })
    )
  })

  it('grows after out of memory, until there is no larger one', () => {
    expect(largerClass('gpu+diarize')).toBe('gpu.vram6+diarize')
    expect(largerClass('gpu.vram8')).toBe('gpu.vram12')
    expect(largerClass('gpu.vram24')).toBeNull()
    expect(largerClass('cpu')).toBeNull()
    expect(largerClass('llm+chat')).toBeNull()
  })
})

describe('the queues of a slot', () => {
  it('follow from what its card holds, with some tolerance', () => {
    expect(classesOfGpu(22.5)).toEqual(['gpu.vram24', 'gpu.vram12', 'gpu.vram8', 'gpu.vram6', 'gpu'])
    expect(classesOfGpu(3.9)).toEqual(['gpu'])
    expect(classesOfGpu(2)).toEqual([])
  })

  it('name a task of some workers only where the slot can run it, and then before its class', () => {
    const tasks = [
      { name: 'word-count', gpu: false, vramGb: 0 },
      { name: 'diarize', gpu: true, vramGb: 6 },
      { name: 'huge', gpu: true, vramGb: 80 },
      { name: 'chat', gpu: false, vramGb: 0, features: ['llm'] }
    ]
    expect(queuesOfSlot(classesOfGpu(8), tasks)).toEqual([
      'gpu.vram8+diarize',
      'gpu.vram8',
      'gpu.vram6+diarize',
      'gpu.vram6',
      'gpu'
    ])
    expect(queuesOfSlot(['cpu'], tasks)).toEqual(['cpu+word-count', 'cpu'])
    expect(queuesOfSlot(['llm'], tasks)).toEqual(['llm+chat', 'llm'])
  })

  it('hold every unit that is put into them', () => {
    const vram = fc.double({ min: 0, max: 24, noNaN: true })
    fc.assert(
      fc.property(vram, vram, (cardGb, neededGb) => {
        const task = { name: 'mine', gpu: true, vramGb: neededGb }
        const served = queuesOfSlot(classesOfGpu(cardGb), [task])
        if (served.includes(`${classOf(task)}+mine`)) expect(cardGb / 0.92).toBeGreaterThanOrEqual(neededGb)
      })
    )
  })
})

const PAGE_BYTES = 1024 ** 2
const BYTES_PER_SAMPLE = 2

/** The part of the decoded recording that is still needed: appended at the end, dropped at the start, read anywhere between. */
export interface PcmTape {
  append(buffer: Buffer): void
  /** Copies the samples [start, end) that are there to `target`, the first of the range at byte `at`. */
  copy(target: Uint8Array, at: number, start: number, end: number): void
  /** Forgets all before `sample`. */
  dropBefore(sample: number): void
  /** Whole samples appended so far. */
  samples(): number
}

/** Pages are used again: a long recording must not leave garbage at the pace of its decoding. */
export function createPcmTape(): PcmTape {
  const pages = new Map<number, Buffer>()
  const spare: Buffer[] = []
  let firstPage = 0
  let bytes = 0

  function append(buffer: Buffer): void {
    for (let from = 0; from < buffer.length; ) {
      const number = Math.floor(bytes / PAGE_BYTES)
      const page = pages.get(number) ?? spare.pop() ?? Buffer.allocUnsafeSlow(PAGE_BYTES)
      pages.set(number, page)
      const copied = buffer.copy(page, bytes % PAGE_BYTES, from)
      from += copied
      bytes += copied
    }
  }

  function copy(target: Uint8Array, at: number, start: number, end: number): void {
    const until = Math.min(end * BYTES_PER_SAMPLE, bytes - (bytes % BYTES_PER_SAMPLE))
    for (let from = start * BYTES_PER_SAMPLE; from < until; ) {
      const number = Math.floor(from / PAGE_BYTES)
      const page = pages.get(number)
      if (!page) throw new RangeError(`sample ${from / BYTES_PER_SAMPLE} was dropped`)
      const inPage = from % PAGE_BYTES
      from += page.copy(target, at + from - start * BYTES_PER_SAMPLE, inPage, inPage + until - from)
    }
  }

  function dropBefore(sample: number): void {
    for (const keep = Math.floor((sample * BYTES_PER_SAMPLE) / PAGE_BYTES); firstPage < keep; firstPage++) {
      const page = pages.get(firstPage)
      if (page) spare.push(page)
      pages.delete(firstPage)
    }
  }

  return { append, copy, dropBefore, samples: () => Math.floor(bytes / BYTES_PER_SAMPLE) }
}

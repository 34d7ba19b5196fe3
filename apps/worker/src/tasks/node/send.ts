import { writeSync } from 'node:fs'
import type { FromChildLine } from '@sc/shared/python-protocol.ts'
import { PROTOCOL_FD } from '../node-command.ts'

export type Send = (message: FromChildLine) => void

/** Writes whole lines. Throws on what is not JSON. */
export function createSend(): Send {
  return message => {
    let line = Buffer.from(`${JSON.stringify(message)}\n`)
    try {
      while (line.length > 0) line = line.subarray(writeSync(PROTOCOL_FD, line))
    } catch {
      // Nobody reads any more: the worker is gone.
      process.exit(0)
    }
  }
}

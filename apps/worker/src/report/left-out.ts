import { type Finding, failed } from '@sc/shared/doctor/finding.ts'
import { TASKS_FOLDER } from '@sc/shared/presence.ts'
import type { LeftOut } from '@sc/shared/python-protocol.ts'

const NEXT = 'Correct the file in the tasks folder of that machine, or take it away: it is read again at once.'

/** What the slots of this worker leave out of the tasks folder, each file once. */
export function leftOutFindings(ofSlots: Iterable<{ leftOut: LeftOut[] }>): Finding[] {
  const reasons = new Map([...ofSlots].flatMap(({ leftOut }) => leftOut.map(({ file, reason }) => [file, reason])))
  return [...reasons].map(([file, reason]) => ({ check: `${TASKS_FOLDER}${file}`, ...failed(reason, NEXT) }))
}

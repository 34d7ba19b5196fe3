import { z } from 'zod'
import { withoutSecrets } from '../log.ts'
import { printable, printableJson } from '../printable.ts'

/** What a doctor found out about one thing, for people and with `--json` for programs. */
export const findingSchema = z.object({
  /** What was looked at, such as `master: clock`. */
  check: z.string(),
  status: z.enum(['ok', 'warning', 'failed']),
  found: z.string(),
  /** What to do about it; null when it is ok. */
  next: z.string().nullable()
})
export type Finding = z.infer<typeof findingSchema>

/** What a check answers; a throw is a failure, with the check's own `next`. */
export type Outcome = Omit<Finding, 'check'>
export interface Check {
  name: string
  look: () => Promise<Outcome>
  /** When it throws. */
  next: string
}

export const ok = (found: string): Outcome => ({ status: 'ok', found, next: null })
export const warning = (found: string, next: string): Outcome => ({ status: 'warning', found, next })
export const failed = (found: string, next: string): Outcome => ({ status: 'failed', found, next })

/** One check's finding; never throws, and holds no secret. */
export async function lookAt({ name, look, next }: Check): Promise<Finding> {
  const outcome = await look().catch((error: Error) => failed(error.message, next))
  return { check: name, ...outcome, found: withoutSecrets(outcome.found) }
}

/** Collects findings; each is told as soon as it is there, unless all are wanted as JSON at the end. */
export interface Report {
  run(checks: Check[]): Promise<void>
  /** What another doctor found. */
  add(findings: Finding[]): void
  /** Ends the report. Answers the exit code: 1 when something failed. */
  end(): number
}

export function startReport({ json, write }: { json: boolean; write: (text: string) => void }): Report {
  const findings: Finding[] = []
  const add = (more: Finding[]): void => {
    findings.push(...more)
    if (!json) write(more.map(formatFinding).join(''))
  }
  return {
    run: async checks => {
      for (const check of checks) add([await lookAt(check)])
    },
    add,
    end: () => {
      const count = (status: Finding['status']) => findings.filter(finding => finding.status === status).length
      if (json) write(`${printableJson(JSON.stringify({ findings }, null, 2))}\n`)
      else write(`\n${count('ok')} ok, ${count('warning')} to look at, ${count('failed')} failed\n`)
      return count('failed') > 0 ? 1 : 0
    }
  }
}

function formatFinding({ check, status, found, next }: Finding): string {
  const line = `${status.padEnd(8)} ${printable(`${check}: ${found}`)}\n`
  return next === null ? line : `${line}${' '.repeat(9)}-> ${printable(next)}\n`
}

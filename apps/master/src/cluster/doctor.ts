import { type Finding, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import { HOW_TO_UPDATE, isNewer } from '@sc/shared/versions.ts'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { ListedModel } from './list-models.ts'
import type { Reach } from './modes.ts'
import type { WorkerRow } from './presence.ts'
import { keyEnds } from './tailscale/key-expiry.ts'
import type { TailnetStatus } from './tailscale/status.ts'
import type { TaskOfWorker } from './task-claims.ts'
import type { Topology, TopologyEdge } from './topology.ts'

/** What the master makes of what it knows of the cluster: one finding for each part, worker and relayed way. */

const named = (check: string, outcome: Outcome): Finding => ({ check, ...outcome })

/** `health`: the parts as `GET /api/cluster/health` has them, all but Tailscale. */
export function partFindings(health: Record<string, { status: string; detail: string | null }>): Finding[] {
  return Object.entries(health).map(([part, { status, detail }]) =>
    named(part, status === 'failing' ? failed(detail ?? status, nextFor(part)) : ok(detail ?? status))
  )
}

function nextFor(part: string): string {
  if (part === 'workers')
    return 'Start a worker: `pnpm start:worker`. The worker itself says what it lacks: `sc-worker doctor`.'
  return `On the machine of the master, look whether ${part} runs and its disk has room; the log of the master says more.`
}

/** Who else may read what goes between the machines. */
export function networkFindings(mode: Reach['mode']): Finding[] {
  if (mode !== 'lan') return []
  const found = 'mode lan: recordings, keys and logins go unencrypted over this network'
  const next =
    'Use it where you trust everybody on the network. Else install Tailscale on each machine, and start with `--mode tailscale`.'
  return [named('network', warning(found, next))]
}

/** `state`: in words. `isNeeded`: the master was told to be in a tailnet. */
export function tailscaleFindings(status: TailnetStatus, state: string, isNeeded: boolean): Finding[] {
  const next = 'On the machine of the master: `tailscale status`.'
  const ends = keyEnds(status)
  const isLost = isNeeded && !status.running
  return [
    named('tailscale', isLost ? failed(state, next) : ok(state)),
    ...(ends ? [named('tailscale: key', warning(ends.found, `On the machine of the master: ${ends.next}.`))] : []),
    ...(status.running ? status.problems : []).map(problem => named('tailscale: health', warning(problem, next)))
  ]
}

/** Of each worker: how it stands, then what it found on its own machine, never to be taken for what the master found. */
export function workerFindings(workers: WorkerRow[], masterVersion: string): Finding[] {
  return workers.flatMap(row => [
    named(`worker ${row.name}`, workerOutcome(row, masterVersion)),
    ...row.findings.map(finding => ({ ...finding, check: `worker ${row.name} reports: ${finding.check}` }))
  ])
}

/** Tasks that workers registered and the master does not offer. */
export function refusedFindings(refused: TaskOfWorker[]): Finding[] {
  return refused.map(({ worker, name, reason, next }) =>
    named(`worker ${worker}: task ${name}`, warning(`left out: ${reason}`, next))
  )
}

export function workerOutcome(
  row: Pick<WorkerRow, 'name' | 'status' | 'lastSeen' | 'version' | 'reason' | 'slots'>,
  masterVersion: string
): Outcome {
  const { name, status, lastSeen, version, reason, slots } = row
  const onIt = `On its machine: \`sc-worker doctor${/^[\w.-]+$/.test(name) ? ` --name ${name}` : ''}\`.`
  if (status === 'offline') return warning(`offline since ${lastSeen}`, `Switch it on, or revoke it. ${onIt}`)
  const out = slots.filter(({ state }) => state === 'out-of-service')
  if (out.length > 0) {
    const reasons = out.map(slot => `${slot.id}: ${slot.reason ?? 'out of service'}`).join('; ')
    return out.length === slots.length ? failed(reasons, onIt) : warning(reasons, onIt)
  }
  if (isNewer(masterVersion, version))
    return warning(`version ${version}, older than the master's ${masterVersion}`, `Update it: ${HOW_TO_UPDATE}.`)
  if (status === 'draining') return ok(`takes no units: ${reason ?? 'draining'}`)
  return ok(`online, ${slots.length} slot${slots.length === 1 ? '' : 's'}, version ${version}`)
}

/** Workers that wrote what none writes, in the last day or until they are forgiven. */
export async function offenceFindings(db: Database): Promise<Finding[]> {
  const rows = await db
    .selectFrom('workers')
    .select(['id', 'name', 'quarantined_at', 'offences', 'last_offence'])
    .where('revoked_at', 'is', null)
    .where(eb =>
      eb.or([eb('quarantined_at', 'is not', null), eb('last_offence_at', '>', sql<Date>`now() - interval '1 day'`)])
    )
    .orderBy('name')
    .execute()
  return rows.map(({ id, name, quarantined_at, offences, last_offence }) => {
    const found = `${offences} message${offences === 1 ? '' : 's'} that no worker writes, dropped; the last: ${last_offence}`
    return named(
      `worker ${name}: messages`,
      quarantined_at
        ? failed(
            `quarantined since ${quarantined_at.toISOString()}: ${found}`,
            `If you trust the machine: POST /api/workers/${id}/forgive. If not, revoke it: DELETE /api/workers/${id}.`
          )
        : warning(
            found,
            `Update the worker. If it goes on, look who uses the machine, or revoke it: DELETE /api/workers/${id}.`
          )
    )
  })
}

/** Workers that joined and never showed themselves. */
export async function unseenFindings(db: Database): Promise<Finding[]> {
  const rows = await db
    .selectFrom('workers')
    .select(['id', 'name', 'hostname', 'enrolled_at'])
    .where('revoked_at', 'is', null)
    .where('last_seen', 'is', null)
    .where('enrolled_at', '<', sql<Date>`now() - interval '1 minute'`)
    .orderBy('name')
    .execute()
  return rows.map(({ id, name, hostname, enrolled_at }) =>
    named(
      `worker ${name}: presence`,
      warning(
        `${id} (${hostname}) joined at ${enrolled_at.toISOString()} and was never seen: it gets no units`,
        `Start it on its machine. If nobody knows it, revoke it: DELETE /api/workers/${id}.`
      )
    )
  )
}

/** Workers whose name another machine asked for in the last day, and was refused. */
export async function nameFindings(db: Database): Promise<Finding[]> {
  const rows = await db
    .selectFrom('workers')
    .select(['id', 'name', 'hostname', 'enrolled_at', 'name_asked_by', 'name_asked_at'])
    .where('revoked_at', 'is', null)
    .where('name_asked_at', '>', sql<Date>`now() - interval '1 day'`)
    .orderBy('name')
    .execute()
  return rows.map(({ id, name, hostname, enrolled_at, name_asked_by, name_asked_at }) =>
    named(
      `worker ${name}: name`,
      warning(
        `${id} (${hostname}) has this name since ${enrolled_at.toISOString()}; another machine (${name_asked_by}) asked for it on ${name_asked_at?.toISOString()}, and was refused`,
        `If the other is the right one, remove this one (DELETE /api/workers/${id}) and let the other join again. If not, give the other another --name.`
      )
    )
  )
}

/** The workers that the master reaches through a relay. What other machines of the tailnet do is nobody's concern here. */
export function relayFindings({ nodes, edges }: Topology): Finding[] {
  return edges
    .filter(({ direct }) => direct === false)
    .flatMap(edge => {
      const worker = nodes.find(({ id, type }) => type === 'worker' && id === edge.from)
      return worker ? named(`worker ${worker.name}: path`, warning(describeRelay(edge), GO_DIRECT)) : []
    })
}

const describeRelay = ({ relay, rttMs }: TopologyEdge): string =>
  `relayed${relay ? ` by ${relay}` : ''}${rttMs === null ? '' : `, ${rttMs.toFixed(1)} ms`}`

const GO_DIRECT =
  'It works, more slowly: all that the two machines send goes through a relay of Tailscale. For a direct way let both send UDP out, and on the router of one of them turn on UPnP or NAT-PMP, or forward UDP port 41641 to it. `tailscale netcheck` says what is in the way.'

export function modelsOutcome(models: ListedModel[]): Outcome {
  const shown = models.map(({ name, nodes }) => `${name} (${nodes.map(node => node.name).join(', ')})`).join('; ')
  const none = warning(
    'no machine has a speech model',
    'The first transcription fetches one, from a package or the hub.'
  )
  return shown ? ok(shown) : none
}

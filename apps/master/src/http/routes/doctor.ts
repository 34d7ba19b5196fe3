import { checkDisk } from '@sc/shared/doctor/disk.ts'
import { lookAt } from '@sc/shared/doctor/finding.ts'
import {
  modelsOutcome,
  nameFindings,
  networkFindings,
  offenceFindings,
  partFindings,
  refusedFindings,
  relayFindings,
  tailscaleFindings,
  unseenFindings,
  workerFindings
} from '../../cluster/doctor.ts'
import { listModels } from '../../cluster/list-models.ts'
import type { Topology } from '../../cluster/topology.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { doctorSchema } from '../cluster-schemas.ts'
import { checkAll, describeTailnet } from '../health-checks.ts'
import { problems } from '../problem.ts'

/** What is not right in the cluster, each with the next step; `sc doctor` and the page show it. */
export function addDoctor(app: App, deps: AppDeps, drawTopology: () => Promise<Topology>): void {
  const { config, presence, tailnet, version } = deps

  app.get('/api/cluster/doctor', {
    config: { scope: 'read' },
    schema: {
      summary: 'What a look at every part of the cluster found',
      description:
        'Each part of the master is asked, with a limit of 3 s, and so are its disks; what it mended in Redis in the last 15 minutes is named; workers tell with their heartbeats what they found on their machines, warnings and failures only.',
      tags: ['cluster'],
      response: { 200: doctorSchema, ...problems() }
    },
    handler: async () => {
      const workers = presence.workers()
      const disks = checkDisk(config).map(check => lookAt({ ...check, name: `master: ${check.name}` }))
      const models = lookAt({
        name: 'models',
        look: async () => modelsOutcome(await listModels(config.modelsDir, workers)),
        next: `Look whether ${config.modelsDir} can be read.`
      })
      const [
        { tailscale: _, ...parts },
        status,
        topology,
        ofMessages,
        ofNames,
        ofUnseen,
        refused,
        ofModels,
        ...ofDisks
      ] = await Promise.all([
        checkAll(deps),
        tailnet.status(),
        drawTopology(),
        // PostgreSQL that does not answer is a finding of its own.
        offenceFindings(deps.db).catch(() => []),
        nameFindings(deps.db).catch(() => []),
        unseenFindings(deps.db).catch(() => []),
        deps.tasks.refused().catch(() => []),
        models,
        ...disks
      ])
      return {
        items: [
          ...partFindings(parts),
          ...deps.redisWatch.findings(),
          ...deps.engineFindings(),
          ...ofDisks,
          ...networkFindings(deps.place().mode),
          ...tailscaleFindings(status, describeTailnet(status), config.mode === 'tailscale'),
          ...relayFindings(topology),
          ...workerFindings(workers, version),
          ...ofMessages,
          ...ofNames,
          ...ofUnseen,
          ...refusedFindings(refused),
          ofModels
        ],
        checkedAt: new Date().toISOString()
      }
    }
  })
}

import helmet from '@fastify/helmet'
import multipart from '@fastify/multipart'
import { createTopology } from '../cluster/topology.ts'
import type { App, AppDeps } from './app-deps.ts'
import { addAuth } from './auth.ts'
import { createServer } from './create-server.ts'
import { addStopping } from './disconnect.ts'
import { addDocs } from './docs.ts'
import { addFull } from './full.ts'
import { addOpenStreams } from './open-streams.ts'
import { addOpenapi } from './openapi.ts'
import { addPages } from './pages.ts'
import { addPressure } from './pressure.ts'
import { addProblems } from './problem.ts'
import { addBlobs } from './routes/blobs.ts'
import { addCluster } from './routes/cluster.ts'
import { addDoctor } from './routes/doctor.ts'
import { addDrain } from './routes/drain.ts'
import { addHealth } from './routes/health.ts'
import { addInstall } from './routes/install.ts'
import { addJobEvents } from './routes/job-events.ts'
import { addJobLogs } from './routes/job-logs.ts'
import { addJobResult } from './routes/job-result.ts'
import { addJobs } from './routes/jobs.ts'
import { addJoin } from './routes/join.ts'
import { addKeys } from './routes/keys.ts'
import { addLogin } from './routes/login.ts'
import { addMetrics } from './routes/metrics.ts'
import { addModels } from './routes/models.ts'
import { addRetry } from './routes/retry.ts'
import { addRevoke } from './routes/revoke.ts'
import { addSchedules } from './routes/schedules.ts'
import { addSessions } from './routes/sessions.ts'
import { addStats } from './routes/stats.ts'
import { addSubmitTask } from './routes/submit-task.ts'
import { addSubmitTranscription } from './routes/submit-transcription.ts'
import { addTailscale } from './routes/tailscale.ts'
import { addTasks } from './routes/tasks.ts'
import { addTopology } from './routes/topology.ts'
import { addTranscriptions } from './routes/transcriptions.ts'
import { addUnits } from './routes/units.ts'
import { addWebhooks } from './routes/webhooks.ts'
import { addWorkerJobs } from './routes/worker-jobs.ts'
import { addWorkers } from './routes/workers.ts'
import { SECURITY_HEADERS } from './security-headers.ts'
import { addStrictQuery } from './strict-query.ts'
import { addVisibility } from './visible.ts'

/** The whole API, ready to listen or to be asked by `inject`. Opens no port and knows no signals. */
export async function buildApp(deps: AppDeps): Promise<App> {
  const app = createServer(deps)
  addProblems(app)
  addStopping(app)
  await addPressure(app)
  await app.register(helmet, SECURITY_HEADERS)
  await app.register(multipart, { throwFileSizeLimit: false })
  await addAuth(app, deps)
  addVisibility(app, deps)
  addStrictQuery(app)
  addOpenStreams(app, deps)
  addFull(app, deps)
  await addOpenapi(app, deps)

  addDocs(app)
  addPages(app)
  addHealth(app, deps)
  addMetrics(app, deps)
  addLogin(app, deps)
  addSessions(app, deps)
  addKeys(app, deps)
  addSubmitTranscription(app, deps)
  addTranscriptions(app, deps)
  addTasks(app, deps)
  addSubmitTask(app, deps)
  addSchedules(app, deps)
  addJobs(app, deps)
  addUnits(app, deps)
  addJobResult(app, deps)
  addJobLogs(app, deps)
  addJobEvents(app, deps)
  addRetry(app, deps)
  addWebhooks(app, deps)
  addWorkers(app, deps)
  addWorkerJobs(app, deps)
  addDrain(app, deps)
  addRevoke(app, deps)
  addInstall(app, deps)
  addJoin(app, deps)
  addStats(app, deps)
  addModels(app, deps)
  addCluster(app, deps)
  addTailscale(app, deps)
  const drawTopology = createTopology(deps)
  addTopology(app, deps, drawTopology)
  addDoctor(app, deps, drawTopology)
  addBlobs(app, deps)

  await app.ready()
  return app
}

/** What to do with a cluster that runs. */
import { relative } from 'node:path'
import type { DataDir } from '@sc/shared/data-dir.ts'
import type { Cluster } from './cluster.ts'

export function formatNextSteps({ client, loginUrl }: Cluster, dir: DataDir): string {
  const keyPath = relative('.', dir.adminKey)
  const authorization = `-H "Authorization: Bearer $(cat '${keyPath}')"`
  const elsewhere = relative('.', dir.root) === 'data' ? '' : ` --data-dir '${relative('.', dir.root)}'`
  const lines = [
    '',
    `The cluster runs at ${client.url}   (data and logs: ${relative('.', dir.root) || '.'})`,
    ...(loginUrl ? [`Log in with a browser, once: ${loginUrl}`] : []),
    '',
    'Transcribe a recording of yours, in another terminal:',
    `  npm run sc --${elsewhere} transcribe FILE`,
    `  curl ${authorization} -F file=@samples/jfk.wav ${client.url}/transcribe`,
    'The answer of curl names a jobId; its text:',
    `  curl ${authorization} '${client.url}/transcribe/JOBID/result?format=text'`,
    'One more worker on this machine:',
    `  npm run start:worker --${elsewhere} --name second`,
    ''
  ]
  return `${lines.join('\n')}\n`
}
